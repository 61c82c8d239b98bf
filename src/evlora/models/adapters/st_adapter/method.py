"""ST-Adapter's row of the catalogue: a bottleneck over time before each block."""

from evlora.models.adapters.method import Method, options_of
from evlora.models.adapters.st_adapter.config import StAdapterConfig

METHOD = Method(
    StAdapterConfig,
    settings={"rank": "rank"},
    options=options_of(StAdapterConfig, "kernel"),
    is_foldable=False,
    adapts_blocks=True,
)
