"""Lv-Adapter's row of the catalogue: v ⊙ W·(u ⊙ x) + s·B·A·x (our reading of the abstract)."""

from evlora.models.adapters.lv_adapter.config import LvAdapterConfig
from evlora.models.adapters.method import Method, options_of

METHOD = Method(
    LvAdapterConfig,
    sites="own",
    settings={"rank": "rank", "dropout": "dropout"},
    options=options_of(
        LvAdapterConfig,
        "sites",
        "vector",
        "shift",
        "pair",
        "activation",
        "initialisation",
        "scale",
        "vector_scale",
        "rank_pattern",
    ),
)
