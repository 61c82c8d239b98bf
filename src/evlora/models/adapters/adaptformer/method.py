"""AdaptFormer's row of the catalogue: a bottleneck beside each FFN."""

from evlora.models.adapters.adaptformer.config import AdaptFormerConfig
from evlora.models.adapters.method import Method, options_of

METHOD = Method(
    AdaptFormerConfig,
    settings={"rank": "bottleneck", "dropout": "dropout"},
    options=options_of(AdaptFormerConfig, "scale", "reads"),
    is_foldable=False,
)
