"""The shape alphabet of evlora, and the check that holds it at every public border.

B clips in a batch · T moments in a clip · C channels · H, W pixels · N tokens · D width of a token
· K classes.
"""

from collections.abc import Mapping

from torch import Tensor

from evlora.errors import ShapeError


def require_shape(tensor: Tensor, shape: str, *, name: str, **sizes: int) -> Mapping[str, int]:
    """The sizes of `tensor` by letter, after checking it against `shape`.

    Args:
        tensor: What came.
        shape: The expected axes, separated by spaces: letters of the alphabet or numbers, such as
            `"B T 3 H W"`.
        name: What the tensor is called in the message.
        **sizes: Letters whose size is known already.

    Raises:
        ShapeError: The number of axes differs, or the size of one does.
    """
    axes = shape.split()
    expected = [int(axis) if axis.isdigit() else sizes.get(axis) for axis in axes]
    fits = len(axes) == tensor.ndim and all(
        size is None or size == got for size, got in zip(expected, tensor.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(
            axis if size is None or axis.isdigit() else f"{axis}={size}"
            for axis, size in zip(axes, expected, strict=True)
        )
        raise ShapeError(f"{name}: expected shape ({wanted}), got {tuple(tensor.shape)}")
    return {axis: size for axis, size in zip(axes, tensor.shape, strict=True) if not axis.isdigit()}
