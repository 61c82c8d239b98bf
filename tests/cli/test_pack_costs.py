"""`evlora pack` shows what it will cost before it begins."""

import json
from pathlib import Path

import pytest
from command import Command
from one_colour import prepared_pictures


@pytest.mark.slow
def test_the_command_shows_what_packing_costs_before_it_begins(
    tmp_path: Path, evlora: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared_pictures(tmp_path, 100)
    monkeypatch.chdir(tmp_path)
    keys = ("clip.frames=1", "clip.modalities=[rgb]")
    made = evlora("pack", "dataset", "out", *keys, "--lossy", "jpeg:95", "--workers", "0")
    assert made.returncode == 0, made.stderr
    assert "measured on 8 of 100 samples" in made.stdout
    assert "times the size of the files" in made.stdout
    packed = json.loads(Path("out/dataset.json").read_text())["packed"]
    assert packed["rendering"]["shorter_side_px"] == 256
    wrong = evlora("pack", "dataset", "other", *keys, "--lossy", "gif:95")
    assert wrong.returncode == 2
    assert "error: packing: lossy: expected jpeg:QUALITY" in wrong.stderr
