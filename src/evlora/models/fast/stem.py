"""The convolutions of a backbone's stem by the fast function, wherever it covers them.

`through_convolution` is how a stem calls a layer of its own. It is the layer itself unless training
has switched the fast functions on, and for every layer that is no frozen convolution.
"""

import torch
from torch import Tensor, nn

from evlora.models.fast.convolution import convolved
from evlora.models.fast.parts import convolution_of
from evlora.models.fast.precision import types_for
from evlora.models.fast.settings import settings_of


def through_convolution(layer: nn.Module, maps: Tensor) -> Tensor:
    """What a layer of a stem makes of maps.

    Args:
        layer: A convolution, what peft has put around one, or any other layer.
        maps: Shape (B, C, H, W).

    Returns:
        Shape (B, C of the output, H of the output, W of the output).
    """
    # In 16 bits W + B·A would lose a small B·A.
    if "convolution" in settings_of(layer).ideas and types_for(maps).computed == torch.float32:
        convolution = convolution_of(layer)
        if convolution is not None:
            return convolved(convolution, maps)
    return layer(maps)
