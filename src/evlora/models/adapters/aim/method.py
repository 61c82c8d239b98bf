"""AIM's row of the catalogue: adapters in space, over time, and beside the FFN."""

from evlora.models.adapters.aim.config import AimConfig
from evlora.models.adapters.method import Method, options_of

METHOD = Method(
    AimConfig,
    settings={"rank": "rank"},
    options=options_of(AimConfig, "scale", "moments"),
    is_foldable=False,
    adapts_blocks=True,
)
