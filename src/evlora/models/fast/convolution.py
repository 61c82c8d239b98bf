"""A frozen convolution with its low-rank pairs as one convolution, one step of autograd.

The pairs are convolutions beside a frozen one, over the same maps, which are larger than any
weight. Here they are added to the weight in each step, W + Σ B·A, and the maps are passed once. On
the way back the gradient of A and B is that of a linear layer on the patches under the kernel; the
frozen weight has none. Maps lie with their channels last, as the libraries' kernels have them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from evlora.models.fast.precision import without_autocast
from evlora.models.fast.structure import flattened

FEWEST_MAPS = 64
"""Input maps from which on patches are cheaper than the gradient of the whole weight: evlora-nano's
stem, 16 pictures of 64 px, one thread."""

Both = tuple[int, ...]
"""Of rows and of columns."""


class ConvolutionPair(NamedTuple):
    """A low-rank pair: a narrow convolution and a mixture of its maps."""

    down: Tensor
    """A, shape (r, C of the input, kernel rows, kernel columns)."""
    up: Tensor
    """B with its scale, shape (C of the output, r)."""


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


def patches_of(maps: Tensor, convolution: AdaptedConvolution) -> Tensor:
    """What lies under the kernel at each of its places.

    Args:
        maps: Shape (B, C, H, W), channels last in memory.
        convolution: Whose kernel, stride and padding count.

    Returns:
        Shape (places, kernel rows · kernel columns · C).
    """
    (up, left), (down, right) = convolution.padding, convolution.stride
    rows, columns = convolution.weight.shape[2:]
    padded = pad(maps.permute(0, 2, 3, 1), (0, 0, left, left, up, up))  # (B, H, W, C)
    count, height, width, channels = padded.shape
    of_map, of_row, of_column, of_channel = padded.contiguous().stride()
    shape = (count, (height - rows) // down + 1, (width - columns) // right + 1)
    steps = (of_map, of_row * down, of_column * right, of_row, of_column, of_channel)
    windows = padded.as_strided((*shape, rows, columns, channels), steps)
    return windows.reshape(-1, rows * columns * channels)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rebuilt: Any, maps: Tensor, *tensors: Tensor | None) -> Tensor:
        convolution: AdaptedConvolution = rebuilt(tensors)
        with without_autocast(maps):
            lying = maps.float().contiguous(memory_format=torch.channels_last)
            bias = None if convolution.bias is None else convolution.bias.float()
            output = conv2d(
                lying,
                _joined(convolution),
                bias,
                stride=convolution.stride,
                padding=convolution.padding,
            )
        ctx.rebuilt, ctx.dtype = rebuilt, maps.dtype
        ctx.save_for_backward(lying, *tensors)
        return output.to(maps.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        maps, *tensors = ctx.saved_tensors
        convolution: AdaptedConvolution = ctx.rebuilt(tensors)
        needs: AdaptedConvolution = ctx.rebuilt(ctx.needs_input_grad[2:])
        with without_autocast(gradient):
            gradient = gradient.float().contiguous(memory_format=torch.channels_last)
            of_bias = gradient.sum(dim=(0, 2, 3)) if needs.bias is True else None
            with_patches = maps.shape[1] >= FEWEST_MAPS
            of_maps, of_weight = _whole_gradients(
                convolution,
                gradient,
                maps,
                needs=(ctx.needs_input_grad[1], not with_patches),
            )
            if with_patches:
                of_pairs = _pair_gradients(convolution, gradient, maps, needs.pairs)
            else:
                of_pairs = [
                    _share(pair, of_weight, needs=needed)
                    for pair, needed in zip(convolution.pairs, needs.pairs, strict=True)
                ]
        of_tensors = convolution._replace(
            weight=cast(Any, None), bias=of_bias, pairs=tuple(of_pairs)
        )
        of_maps = of_maps.to(ctx.dtype) if ctx.needs_input_grad[1] else None
        return None, of_maps, *flattened(of_tensors)[0]


def _joined(convolution: AdaptedConvolution) -> Tensor:
    """W + Σ B·A, channels last in memory."""
    weight = _flat(convolution.weight.float())
    for down, up in convolution.pairs:
        weight = torch.addmm(weight, up.float(), _flat(down.float()))
    outputs, channels, rows, columns = convolution.weight.shape
    return weight.view(outputs, rows, columns, channels).permute(0, 3, 1, 2)


def _flat(weight: Tensor) -> Tensor:
    """A weight as a matrix on patches, shape (C of the output, kernel rows · columns · C)."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def _unflat(matrix: Tensor, shape: torch.Size) -> Tensor:
    """The weight of this shape whose matrix on patches it is."""
    _, channels, rows, columns = shape
    return matrix.unflatten(1, (rows, columns, channels)).permute(0, 3, 1, 2)


def _whole_gradients(
    convolution: AdaptedConvolution, gradient: Tensor, maps: Tensor, *, needs: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """The gradients of the maps and of W + Σ B·A, each where it is needed."""
    of_maps, of_weight, _ = torch.ops.aten.convolution_backward(
        gradient,
        maps,
        _joined(convolution),
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


def _share(pair: ConvolutionPair, of_weight: Tensor, *, needs: ConvolutionPair) -> ConvolutionPair:
    """The gradients of a pair from that of W + Σ B·A."""
    flat, of_down, of_up = _flat(of_weight), None, None
    if needs.down is True:
        of_down = _unflat(pair.up.t() @ flat, pair.down.shape)
    if needs.up is True:
        of_up = flat @ _flat(pair.down).t()
    return ConvolutionPair(cast(Any, of_down), cast(Any, of_up))


def _pair_gradients(
    convolution: AdaptedConvolution,
    gradient: Tensor,
    maps: Tensor,
    needs: Sequence[ConvolutionPair],
) -> list[ConvolutionPair]:
    """The gradients of the pairs from the patches."""
    patches = patches_of(maps, convolution)  # (places, kernel · C)
    flat = gradient.permute(0, 2, 3, 1).flatten(0, 2)  # (places, C of the output)
    found: list[ConvolutionPair] = []
    for pair, needed in zip(convolution.pairs, needs, strict=True):
        of_down = of_up = None
        if needed.down is True:
            of_hidden = pair.up.t() @ flat.t()  # (r, places)
            of_down = _unflat(of_hidden @ patches, pair.down.shape)
        if needed.up is True:
            hidden = _flat(pair.down) @ patches.t()  # (r, places)
            of_up = (hidden @ flat).t()
        found.append(ConvolutionPair(cast(Any, of_down), cast(Any, of_up)))
    return found
