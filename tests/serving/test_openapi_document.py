"""The OpenAPI document and the service agree: schemathesis asks for what it allows and forbids."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from running_service import TOKEN, running

BESIDE_PYTHON = str(Path(sys.executable).parent)
SCHEMATHESIS = shutil.which("st", path=os.pathsep.join((BESIDE_PYTHON, os.environ["PATH"])))
EXAMPLES = 8
"""Of each route and kind of request."""


@pytest.mark.slow
@pytest.mark.skipif(SCHEMATHESIS is None, reason="needs schemathesis; pip install schemathesis")
def test_every_request_is_answered_as_the_document_states(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    words = (f"one={tiny_bundle}", "--decoders", "1", "--uploads", uploads)
    with running(*words) as service:
        done = subprocess.run(
            [
                *(str(SCHEMATHESIS), "run", f"{service.url}/openapi.json"),
                *("--header", f"Authorization: Bearer {TOKEN}", "--seed", "1"),
                *("--max-examples", str(EXAMPLES), "--continue-on-failure"),
                # A sound form may hold any bytes as its recording, most of which are none.
                *("--exclude-checks", "positive_data_acceptance"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stdout
        assert not list(uploads.iterdir())
        assert "Traceback" not in service.end()
