"""VPT-deep's row of the catalogue: prompt tokens in each block."""

from evlora.models.adapters.method import Method, options_of
from evlora.models.adapters.vpt.config import VptConfig

METHOD = Method(
    VptConfig,
    settings={"dropout": "dropout"},
    options=options_of(VptConfig, "tokens"),
    is_foldable=False,
)
