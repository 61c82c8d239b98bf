"""Files that `evlora export` wrote, served beside bundles."""

from pathlib import Path

import pytest
from exportable import exportable
from running_service import TOKEN, running
from served import opening, written
from websockets.sync.client import connect

import evlora
import evlora_runtime

pytestmark = pytest.mark.slow


def test_an_exported_file_is_served_with_the_answers_of_its_runner(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    recognizer = exportable("events", test_views={"segments": 2})
    recognizer.temperature = 0.4
    file = tmp_path / "gestures.onnx"
    evlora.export(recognizer, file)
    recordings: list[Path] = []
    for seed in range(6):
        (tmp_path / str(seed)).mkdir()
        recordings.append(written(tmp_path / str(seed), moments=4, seed=seed))
    runner = evlora_runtime.load(file)
    with running(file, f"bundle={tiny_bundle}", "--decoders", "2") as service:
        rows = service.http.get("/bundles").json()
        assert [row["name"] for row in rows] == ["gestures", "bundle"]
        assert rows[0]["labels"] == list(recognizer.labels)
        for recording in recordings:
            answer = service.predict(recording)
            assert answer.status_code == 200, answer.text
            wanted = runner.predict(recording)
            assert [one["label"] for one in answer.json()["labels"]] == [
                one.label for one in wanted
            ]
            assert [one["probability"] for one in answer.json()["labels"]] == pytest.approx(
                [one.probability for one in wanted], abs=1e-5
            )
        query = {"moments": True, "pictures": True, "relevance": True}
        content = service.predict(recordings[0], params=query).json()
        assert len(content["pictures"]) == 3
        assert content["moments"] == content["relevance"] == []
        assert ["serve the bundle" in text for text in content["warnings"]] == [True, True]
        with connect(f"{service.url.replace('http', 'ws')}/live", proxy=None) as socket:
            socket.send(opening(token=TOKEN))
            assert "serve the bundle" in str(socket.recv())
        assert "Traceback" not in service.end()
