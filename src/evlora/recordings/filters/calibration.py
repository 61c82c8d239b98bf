"""What a lens does, from a calibration file: OpenCV's, ROS's camera_info, or the same as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError

MOST_BYTES = 1 << 20
COEFFICIENTS = (4, 5, 8)
MATRIX_KEYS = ("camera_matrix", "cameraMatrix", "K", "camera_intrinsics")
COEFFICIENT_KEYS = ("distortion_coefficients", "distCoeffs", "dist_coeffs", "D", "distortion")
MODELS = ("plumb_bob", "rational_polynomial", "radtan", "pinhole", "none")
"""Names of the model that files give; others, such as fisheye, are refused."""

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A pinhole camera with OpenCV's radial and tangential distortion."""

    matrix: NDArray[np.float64]
    """Focal lengths and centre in pixels, shape (3, 3)."""
    coefficients: NDArray[np.float64]
    """k1, k2, p1, p2, k3, k4, k5, k6, shape (8,); those that a file does not state are 0."""
    size_px: tuple[int, int] | None
    """Width and height of the sensor it holds for, where the file states them."""

    def distort(self, points: Points) -> Points:
        """Where the lens puts what an ideal one would put at these pixels.

        OpenCV's documentation of its module calib3d has the equations.

        Args:
            points: Columns and rows in pixels, shape (N, 2).
        """
        x, y = self._normal(points)
        x, y = self._bent(x, y)
        return self._in_pixels(x, y)

    def undistort(self, points: Points, *, steps: int = 20) -> Points:
        """Where an ideal lens would put what this one puts at these pixels.

        The equations are solved by fixed-point steps, as OpenCV's `undistortPoints` does in 5; more
        of them reach a hundredth of a pixel at the corners of wide lenses too.

        Args:
            points: Columns and rows in pixels, shape (N, 2).
            steps: How many.
        """
        seen_x, seen_y = self._normal(points)
        x, y = seen_x, seen_y
        for _ in range(steps):
            scale, shift_x, shift_y = self._terms(x, y)
            x, y = (seen_x - shift_x) / scale, (seen_y - shift_y) / scale
        return self._in_pixels(x, y)

    def _normal(self, points: Points) -> tuple[Points, Points]:
        centre = self.matrix[:2, 2]
        focal = np.diag(self.matrix)[:2]
        normal = (points - centre) / focal
        return normal[:, 0], normal[:, 1]

    def _in_pixels(self, x: Points, y: Points) -> Points:
        return np.stack([x, y], axis=1) * np.diag(self.matrix)[:2] + self.matrix[:2, 2]

    def _bent(self, x: Points, y: Points) -> tuple[Points, Points]:
        scale, shift_x, shift_y = self._terms(x, y)
        return x * scale + shift_x, y * scale + shift_y

    def _terms(self, x: Points, y: Points) -> tuple[Points, Points, Points]:
        """The radial scale and the tangential shifts."""
        k1, k2, p1, p2, k3, k4, k5, k6 = self.coefficients
        r2 = x * x + y * y
        scale = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        shift_x = 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        shift_y = p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        return scale, shift_x, shift_y


def read_calibration(path: str | Path) -> Calibration:
    """The calibration in a file: .yaml, .yml or .json.

    Matrices are lists of rows, flat lists, or mappings with `data`, as OpenCV's FileStorage and
    ROS's camera_info have them. The key of the matrix is one of `camera_matrix`, `K`; that of the
    coefficients, 4, 5 or 8 in OpenCV's order, one of `distortion_coefficients`, `D`.

    Raises:
        RecordingError: It cannot be read, a key is missing, numbers are none, or it describes
            another model of lens, such as fisheye.
    """
    path = Path(path)
    content = _content(path)
    model = content.get("distortion_model", content.get("camera_model", "plumb_bob"))
    if model not in MODELS:
        raise RecordingError(
            f"{path}: expected a pinhole lens with radial and tangential distortion "
            f"({', '.join(MODELS)}), got {model!r}; calibrate with that model"
        )
    matrix = _numbers(path, content, MATRIX_KEYS, counts=(9, 4))
    if len(matrix) == 4:  # Kalibr's fu, fv, pu, pv
        matrix = np.array([matrix[0], 0, matrix[2], 0, matrix[1], matrix[3], 0, 0, 1])
    matrix = matrix.reshape(3, 3)
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0 and matrix[0, 1] == 0):
        raise RecordingError(
            f"{path}: expected a camera matrix with positive focal lengths and no skew, "
            f"got {matrix.tolist()}"
        )
    stated = _numbers(path, content, COEFFICIENT_KEYS, counts=COEFFICIENTS)
    coefficients = np.zeros(8)
    coefficients[: len(stated)] = stated
    return Calibration(matrix, coefficients, _size(content))


def _content(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise RecordingError(f"{path}: expected a calibration of at most {MOST_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path}: expected a calibration file, {error}") from error
    content = _of_json(path, text) if path.suffix == ".json" else _of_yaml(path, text)
    if not isinstance(content, dict):
        raise RecordingError(f"{path}: expected keys and values, got {type(content).__name__}")
    first = cast(dict[str, Any], content)
    # Kalibr puts each camera under a name of its own.
    return first["cam0"] if isinstance(first.get("cam0"), dict) else first


def _of_json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{path}: is no JSON: {error}") from error


def _of_yaml(path: Path, text: str) -> Any:
    import yaml

    from evlora.untrusted_yaml import build_yaml, fault_in_yaml

    if text.startswith("%YAML:"):  # OpenCV's first line, which no YAML parser takes
        text = text.partition("\n")[2]
    try:
        return build_yaml(text, _without_opencv_tags)
    except yaml.YAMLError as error:
        raise RecordingError(f"{path}: is no YAML: {fault_in_yaml(error)}") from error


def _without_opencv_tags(root: Any) -> None:
    """Take OpenCV's matrices as the mappings that they are; other tags are refused later."""
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if node.tag == "tag:yaml.org,2002:opencv-matrix":
            node.tag = "tag:yaml.org,2002:map"
        if isinstance(node.value, list):
            for part in node.value:
                nodes += part if isinstance(part, tuple) else [part]


def _numbers(
    path: Path, content: Mapping[str, Any], keys: Sequence[str], *, counts: Sequence[int]
) -> NDArray[np.float64]:
    key = next((key for key in keys if key in content), None)
    if key is None:
        raise RecordingError(f"{path}: expected a key of {', '.join(keys)}, found {list(content)}")
    value = content[key]
    if isinstance(value, dict):
        value = cast(dict[str, Any], value).get("data")
    try:
        numbers = np.asarray(value, np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise RecordingError(f"{path}: {key}: expected numbers, got {value!r}") from error
    if len(numbers) not in counts or not np.isfinite(numbers).all():
        expected = " or ".join(map(str, counts))
        raise RecordingError(f"{path}: {key}: expected {expected} numbers, got {value!r}")
    return numbers


def _size(content: Mapping[str, Any]) -> tuple[int, int] | None:
    pairs = (("image_width", "image_height"), ("width", "height"))
    for width, height in pairs:
        if isinstance(content.get(width), int) and isinstance(content.get(height), int):
            return content[width], content[height]
    resolution = content.get("resolution", content.get("image_size"))
    is_pair = isinstance(resolution, list) and len(cast(list[Any], resolution)) == 2
    return (int(resolution[0]), int(resolution[1])) if is_pair and resolution else None
