"""Every code block of the README runs, in one folder, from top to bottom."""

import re
import subprocess
from pathlib import Path

import pytest
import torch
from code_blocks import code_blocks, commands, run_evlora, run_python
from own_recordings import make_own_recordings

import evlora
from evlora.recipe import recipes_folder

FIRST_SCREEN = 30
"""Lines within which a visitor sees a measured number."""


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_own_recordings(tmp_path, per_class=4)
    left_by_the_demo = {"train": 8, "val": 0, "test": 4, "digits": 2, "size_px": 64}
    evlora.prepare("generated", None, tmp_path / "demo" / "dataset", options=left_by_the_demo)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_every_block_runs(
    own_folder: Path, project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = project_root / "README.md"
    blocks = code_blocks(readme, "python", "sh")
    assert [block.kind for block in blocks] == ["python", "sh", "sh", "sh"]
    for block in blocks:
        if block.kind == "python":
            short = block.text.replace('"run.dir"', '"training.epochs": 1, "run.dir"')
            assert short != block.text
            run_python(block._replace(text=short), readme, {})
            continue
        for program, *words in commands(block):
            if program == "make":
                # The targets are what CI runs; here it is checked that make knows them.
                subprocess.run(["make", "-n", "-C", project_root, *words], check=True)
            else:
                is_long = words[:2] == ["train", "own_recordings"]
                shorter = ["training.epochs=1"] if is_long else []
                run_evlora([program, *words, *shorter], monkeypatch)
    assert (own_folder / "run" / "bundle" / "config.json").is_file()
    assert len((own_folder / "answers.csv").read_text(encoding="utf-8").splitlines()) == 17
    assert torch.is_grad_enabled()


def test_a_measured_number_stands_on_the_first_screen(project_root: Path) -> None:
    lines = (project_root / "README.md").read_text(encoding="utf-8").splitlines()
    assert re.search(r"\d ± \d.*%", "\n".join(lines[:FIRST_SCREEN]))


def test_the_front_table_is_that_of_the_page_on_fusion(project_root: Path) -> None:
    page = (project_root / "docs" / "fusion.md").read_text(encoding="utf-8")
    measured = re.compile(r"\| \**(\d+\.\d ± \d\.\d) %\** \|$", re.MULTILINE)
    for front in ("README.md", "docs/index.md"):
        figures = measured.findall((project_root / front).read_text(encoding="utf-8"))
        assert len(figures) == 4
        assert all(figure in page for figure in figures)


def test_the_readme_names_every_verb(project_root: Path) -> None:
    from evlora.cli.main import app

    text = (project_root / "README.md").read_text(encoding="utf-8")
    for command in app.registered_commands:
        assert command.callback is not None
        verb = command.callback.__name__.replace("_", "-")
        assert f"`evlora {verb}" in text
    assert recipes_folder() == project_root / "recipes"
