"""Adapter+'s row of the catalogue: a bottleneck behind each block."""

from evlora.models.adapters.adapter_plus.config import AdapterPlusConfig
from evlora.models.adapters.method import Method, options_of

METHOD = Method(
    AdapterPlusConfig,
    settings={"rank": "rank", "dropout": "dropout"},
    options=options_of(AdapterPlusConfig, "drop_path", "init"),
    is_foldable=False,
    adapts_blocks=True,
)
