"""What a decoder sends is measured before it is taken."""

import json
from multiprocessing import Pipe

import numpy as np
import pytest

from evlora.serving.wire import receive, send


def test_what_is_sent_arrives() -> None:
    mine, theirs = Pipe()
    arrays = {"a": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "none": np.zeros(0, np.uint8)}
    send(mine, {"t_us": 5}, arrays)
    message = receive(theirs, most_bytes=24)
    assert message.about == {"t_us": 5}
    assert {name: one.tolist() for name, one in message.arrays.items()} == {
        name: one.tolist() for name, one in arrays.items()
    }


def test_more_than_may_come_is_not_taken() -> None:
    mine, theirs = Pipe()
    send(mine, {}, {"a": np.zeros(25, np.uint8)})
    with pytest.raises(OSError, match="at most 24 bytes"):
        receive(theirs, most_bytes=24)


@pytest.mark.parametrize("text", ["", "[]", "no JSON", json.dumps({"shapes": {"a": ["x"]}})])
def test_anything_else_is_an_error_and_nothing_more(text: str) -> None:
    mine, theirs = Pipe()
    mine.send_bytes(text.encode())
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        receive(theirs, most_bytes=24)
