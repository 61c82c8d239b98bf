"""A camera over a WebSocket gets the figures of `predict --live`, and never those of long ago."""

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import (
    client_of,
    moments_of,
    opening,
    raw_events,
    raw_picture,
    recording_of,
)
from starlette.testclient import TestClient

import evlora
from evlora.errors import RecordingError
from evlora.live import predict_live
from evlora.recordings import EventStream, Recording, write_recording
from evlora.serving.camera import ENCODED_PICTURE, EVT3_WORDS, RAW_EVENTS, Camera
from evlora.serving.live import HEADER, Sent, Waiting
from evlora.serving.refusals import Refusal


def test_a_camera_gets_the_answers_of_predict_live(client: TestClient, tiny_bundle: Path) -> None:
    recording = recording_of(moments=5)
    recognizer = evlora.load_bundle(tiny_bundle)
    expected = [
        (one.time_us, one.label, one.moments, pytest.approx(one.confidence, abs=1e-5))
        for one in predict_live(recognizer, recording, speed=0)
    ]
    found: list[Any] = []
    with client.websocket_connect("/live") as socket:
        socket.send_text(opening(stride=2))
        for events, picture in moments_of(recording):
            socket.send_bytes(events)
            socket.send_bytes(picture)
            answer = socket.receive_json()
            assert answer["dropped_moments"] == 0
            assert answer["latency_ms"] > 0
            if answer["labels"]:
                first = answer["labels"][0]
                found.append(
                    (answer["t_us"], first["label"], answer["moments"], first["probability"])
                )
    assert found == expected


def test_pictures_alone_are_enough_where_events_are_simulated(client: TestClient) -> None:
    frames = recording_of(moments=3).frames
    assert frames is not None
    with client.websocket_connect("/live") as socket:
        socket.send_text(opening(simulate=True, pictures=True, top=1))
        for number in range(3):
            content = io.BytesIO()
            Image.fromarray(frames[number]).save(content, "PNG")
            socket.send_bytes(HEADER.pack(ENCODED_PICTURE, 0, 33_000 * number) + content.getvalue())
            answer = socket.receive_json()
            assert answer["event_image"].startswith("data:image/png;base64,")
        assert len(answer["labels"]) == 1
        socket.send_bytes(raw_events(EventStream.empty(width=40, height=30), 99_000))
        socket.send_bytes(raw_picture(frames[0], 99_000))
        assert "pictures alone" in socket.receive_json()["error"]


BAD: dict[str, tuple[str, bytes, str]] = {
    "no JSON": ("hello", b"", "first message"),
    "nested too deeply": ("[" * 100_000, b"", "first message"),
    "no finite size": ('{"width": NaN, "height": Infinity}', b"", "first message"),
    "no size": ('{"width": 40}', b"", "height"),
    "unknown key": (opening(size=3), b"", "size"),
    "unknown bundle": (opening(bundle="thrid"), b"", "no bundle"),
    "short": (opening(), b"\x00", "header of 16 bytes"),
    "kind": (opening(), HEADER.pack(9, 0, 0), "kind of message"),
    "no picture": (opening(), HEADER.pack(2, 0, 0) + b"JPEG", "JPEG or PNG"),
    "another size": (opening(), HEADER.pack(3, 0, 0) + bytes(5), "40×30×3"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_ends_with_one_sentence(name: str, client: TestClient) -> None:
    first, message, words = BAD[name]
    with client.websocket_connect("/live") as socket:
        socket.send_text(first)
        if message:
            socket.send_bytes(message)
        assert words in socket.receive_json()["error"]
        assert socket.receive()["type"] == "websocket.close"


def test_a_page_of_another_host_is_refused(client: TestClient) -> None:
    headers = {"origin": "https://elsewhere.example"}
    with client.websocket_connect("/live", headers=headers) as socket:
        assert "not another page" in socket.receive_json()["error"]


def test_the_first_message_states_the_token(tiny_bundle: Path) -> None:
    with client_of(tiny_bundle, token="correct horse battery") as client:
        for token in (None, "wrong"):
            with client.websocket_connect("/live") as socket:
                socket.send_text(opening(token=token))
                assert "token" in socket.receive_json()["error"]
                assert socket.receive()["code"] == 4401


def test_cameras_beyond_the_limit_are_refused(client: TestClient) -> None:
    cameras: Any = client.app.state.service.cameras
    cameras.inside = cameras.most
    try:
        with client.websocket_connect("/live") as socket:
            socket.send_text(opening())
            assert "live_streams" in socket.receive_json()["error"]
    finally:
        cameras.inside = 0


def sent(kind: int, size: int = 10) -> Sent:
    return Sent(kind, 0, 0, np.zeros(size, np.uint8), time.perf_counter())


def test_a_moment_that_nobody_has_worked_on_gives_way_to_a_newer_one() -> None:
    waiting = Waiting(ends_moment=(2, 3))
    for kind in (0, 1, 2, 0, 3, 0):
        waiting.add(sent(kind))
    skipped, moment, dropped = waiting.take()
    assert [one.kind for one in skipped] == [EVT3_WORDS]
    assert [one.kind for one in moment] == [0, 3]
    assert dropped == 1
    waiting.add(sent(2))
    assert [one.kind for one in waiting.take()[1]] == [0, 2]


def test_what_waits_stays_small_however_long_nobody_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVLORA_LIMITS", "live_message_bytes=1000")
    waiting = Waiting(ends_moment=(2, 3))
    for _ in range(1000):
        waiting.add(sent(0, 100))
        waiting.add(sent(3, 300))
    assert waiting.bytes == 400
    assert waiting.dropped == 999
    with pytest.raises(Refusal, match="send pictures between"):
        for _ in range(11):
            waiting.add(sent(0, 100))


def test_evt3_keeps_its_clock_over_messages_and_skipped_moments(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    events = recording_of(moments=4).events
    assert events is not None
    write_recording(Recording(events, None, "made"), tmp_path / "a.raw", format="evt3")
    words = np.frombuffer((tmp_path / "a.raw").read_bytes().split(b"% end\n")[1], np.uint8)
    config = evlora.load_bundle(tiny_bundle).clip_config.model_copy(
        update={"modalities": ("event",)}
    )
    turns_us = 5 << 24
    camera = Camera(config, width=40, height=30, simulate=False)
    parts = np.array_split(words.reshape(-1, 2), 4)
    found = [
        camera.take(
            EVT3_WORDS,
            part.reshape(-1),
            t_us=turns_us,
            length_us=0,
            is_skipped=number == 1,
        )
        for number, part in enumerate(parts)
    ]
    assert found[1] is None
    last = found[3]
    assert last is not None
    assert last.t_us == turns_us + events.last_us + 1


def test_records_that_are_cut_or_lie_outside_are_refused(tiny_bundle: Path) -> None:
    config = evlora.load_bundle(tiny_bundle).clip_config
    camera = Camera(config, width=40, height=30, simulate=False)

    def take(payload: bytes) -> None:
        camera.take(
            RAW_EVENTS,
            np.frombuffer(payload, np.uint8),
            t_us=0,
            length_us=0,
            is_skipped=False,
        )

    with pytest.raises(RecordingError, match="16 bytes"):
        take(bytes(17))
    outside = np.zeros(1, [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "<u4")])
    outside["x"] = 40
    with pytest.raises(RecordingError, match="40×30"):
        take(outside.tobytes())
    with pytest.raises(RecordingError, match="pixels"):
        Camera(config, width=65535, height=65535, simulate=False)
