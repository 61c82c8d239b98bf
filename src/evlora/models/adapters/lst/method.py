"""LST's row of the catalogue: a narrow transformer beside the backbone."""

from evlora.models.adapters.lst.config import LstConfig
from evlora.models.adapters.method import Method, options_of

METHOD = Method(
    LstConfig,
    settings={"rank": "rank"},
    options=options_of(LstConfig, "heads"),
    is_foldable=False,
    adapts_blocks=True,
    stops="joins",
)
