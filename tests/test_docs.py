"""The documentation: its pages, its links, its code, and what it reports of evlora."""

import inspect
import re
import subprocess
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import typer
import yaml
from code_blocks import code_blocks, commands, run_evlora, run_python
from peft import get_peft_model
from recording_samples import HEIGHT, WIDTH, aedat4, stream, video
from torch import nn

import evlora
from evlora import errors
from evlora.cli.main import app
from evlora.recordings import write_recording
from evlora.recordings.triggers import Triggers

GROUPS = ["Start", "Guides", "Reference", "Measurements and decisions"]
TARGET = re.compile(r"\]\(([^)#]+)[^)]*\)")
ERRORS = [
    name
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, Exception) and kind is not errors.EvloraError
]


def pages(project_root: Path) -> list[Path]:
    return sorted((project_root / "docs").glob("*.md"))


def test_every_page_stands_once_in_one_of_four_groups(project_root: Path) -> None:
    site = tomllib.loads((project_root / "zensical.toml").read_text(encoding="utf-8"))
    groups = [
        (name, entries) for group in site["project"]["nav"] for name, entries in group.items()
    ]
    assert [name for name, _ in groups] == GROUPS
    entries = [entry for _, group in groups for entry in group]
    files = [entry if isinstance(entry, str) else next(iter(entry.values())) for entry in entries]
    assert sorted(files) == [page.name for page in pages(project_root)]


def test_every_link_leads_somewhere(project_root: Path) -> None:
    for page in [
        project_root / "README.md",
        project_root / "CONTRIBUTING.md",
        *pages(project_root),
    ]:
        for target in TARGET.findall(page.read_text(encoding="utf-8")):
            if not target.startswith(("http://", "https://")):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_no_page_links_out_of_the_site(project_root: Path) -> None:
    # zensical's own check passes over links that leave the folder, and over images.
    for page in pages(project_root):
        targets = TARGET.findall(page.read_text(encoding="utf-8"))
        assert not [target for target in targets if target.startswith(("..", "/"))], page.name


def test_the_reference_has_every_public_name(project_root: Path) -> None:
    page = (project_root / "docs" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^::: evlora\.(\w+)$", page, re.MULTILINE)
    assert len(set(listed)) == len(listed)
    # The errors stand there as one module.
    public = {name for name in evlora.__all__ if not hasattr(errors, name)}
    assert set(listed) - {"errors"} == public
    assert "errors" in listed


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the pages' code opens, in the folder that it runs in."""
    for name in ("clip", "recording"):
        aedat4(tmp_path / name)
    (tmp_path / "recordings").mkdir()
    aedat4(tmp_path / "recordings" / "first")
    whole = evlora.open_recording(tmp_path / "recording.aedat4")
    write_recording(
        evlora.Recording(whole.events, None, "evt2"), tmp_path / "long.raw", format="evt2"
    )
    rows = np.array([[3, 5, 10, 1], [4, 6, 20, 0]])
    np.save(tmp_path / "events.npy", rows)
    (tmp_path / "log.csv").write_text("5,3,90,1,10\n6,4,80,0,20\n")
    with h5py.File(tmp_path / "my.h5", "w") as file:
        for name, column in zip(("col", "row", "stamps", "on"), rows.T, strict=True):
            file[name] = column
    triggers = Triggers(np.array([50_000]), np.array([0]), np.array([1]))
    write_recording(
        evlora.Recording(whole.events, None, "hdf5", triggers=triggers), tmp_path / "triggered.h5"
    )
    video(tmp_path / "video")
    monkeypatch.chdir(tmp_path)
    return tmp_path


RUN_HERE = ["api", "errors", "filters", "formats", "inspecting", "representations", "simulator"]
RUN_ELSEWHERE = [
    "adapters",
    "evaluation",
    "export",
    "hub",
    "live",
    "lv-adapter",
    "published",
    "serve",
    "tutorial",
]
"""Pages whose Python runs in a test of their own, with a network or a checkpoint."""


def test_the_python_of_every_page_runs_somewhere(project_root: Path) -> None:
    with_python = [page.stem for page in pages(project_root) if code_blocks(page, "python")]
    assert with_python == sorted(RUN_HERE + RUN_ELSEWHERE)


@pytest.mark.filterwarnings("ignore:.* holds no frames:evlora.errors.RecordingWarning")
@pytest.mark.parametrize("name", RUN_HERE)
def test_the_python_of_a_page_runs(name: str, project_root: Path, samples: Path) -> None:
    page = project_root / "docs" / f"{name}.md"
    blocks = code_blocks(page, "python")
    assert blocks
    names: dict[str, Any] = {
        "frame": np.full((260, 346, 3), 80, np.uint8),
        "t_us": 0,
    }
    for block in blocks:
        run_python(block, page, names)


@pytest.mark.filterwarnings("ignore::evlora.errors.RecordingWarning")
@pytest.mark.parametrize("name", ["inspecting", "simulator"])
def test_the_commands_of_a_page_run(
    name: str, project_root: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for block in code_blocks(project_root / "docs" / f"{name}.md", "sh"):
        for words in commands(block):
            run_evlora(words, monkeypatch)


def test_every_command_of_a_page_exists_with_its_options_and_keys(
    project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the bundles that pages name are not there
    monkeypatch.setattr("evlora.bundle_place.require_bundle", lambda name: None)
    group: Any = typer.main.get_command(app)
    checked = 0
    for page in pages(project_root):
        for block in code_blocks(page, "sh"):
            for words in commands(block):
                checked += 1
                if words[0] == "make":
                    subprocess.run(["make", "-n", "-C", project_root, *words[1:]], check=True)
                elif words[0] == "python":
                    assert words[1] == "-m" or (project_root / words[1]).is_file(), words
                else:
                    assert words[0] == "evlora", f"{page.name}: {words}"
                    parse(group, words[1:])
    assert checked > 30


def parse(group: Any, words: list[str]) -> None:
    """Fail where the command would refuse its words, or the recipe its keys."""
    verb = group.commands[words[0]]
    given = verb.make_context(words[0], words[1:]).params
    if "overrides" in given:
        evlora.load_recipe(given["recipe"], given["overrides"] or ())


TINY = {
    "backbone.name": "vit_tiny_patch16_224",
    "backbone.weights": "random",
    "backbone.options": {"patch_size": 16, "embed_dim": 24, "depth": 3, "num_heads": 2},
    "clip.size": 32,
    "clip.frames": 2,
}


def prepared_twice() -> None:
    options = {"train": 8, "val": 8, "test": 8, "digits": 2, "size_px": 16, "frames": 2}
    for _ in range(2):
        evlora.prepare("generated", None, "gen", options=options)


def misspelt_key() -> None:
    Path("mine.yaml").write_text("extends: demo\n", encoding="utf-8")
    evlora.load_recipe("mine.yaml", ["training.epoch=3"])


def wrong_channels() -> None:
    recognizer = evlora.build("demo", num_classes=4, overrides=TINY)
    recognizer(torch.rand(1, 2, 3, 32, 32), torch.rand(1, 2, 2, 32, 32))


def another_checkpoint() -> None:
    torch.save({"model": torch.zeros(3)}, "best.pth")
    evlora.import_published("best.pth", "poker")


def no_bundle() -> None:
    Path("run").mkdir()
    evlora.load_bundle("run")


def another_recipe() -> None:
    keys = {**TINY, "data.root": "gen", "run.dir": "again"}
    recipe = evlora.load_recipe("demo", keys).model_dump(mode="json")
    Path("again/checkpoints").mkdir(parents=True)
    Path("again/checkpoints/last.ckpt").touch()
    Path("again/recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    evlora.train("demo", overrides={**keys, "training.epochs": 3}, resume=True)


def cut_off() -> None:
    whole = evlora.Recording(stream(WIDTH * HEIGHT), None, "evt2")
    write_recording(whole, "cut.raw", format="evt2")
    content = Path("cut.raw").read_bytes()
    Path("cut.raw").write_bytes(content[:CUT_AT])
    evlora.open_recording("cut.raw")


CUT_AT = 7064
"""Bytes that are left of the file that was cut off."""


def without_a_size() -> None:
    np.savez("events.npz", **{name: np.array([1, 2]) for name in "txyp"})
    evlora.open_recording("events.npz")


MISTAKES: dict[str, Callable[[], Any]] = {
    "RecordingError": lambda: evlora.open_recording("clip.aedat4"),
    "SensorSizeError": without_a_size,
    "DatasetError": prepared_twice,
    "ShapeError": wrong_channels,
    "RecipeError": misspelt_key,
    "BackboneError": lambda: evlora.build(
        "demo", num_classes=4, overrides={**TINY, "clip.size": 40}
    ),
    "AdapterError": lambda: get_peft_model(
        nn.Sequential(nn.Linear(4, 4)), evlora.LvAdapterConfig()
    ),
    "CheckpointError": another_checkpoint,
    "BundleError": no_bundle,
    "ExportError": lambda: evlora.export("bundle", "poker.engine"),
    "RunError": another_recipe,
    "RecordingWarning": cut_off,
}


def test_the_page_on_errors_has_each_of_them(project_root: Path) -> None:
    page = (project_root / "docs" / "errors.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == ERRORS == list(MISTAKES)
    assert re.findall(r"^\| \[`(\w+)`\]", page, re.MULTILINE) == ERRORS


@pytest.mark.parametrize("name", ERRORS)
def test_the_page_on_errors_shows_the_message(
    name: str, project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (project_root / "docs" / "errors.md").read_text(encoding="utf-8")
    shown = re.search(rf"^## {name}\n\n```text\n(.*?)\n```", page, re.MULTILINE | re.DOTALL)
    assert shown is not None
    monkeypatch.chdir(tmp_path)
    kind = getattr(errors, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error", errors.RecordingWarning)
        with pytest.raises(kind) as raised:
            MISTAKES[name]()
    assert str(raised.value).replace(f"{tmp_path}/", "") == shown[1]
