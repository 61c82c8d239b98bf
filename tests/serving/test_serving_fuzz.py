"""Damaged files of every format through HTTP: an answer or a reason, and the service goes on."""

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest
from fuzzing import damaged
from recording_samples import SAMPLES
from starlette.testclient import TestClient

from evlora.serving.app import create_app
from evlora.serving.decoders import DecoderProcess, Decoders
from evlora.serving.recognizers import open_shelf

FILES = int(os.environ.get("EVLORA_FUZZ_UPLOADS", "200"))
"""2,000 before a release."""
LONGEST_S = 10


@pytest.mark.slow
def test_damaged_uploads_are_refused_and_the_service_goes_on(
    tiny_bundle: Path, tmp_path: Path, recording: Path
) -> None:
    random_ = random.Random(7)
    (tmp_path / "samples").mkdir()
    samples = [
        make(tmp_path / "samples" / name.replace(".", "_")) for name, make in SAMPLES.items()
    ]
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    ended: list[str] = []
    decoders = Decoders(1, lambda: DecoderProcess(ended.append))
    app = create_app(open_shelf([tiny_bundle]), decoders, uploads=uploads)
    statuses: Counter[int] = Counter()
    with TestClient(app, raise_server_exceptions=False) as client:
        for number in range(FILES):
            sample = samples[number % len(samples)]
            without = "" if number % 2 else "?without=rgb"
            upload = (f"a{sample.suffix}", damaged(sample.read_bytes(), random_))
            begun = time.perf_counter()
            answer = client.post(f"/predict{without}", files={"recording": upload})
            assert time.perf_counter() - begun < LONGEST_S
            assert answer.status_code == 200 or answer.json()["error"], sample
            assert str(tmp_path) not in answer.text
            statuses[answer.status_code] += 1
        sound = {"recording": (recording.name, recording.read_bytes())}
        assert client.post("/predict", files=sound).status_code == 200
    assert statuses.keys() <= {200, 413, 415, 422}, statuses
    assert min(statuses[200], statuses[422]) > 20
    assert not list(uploads.iterdir())
    assert not ended
