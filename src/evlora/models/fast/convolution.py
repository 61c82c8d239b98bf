"""A frozen convolution with its low-rank pairs as one convolution, one step of autograd.

The pairs are convolutions beside a frozen one, over the same maps, which are larger than any
weight. Here they are added to the weight in each step, W + Σ s·B·A, and the maps are passed once.
On the way back the gradients of A and B are those of a convolution to r maps; the frozen weight has
none. Maps lie with their channels last, as the libraries' kernels have them.
"""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from evlora.models.fast.precision import without_autocast
from evlora.models.fast.structure import flattened

Both = tuple[int, ...]
"""Of rows and of columns."""


class ConvolutionPair(NamedTuple):
    """A low-rank pair: a narrow convolution and a mixture of its maps."""

    down: Tensor
    """A, shape (r, C of the input, kernel rows, kernel columns)."""
    up: Tensor
    """B, shape (C of the output, r)."""
    scale: float
    """s, of what the pair adds."""


class AdaptedConvolution(NamedTuple):
    """A frozen convolution and the pairs that are trained beside it."""

    weight: Tensor
    """Shape (C of the output, C of the input, kernel rows, kernel columns)."""
    bias: Tensor | None
    pairs: tuple[ConvolutionPair, ...]
    stride: Both
    padding: Both


def convolved(convolution: AdaptedConvolution, maps: Tensor) -> Tensor:
    """The maps of a convolution with its pairs.

    Args:
        convolution: The layer.
        maps: Shape (B, C, H, W).

    Returns:
        Shape (B, C of the output, H of the output, W of the output).
    """
    tensors, rebuilt = flattened(convolution)
    return cast(Tensor, _Convolution.apply(rebuilt, maps, *tensors))


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rebuilt: Any, maps: Tensor, *tensors: Tensor | None) -> Tensor:
        convolution: AdaptedConvolution = rebuilt(tensors)
        with without_autocast(maps):
            lying = _lying(maps.float())
            bias = None if convolution.bias is None else convolution.bias.float()
            stride, padding = convolution.stride, convolution.padding
            output = conv2d(lying, _joined(convolution), bias, stride=stride, padding=padding)
        ctx.rebuilt, ctx.dtype = rebuilt, maps.dtype
        ctx.save_for_backward(lying, *tensors)
        return output.to(maps.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        maps, *tensors = ctx.saved_tensors
        convolution: AdaptedConvolution = ctx.rebuilt(tensors)
        needs: AdaptedConvolution = ctx.rebuilt(ctx.needs_input_grad[2:])
        of_maps: Tensor | None = None
        with without_autocast(gradient):
            gradient = _lying(gradient.float())
            of_bias = gradient.sum(dim=(0, 2, 3)) if needs.bias is True else None
            if ctx.needs_input_grad[1]:
                weight = _joined(convolution)
                of_maps, _ = _gradients(convolution, gradient, maps, weight, needs=(True, False))
                of_maps = of_maps.to(ctx.dtype)
            of_pairs = [
                _pair_gradients(convolution, pair, gradient, maps, needed)
                for pair, needed in zip(convolution.pairs, needs.pairs, strict=True)
            ]
        of_tensors = convolution._replace(
            weight=cast(Any, None), bias=of_bias, pairs=tuple(of_pairs)
        )
        return None, of_maps, *flattened(of_tensors)[0]


def _joined(convolution: AdaptedConvolution) -> Tensor:
    """W + Σ s·B·A, channels last in memory."""
    weight = _flat(convolution.weight.float())
    for down, up, scale in convolution.pairs:
        weight = torch.addmm(weight, up.float(), _flat(down.float()), alpha=scale)
    outputs, channels, rows, columns = convolution.weight.shape
    return weight.view(outputs, rows, columns, channels).permute(0, 3, 1, 2)


def _flat(weight: Tensor) -> Tensor:
    """A weight as a matrix on what lies under it, shape (C of the output, rows · columns · C)."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def _pair_gradients(
    convolution: AdaptedConvolution,
    pair: ConvolutionPair,
    gradient: Tensor,
    maps: Tensor,
    needs: ConvolutionPair,
) -> ConvolutionPair:
    of_down = of_up = None
    down = _lying(pair.down.float())
    if needs.down is True:
        up = pair.up.float().t().mul(pair.scale)[:, :, None, None]  # (r, C of the output, 1, 1)
        of_hidden = conv2d(gradient, _lying(up))
        _, of_down = _gradients(convolution, of_hidden, maps, down, needs=(False, True))
    if needs.up is True:
        hidden = conv2d(maps, down, stride=convolution.stride, padding=convolution.padding)
        of_up = (_rows(hidden).t() @ _rows(gradient)).t().mul(pair.scale)
    return pair._replace(down=cast(Any, of_down), up=cast(Any, of_up))


def _gradients(
    convolution: AdaptedConvolution,
    gradient: Tensor,
    maps: Tensor,
    weight: Tensor,
    *,
    needs: tuple[bool, bool],
) -> tuple[Tensor, Tensor]:
    """The gradients of the maps and of a weight, each where it is needed."""
    of_maps, of_weight, _ = torch.ops.aten.convolution_backward(
        gradient,
        maps,
        weight,
        None,
        convolution.stride,
        convolution.padding,
        (1, 1),
        False,
        (0, 0),
        1,
        [*needs, False],
    )
    return of_maps, of_weight


def _lying(maps: Tensor) -> Tensor:
    """Maps, or a weight, with their channels last in memory."""
    return maps.contiguous(memory_format=torch.channels_last)


def _rows(maps: Tensor) -> Tensor:
    """Maps with their channels last as a matrix, shape (places, C)."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)
