"""ST-Adapter (Pan et al., NeurIPS 2022): a bottleneck with a convolution over time."""

from evlora.models.adapters.peft_registration import register
from evlora.models.adapters.st_adapter.config import StAdapterConfig
from evlora.models.adapters.st_adapter.layer import StAdapterLayer
from evlora.models.adapters.st_adapter.method import METHOD
from evlora.models.adapters.st_adapter.model import StAdapterModel

__all__ = ["METHOD", "StAdapterConfig", "StAdapterLayer", "StAdapterModel"]

register(StAdapterConfig, StAdapterModel)
