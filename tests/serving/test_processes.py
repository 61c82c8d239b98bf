"""The service as a process, and its decoders as processes with bounds."""

import json
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil
import pytest
from running_service import TOKEN, Running, running
from served import moments_of, opening, recording_of
from websockets.sync.client import connect

import evlora
from evlora.serving.decoders import DecoderProcess
from evlora.serving.refusals import Refusal

pytestmark = pytest.mark.slow
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


def test_a_service_answers_survives_its_decoders_and_ends_in_order(
    tiny_bundle: Path, recording: Path, tmp_path: Path
) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    words = (f"one={tiny_bundle}", "--decoders", "1", "--uploads", uploads)
    with running(*words, EVLORA_LIMITS="decoder_seconds=5 upload_bytes=3000000") as service:
        assert httpx2.get(f"{service.url}/bundles").status_code == 401
        assert httpx2.get(f"{service.url}/health").status_code == 200
        elsewhere = service.http.get("/bundles", headers={"Host": "elsewhere.example"})
        assert elsewhere.status_code == 400
        expected = [one.label for one in evlora.predict(evlora.load_bundle(tiny_bundle), recording)]
        answer = service.predict(recording)
        assert [one["label"] for one in answer.json()["labels"]] == expected

        _a_killed_decoder_is_an_answer(service, recording)
        _a_camera_is_answered(service)
        _a_cut_connection_leaves_nothing(service, uploads)
        for _ in range(20):  # the reason arrives, though the client is still sending
            too_large = {"recording": ("a.npz", bytes(3_200_000))}
            assert service.http.post("/predict", files=too_large).status_code == 413

        waiting: list[httpx2.Response] = []
        for one in service.decoders():
            one.suspend()
        request = threading.Thread(target=lambda: waiting.append(service.predict(recording)))
        request.start()
        while request.is_alive() and not list(uploads.iterdir()):
            time.sleep(0.01)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        for one in service.decoders():
            one.resume()
        request.join()
        assert waiting[0].status_code == 200  # what runs is finished
        text = service.end()
        assert "Traceback" not in text
        assert not list(uploads.iterdir())


def _a_killed_decoder_is_an_answer(service: Running, recording: Path) -> None:
    decoders = service.decoders()
    assert len(decoders) == 1
    for one in decoders:
        one.kill()
    psutil.wait_procs(decoders)
    assert service.predict(recording).status_code == 200  # others have taken their place
    for one in service.decoders():
        one.suspend()
    answers: list[httpx2.Response] = []
    request = threading.Thread(target=lambda: answers.append(service.predict(recording)))
    request.start()
    time.sleep(0.5)
    for one in service.decoders():
        one.kill()
    request.join()
    assert answers[0].status_code == 503
    assert "killed" in answers[0].json()["error"]
    assert service.predict(recording).status_code == 200


def _a_camera_is_answered(service: Running) -> None:
    with connect(f"{service.url.replace('http', 'ws')}/live", proxy=None) as socket:
        socket.send(opening(token=TOKEN))
        for events, picture in moments_of(recording_of(moments=3)):
            socket.send(events)
            socket.send(picture)
            answer = json.loads(socket.recv())
        assert answer["moments"] == 2
        assert len(answer["labels"]) == 3


def _a_cut_connection_leaves_nothing(service: Running, uploads: Path) -> None:
    def cut() -> Generator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="recording"; filename="a.npz"\r\n\r\n'
        yield bytes(1 << 21)
        until = time.monotonic() + 30
        while not list(uploads.iterdir()) and time.monotonic() < until:
            time.sleep(0.05)
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        service.http.post("/predict", content=cut(), headers=FORM)
    until = time.monotonic() + 10
    while list(uploads.iterdir()) and time.monotonic() < until:
        time.sleep(0.05)
    assert not list(uploads.iterdir())


ON_A_SMALL_DISK = 'mount -t tmpfs -o size=3m none "$0" && mkdir "$0/uploads" && exec "$@"'
"""Runs a command where a folder is a disk of 3 MiB, which nothing outside sees."""


def test_a_full_disk_slow_uploads_and_a_killed_service_are_as_documented(
    tiny_bundle: Path, recording: Path
) -> None:
    disk = Path(tempfile.mkdtemp())  # sockets in it take names of 107 characters at most
    within = ("unshare", "-rm", "sh", "-c", ON_A_SMALL_DISK, disk)
    if shutil.which("unshare") is None or subprocess.run([*within, "true"], check=False).returncode:
        pytest.skip("no disk of its own can be made here, such as in a container without the right")
    words = (tiny_bundle, "--decoders", "1", "--uploads", disk / "uploads")
    limits = "upload_seconds=2 requests_at_once=2"
    with running(*words, within=within, TMPDIR=str(disk), EVLORA_LIMITS=limits) as service:
        seen = Path(f"/proc/{service.process.pid}/root{disk}/uploads")
        for size in (2_000_000, 5_000_000):  # there is room for one copy of the first
            answer = service.http.post(
                "/predict", files={"recording": (recording.name, bytes(size))}
            )
            assert (answer.status_code, "full" in answer.json()["error"]) == (507, True)
            assert not list(seen.iterdir())
            assert service.predict(recording).status_code == 200

        answer = service.http.post("/predict", content=_slowly(), headers=FORM)
        assert (answer.status_code, "2 s" in answer.json()["error"]) == (408, True)
        host, port = service.url.removeprefix("http://").split(":")
        with ExitStack() as open_ones:
            for _ in range(8):
                open_ones.enter_context(socket.create_connection((host, int(port))))
            assert httpx2.get(f"{service.url}/health").status_code == 503  # the ninth that comes

        decoders = service.decoders()
        assert decoders
        service.process.kill()
        _, left = psutil.wait_procs(decoders, timeout=20)
        assert not left


def _slowly() -> Generator[bytes]:
    yield b'--x\r\nContent-Disposition: form-data; name="recording"; filename="a.npz"\r\n\r\n'
    for _ in range(8):
        yield b"abc"
        time.sleep(0.5)


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Generator[DecoderProcess]:
    limits = "decoder_bytes=3e8 picture_px=1e9 decoder_seconds=60"
    monkeypatch.setenv("EVLORA_LIMITS", limits)
    decoder = DecoderProcess()
    yield decoder
    decoder.end()


def asked(decoder: DecoderProcess, path: Path, bundle: Path, **options: Any) -> Any:
    settings = evlora.load_bundle(bundle).clip_config.model_dump(mode="json")
    about = {
        "do": "recording",
        "folder": str(path.parent),
        "recording": path.name,
        "frames": None,
        "options": {},
        "without": None,
        "drawing": {"kind": "trained", "settings": settings},
        "middle": False,
    }
    return decoder.ask(about, most_bytes=1 << 20, **options)


def test_a_file_that_asks_for_too_much_is_refused_and_the_next_one_is_read(
    decoder: DecoderProcess, tiny_bundle: Path, recording: Path, tmp_path: Path
) -> None:
    assert asked(decoder, recording, tiny_bundle).about["recording"]["events"] == 900
    large = tmp_path / "recording.npz"
    fields = {name: np.zeros(4_000_000, np.int64) for name in "txyp"}
    np.savez_compressed(large, **fields, frames=np.zeros((400, 640, 640, 3), np.uint8))
    with pytest.raises(Refusal, match="asks for more") as refused:
        asked(decoder, large, tiny_bundle)
    assert refused.value.status == 413
    assert str(tmp_path) not in refused.value.reason
    assert asked(decoder, recording, tiny_bundle).about["recording"]["events"] == 900
    first = decoder.pid
    with pytest.raises(Refusal, match=r"within 0\.001 s"):
        asked(decoder, recording, tiny_bundle, seconds=0.001)
    assert asked(decoder, recording, tiny_bundle).about["recording"]["events"] == 900
    assert decoder.pid != first
