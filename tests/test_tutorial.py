"""The tutorial, word by word, in a folder of generated recordings."""

from pathlib import Path

import pytest
from code_blocks import code_blocks, commands, run_evlora, run_python
from own_recordings import make_own_recordings


@pytest.mark.slow
def test_every_step_runs(
    project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    make_own_recordings(tmp_path, per_class=12)
    monkeypatch.chdir(tmp_path)
    tutorial = project_root / "docs" / "tutorial.md"
    blocks = code_blocks(tutorial, "sh", "python")
    assert len(blocks) == 6
    for block in blocks:
        if block.kind == "python":
            run_python(block, tutorial, {})
            continue
        for words in commands(block):
            run_evlora(words, monkeypatch)
    assert (tmp_path / "look.png").is_file()
    assert capsys.readouterr().out.rstrip().endswith("%")


@pytest.mark.slow
def test_the_output_that_it_shows_is_what_is_printed(
    project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    make_own_recordings(tmp_path, per_class=12)
    monkeypatch.chdir(tmp_path)
    tutorial = project_root / "docs" / "tutorial.md"
    shown = tutorial.read_text(encoding="utf-8")
    inspecting, preparing = code_blocks(tutorial, "sh")[:2]
    for block in (inspecting, preparing):
        for words in commands(block):
            run_evlora(words, monkeypatch)
        printed = capsys.readouterr().out
        names = [line.split("  ")[0] for line in printed.splitlines() if "  " in line]
        assert names
        assert all(f"\n{name}  " in shown for name in names)
