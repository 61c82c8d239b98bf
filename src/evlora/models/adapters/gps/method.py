"""GPS's row of the catalogue: single entries of the weights, chosen by their gradient."""

from evlora.models.adapters.gps.config import GpsConfig
from evlora.models.adapters.method import Method, options_of

METHOD = Method(
    GpsConfig,
    sites="both",
    options=options_of(GpsConfig, "entries", "chosen_by"),
)
