"""The cameras of iniVation and the INI in Zürich, by the names that AEDAT headers give them."""

SENSOR_OF_CAMERA = {
    "DVS128": (128, 128),
    "TMPDIFF128": (128, 128),
    "DAVIS128": (128, 128),
    "DAVIS208": (208, 192),
    "DAVIS240": (240, 180),
    "DAVIS346": (346, 260),
    "DAVIS640": (640, 480),
    "DVXPLORER": (640, 480),
}
"""Start of the camera's name in the header → width and height."""


def size_of_camera(name: str) -> tuple[int, int] | None:
    """Width and height of a camera by the start of its name; None where it is not known."""
    for start, size in SENSOR_OF_CAMERA.items():
        if name.upper().startswith(start):
            return size
    return None
