"""docs/serve.md: its client and its packed clip, against a service."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import uvicorn
from code_blocks import code_blocks, run_python
from served import DecoderThread, written

import evlora
from evlora.serving.app import create_app
from evlora.serving.decoders import Decoders
from evlora.serving.recognizers import open_shelf


@contextmanager
def listening(bundle: Path) -> Generator[str]:
    """The address of a service in a thread of this process."""
    app = create_app(open_shelf([bundle]), Decoders(1, DecoderThread))
    config = uvicorn.Config(app, port=0, log_level="error", ws="websockets-sansio")
    server = uvicorn.Server(config)
    thread = Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive()
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def test_the_client_of_the_page_gets_the_labels(
    tiny_bundle: Path, project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "bundle").symlink_to(tiny_bundle)
    recording = written(tmp_path)
    page = project_root / "docs" / "serve.md"
    names: dict[str, Any] = {"evlora": evlora}
    client, packing = code_blocks(page, "python")
    run_python(client, page, names)
    run_python(packing, page, names)
    with listening(tiny_bundle) as url:
        labels = names["predict"](recording, url)
        assert labels == names["predict"](tmp_path / "clip.safetensors", url)
    expected = evlora.predict(evlora.load_bundle(tiny_bundle), recording)
    assert [one["label"] for one in labels] == [one.label for one in expected]
    assert len(client.text.split("\n\n\n")[1].splitlines()) <= 10
