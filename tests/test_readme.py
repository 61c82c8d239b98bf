"""Every code block of the README runs, in one folder, from top to bottom."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from timm import create_model

from evlora.cli.main import run
from evlora.datasets import read_manifest
from evlora.recipe import recipes_folder

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(project_root: Path) -> list[tuple[str, str]]:
    return BLOCK.findall((project_root / "README.md").read_text(encoding="utf-8"))


@pytest.fixture
def own_recordings(tmp_path: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the README speaks of: recordings by class, and a weight file."""
    manifest = read_manifest(tiny_dataset)
    for number, sample in enumerate(manifest.split("train")):
        assert sample.events is not None
        folder = tmp_path / "recordings" / sample.label.split("-")[1]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(manifest.source / sample.events, folder / f"{number:05d}.npz")
    (tmp_path / "recordings" / "left" / "00003.npz").exists() or shutil.copy(
        next((tmp_path / "recordings" / "left").iterdir()),
        tmp_path / "recordings" / "left" / "00003.npz",
    )
    vit = create_model("vit_tiny_patch16_224", num_classes=0)
    save_file(vit.state_dict(), tmp_path / "vit_tiny.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_runs(
    own_recordings: Path, project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = blocks(project_root)
    assert [kind for kind, _ in found] == ["sh", "sh", "sh", "python"]
    for kind, text in found:
        if kind == "python":
            exec(compile(text, "README.md", "exec"), {})
            continue
        for line in text.splitlines():
            program, *words = line.split()
            if program == "make":
                # The targets are what CI runs; here it is checked that make knows them.
                subprocess.run(["make", "-n", "-C", project_root, *words], check=True)
                continue
            assert program == "evlora"
            monkeypatch.setattr(sys, "argv", ["evlora", *words])
            with pytest.raises(SystemExit) as end:
                run()
            assert end.value.code in (0, None), line
    assert (own_recordings / "run" / "bundle" / "config.json").is_file()
    assert torch.is_grad_enabled()


def test_every_link_leads_somewhere(project_root: Path) -> None:
    pages = [project_root / "README.md", project_root / "CONTRIBUTING.md"]
    pages += sorted((project_root / "docs").glob("*.md"))
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http://", "https://")):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_names_every_recipe_folder_and_verb(project_root: Path) -> None:
    from evlora.cli.main import app

    text = (project_root / "README.md").read_text(encoding="utf-8")
    for command in app.registered_commands:
        assert command.callback is not None
        verb = command.callback.__name__.replace("_", "-")
        assert f"`evlora {verb}" in text
    assert recipes_folder() == project_root / "recipes"
