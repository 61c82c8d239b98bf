"""LN tuning (Zhao et al., ICLR 2024): copies of all layer norms, trained."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager

from peft import LNTuningConfig
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters.blocks import exactly, names_where
from evlora.models.adapters.method import Method, Settings


def layer_norms(module: nn.Module, settings: Settings) -> str:
    """All layer norms.

    Raises:
        AdapterError: There is none.
    """
    norms = names_where(module, lambda layer: isinstance(layer, nn.LayerNorm))
    if not norms:
        raise AdapterError(f"{type(module).__name__} has no LayerNorm")
    return exactly(norms)


@contextmanager
def no_warning(*_: object) -> Generator[None]:
    """Silence peft, which warns that its LN tuning does not support LayerNorm; it does."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Unsupported layer type.*LayerNorm", UserWarning)
        yield


METHOD = Method(LNTuningConfig, find_targets=layer_norms, while_adapting=no_warning)
