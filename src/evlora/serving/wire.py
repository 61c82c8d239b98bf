"""What passes between the service and its decoders: JSON and arrays of bytes, never a pickle.

A decoder that a hostile file has taken over can send anything; what it sends is measured before it
is taken, and is nothing but numbers and text.
"""

import json
import math
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
MOST_BYTES_OF_TEXT = 1 << 22


class Message(NamedTuple):
    """What one side sends the other."""

    about: dict[str, Any]
    arrays: dict[str, Bytes]


def send(
    connection: "Connection[Any, Any]", about: Mapping[str, Any], arrays: Mapping[str, Bytes]
) -> None:
    """Send a message.

    Args:
        connection: To the other side.
        about: What JSON can hold.
        arrays: By name, uint8, of any shape.
    """
    shapes = {name: array.shape for name, array in arrays.items()}
    connection.send_bytes(json.dumps({"about": about, "shapes": shapes}).encode())
    for array in arrays.values():
        connection.send_bytes(array.tobytes())


def receive(connection: "Connection[Any, Any]", *, most_bytes: int) -> Message:
    """The next message.

    Args:
        connection: To the other side.
        most_bytes: How large each array may be.

    Raises:
        EOFError: The other side has ended.
        OSError: It sent more than it may.
        ValueError: It sent something else.
    """
    content = json.loads(connection.recv_bytes(MOST_BYTES_OF_TEXT))
    arrays: dict[str, Bytes] = {}
    for name, shape in content["shapes"].items():
        if math.prod(shape) > most_bytes:
            raise OSError(f"{name}: expected at most {most_bytes:,} bytes, got shape {shape}")
        array = np.empty(shape, np.uint8)
        if array.nbytes:
            connection.recv_bytes_into(array.data.cast("B"))
        else:
            connection.recv_bytes(0)
        arrays[name] = array
    return Message(content["about"], arrays)
