"""An upload comes out as ranked labels, or as one sentence."""

import base64
import errno
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import client_of, recording_of
from starlette.testclient import TestClient

import evlora
from evlora.recordings import Recording, write_recording
from evlora.serving.uploaded import write_packed_clip


def posted(client: TestClient, path: Path, query: str = "", name: str | None = None, **others: Any):
    files = {"recording": (name or path.name, path.read_bytes()), **others}
    return client.post(f"/predict{query}", files=files)


@pytest.fixture(scope="module")
def expected(tiny_bundle: Path, recording: Path) -> dict[str, float]:
    found = evlora.predict(evlora.load_bundle(tiny_bundle), recording)
    return {one.label: one.probability for one in found}


def labels_of(answer: Any) -> dict[str, float]:
    return {one["label"]: one["probability"] for one in answer.json()["labels"]}


def test_a_recording_gets_the_labels_that_predict_gives(
    client: TestClient, recording: Path, expected: dict[str, float]
) -> None:
    answer = posted(client, recording)
    assert answer.status_code == 200
    assert list(labels_of(answer)) == list(expected)
    assert labels_of(answer) == pytest.approx(expected)
    content = answer.json()
    assert content["recording"]["events"] == 900
    assert content["recording"]["frames"] == 3
    assert content["recording"]["width"] == 40
    assert content["warnings"] == []
    assert not content.keys() & {"moments", "pictures", "relevance"}
    assert content["timing_ms"]["total"] >= content["timing_ms"]["network"] > 0


def test_the_name_of_an_upload_picks_a_reader_and_nothing_else(
    client: TestClient, recording: Path, uploads: Path
) -> None:
    answer = posted(client, recording, name="../../../etc/evil\x00.NPZ")
    assert answer.status_code == 200
    assert not list(uploads.iterdir())


def test_frames_may_lie_apart_from_the_events(
    client: TestClient, tmp_path: Path, tiny_bundle: Path
) -> None:
    whole = recording_of(moments=1)
    events, frame = tmp_path / "events.npz", tmp_path / "frame.png"
    write_recording(Recording(whole.events, None, "made"), events)
    assert whole.frames is not None
    Image.fromarray(whole.frames[0]).save(frame)
    answer = posted(client, events, frames=("a.png", frame.read_bytes()))
    expected = evlora.predict(
        evlora.load_bundle(tiny_bundle), evlora.open_recording(events, frames=frame)
    )
    assert labels_of(answer) == pytest.approx({one.label: one.probability for one in expected})


def test_a_packed_clip_is_answered_as_its_recording(
    client: TestClient,
    recording: Path,
    tiny_bundle: Path,
    expected: dict[str, float],
    tmp_path: Path,
) -> None:
    config = evlora.load_bundle(tiny_bundle).clip_config
    write_packed_clip(evlora.open_recording(recording), config, tmp_path / "clip.safetensors")
    answer = posted(client, tmp_path / "clip.safetensors")
    assert labels_of(answer) == pytest.approx(expected)
    damaged = (tmp_path / "clip.safetensors").read_bytes()[:-40]
    refused = client.post("/predict", files={"recording": ("clip.safetensors", damaged)})
    assert refused.status_code == 422


def test_what_an_answer_rests_on_is_shown_when_asked_for(
    client: TestClient, recording: Path
) -> None:
    answer = posted(client, recording, "?moments=true&pictures=true&relevance=true&top=2").json()
    assert [one["t_us"] for one in answer["moments"]] == sorted(
        one["t_us"] for one in answer["moments"]
    )
    assert answer["moments"][-1]["labels"][0]["label"] == answer["labels"][0]["label"]
    shares = [one["probability"] for one in answer["moments"][-1]["labels"]]
    assert shares == pytest.approx([one["probability"] for one in answer["labels"]], abs=1e-5)
    assert [one["modality"] for one in answer["pictures"]] == ["rgb"] * 2 + ["events"] * 2
    assert {image_of(one).mode for one in answer["pictures"]} == {"RGB"}
    overlays = [image_of(one) for one in answer["relevance"]]
    assert {one.mode for one in overlays} == {"RGBA"}
    assert {one.size for one in overlays} == {image_of(answer["pictures"][0]).size} == {(32, 32)}


def image_of(shown: dict[str, str]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(shown["png"].partition(",")[2])))


def test_a_hidden_modality_may_be_missing(client: TestClient, tmp_path: Path) -> None:
    events = tmp_path / "events.npz"
    write_recording(Recording(recording_of().events, None, "made"), events)
    refused = posted(client, events)
    assert refused.status_code == 422
    assert "upload the frames beside it as `frames`, or hide" in refused.json()["error"]
    assert "with ?without=rgb" in refused.json()["error"]
    assert posted(client, events, "?without=rgb").status_code == 200


def test_warnings_of_the_reader_come_with_the_answer(
    client: TestClient, tmp_path: Path, recording: Path
) -> None:
    events = tmp_path / "events.raw"
    write_recording(Recording(recording_of(moments=8).events, None, "made"), events, format="evt2")
    events.write_bytes(events.read_bytes()[:-3])
    answer = posted(client, events, "?without=rgb").json()
    assert len(answer["warnings"]) == 1
    assert answer["warnings"][0].startswith("recording.raw: ")


REFUSED: dict[str, tuple[int, dict[str, Any], str, str]] = {
    "unknown suffix": (415, {"recording": ("a.exe", b"MZ")}, "", "by its suffix"),
    "no suffix": (415, {"recording": ("a", b"abc")}, "", "got 'none'"),
    "empty": (422, {"recording": ("a.npz", b"")}, "", "empty"),
    "damaged": (422, {"recording": ("a.npz", b"PK\x03\x04 no more")}, "", "recording.npz"),
    "another format": (422, {"recording": ("a.dat", b"% evt 3.0\n")}, "", "`evlora convert --f"),
    "no size": (422, {"recording": ("a.csv", b"t,x,y,p\n1,2,3,1\n")}, "", "`evlora convert --w"),
    "not a picture": (422, {"recording": ("a.png", b"\x89PNG\r\n\x1a\n")}, "", "recording.png"),
    "no recording": (400, {"frames": ("a.png", b"abc")}, "", "one file `recording`"),
    "further file": (400, {"a": ("a.png", b"abc")}, "", "one file `recording`"),
    "unknown bundle": (404, {"recording": ("a.npz", b"abc")}, "?bundle=secund", "second"),
    "no label": (422, {"recording": ("a.npz", b"abc")}, "?top=0", "top"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_request_is_refused_in_one_sentence(
    name: str, client: TestClient, uploads: Path
) -> None:
    status, files, query, words = REFUSED[name]
    answer = client.post(f"/predict{query}", files=files)
    assert answer.status_code == status
    reason = answer.json()["error"]
    assert words in reason
    assert "\n" not in reason
    assert "or --" not in reason
    assert not re.search(r"Traceback|/tmp|/work|/home|uploads", reason)
    assert not list(uploads.iterdir())


def test_a_request_without_a_form_is_refused(client: TestClient) -> None:
    assert client.post("/predict", content=b"abc").status_code == 415
    headers = {"content-type": "multipart/form-data"}
    assert client.post("/predict", content=b"abc", headers=headers).status_code == 400
    assert client.post("/predict", data={"recording": "text"}).status_code == 415


def test_an_upload_beyond_the_limit_is_cut_off(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, uploads: Path
) -> None:
    monkeypatch.setenv("EVLORA_LIMITS", "upload_bytes=1000")
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="recording"; filename="a.npz"\r\n\r\n'
        for _ in range(1000):
            sent += 1
            yield bytes(1 << 16)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    streamed = client.post("/predict", content=endless(), headers=headers)
    stated = client.post("/predict", files={"recording": ("a.npz", bytes(1 << 20))})
    for answer in (streamed, stated):
        assert answer.status_code == 413
        assert "upload_bytes" in answer.json()["error"]
    assert not list(uploads.iterdir())


def test_a_full_disk_is_reported_as_such(
    client: TestClient, recording: Path, monkeypatch: pytest.MonkeyPatch, uploads: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfileobj", full)
        answer = posted(client, recording)
    assert answer.status_code == 507
    assert "full" in answer.json()["error"]
    assert not list(uploads.iterdir())
    assert posted(client, recording).status_code == 200


def test_a_service_that_is_busy_refuses_at_once(client: TestClient, recording: Path) -> None:
    requests: Any = client.app.state.service.requests
    requests.inside = requests.most
    try:
        answer = posted(client, recording)
    finally:
        requests.inside = 0
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert "requests_at_once" in answer.json()["error"]


def test_a_defect_is_answered_without_a_traceback(
    client: TestClient, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = next(iter(client.app.state.service.shelf.served.values()))
    monkeypatch.setattr(served, "probabilities", lambda _: np.zeros(0)[5])
    answer = posted(client, recording)
    assert answer.status_code == 500
    assert answer.json() == {
        "error": "the service has failed at this request; the reason is in its log"
    }
    monkeypatch.undo()
    assert posted(client, recording).status_code == 200


def test_a_token_is_asked_for_everywhere_but_at_health(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    with client_of(tiny_bundle, token="correct horse battery", page=tmp_path) as client:
        paths = ["/bundles", "/ready", "/metrics", "/limits", "/docs", "/openapi.json", "/x"]
        assert {client.get(path).status_code for path in paths} == {401}
        assert client.post("/predict").status_code == 401
        for wrong in ("Bearer", "Bearer nothing", "Basic correct horse battery", "Bearer é"):
            headers = {"Authorization": wrong.encode()}
            assert client.get("/bundles", headers=headers).status_code == 401
        assert client.get("/health").json() == {"status": "ok"}
        page = client.get("/")  # its files hold no secret, and a browser gives no token for them
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        headers = {"Authorization": "Bearer correct horse battery"}
        assert client.get("/bundles", headers=headers).status_code == 200
