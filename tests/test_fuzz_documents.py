"""Damaged recipes, bundles, datasets, tables and checkpoints: read, or refused with a reason.

None may take more than five seconds or 1.5 GB, end the process, or fail with anything but an
EvloraError. Recordings have a test of their own, tests/recordings/test_fuzz.py.
"""

import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from fuzzing import Worker, damaged
from small_recordings import write_recording

from evlora.bundle import save_bundle
from evlora.datasets import prepare
from evlora.recipe import build

SHORT_RUN_INPUTS, LONG_RUN_INPUTS = 40, 30_000
MARKS = (b"[", b"]", b"{", b"}", b":", b",", b"\n", b"-", b'"', b"'", b"&a ", b"*a", b"!!")
"""Of YAML, JSON and CSV."""


class Seed(NamedTuple):
    """A sound input, and the files in it that are damaged."""

    path: Path
    files: tuple[str, ...]


def recipe(folder: Path, project_root: Path, _: dict[str, Any]) -> Seed:
    path = folder / "recipe.yaml"
    shutil.copy(project_root / "recipes" / "demo.yaml", path)
    return Seed(path, ("",))


def bundle(folder: Path, _: Path, settings: dict[str, Any]) -> Seed:
    path = save_bundle(build("demo", num_classes=3, overrides=settings), folder / "bundle")
    description = path / "config.json"
    content = description.read_text()
    # Without the hashes, which would refuse every damage before anything looks at it.
    head, _, tail = content.partition('"sha256": {')
    description.write_text(head.rstrip().rstrip(",") + tail.partition("}")[2])
    names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
    return Seed(path, ("config.json", *sorted({*names} - {"README.md", "backbone.safetensors"})))


def table(folder: Path, _: Path, __: dict[str, Any]) -> Seed:
    for number in range(4):
        write_recording(folder / f"{number}.npz", number)
    rows = [f"{('train', 'test')[n % 2]},{n}.npz,{'ab'[n // 2]},0,1" for n in range(4)]
    header = "split,events,label,start_us,end_us"
    (folder / "index.csv").write_text("\n".join([header, *rows, ""]))
    return Seed(folder / "index.csv", ("",))


def dataset(folder: Path, root: Path, settings: dict[str, Any]) -> Seed:
    (folder / "of").mkdir()
    table(folder / "of", root, settings)
    prepare("csv", folder / "of", folder / "dataset")
    return Seed(folder / "dataset", ("dataset.json", "manifest.jsonl"))


def checkpoint(folder: Path, _: Path, __: dict[str, Any]) -> Seed:
    parts = ("state_dict", "epoch", "global_step", "loops", "optimizer_states", "lr_schedulers")
    path = folder / "last.ckpt"
    torch.save({**dict.fromkeys(parts, 0), "state_dict": {"a": torch.zeros(9)}}, path)
    return Seed(path, ("",))


MAKERS: dict[str, Callable[[Path, Path, dict[str, Any]], Seed]] = {
    "recipe": recipe,
    "bundle": bundle,
    "table": table,
    "dataset": dataset,
    "checkpoint": checkpoint,
}


def damaged_text(data: bytes, random_: random.Random) -> bytes:
    """The bytes with marks of YAML, JSON or CSV put in, nested, or repeated."""
    at = random_.randrange(len(data) + 1)
    mark = random_.choice(MARKS) * random_.choice((1, 1, 2, 50, 5000))
    lines = data.splitlines(keepends=True)
    if random_.random() < 0.3 and lines:
        lines.insert(random_.randrange(len(lines)), random_.choice(lines))
        return b"".join(lines)
    return data[:at] + mark + data[at:]


def run(
    tmp_path: Path, root: Path, settings: dict[str, Any], *, inputs: int, seed: int
) -> dict[str, Counter[str]]:
    """Outcomes by border; what broke a rule stays in the folder."""
    random_ = random.Random(seed)
    seeds: dict[str, Seed] = {}
    for border, make in MAKERS.items():
        (tmp_path / border).mkdir()
        seeds[border] = make(tmp_path / border, root, settings)
    counts: dict[str, Counter[str]] = {border: Counter() for border in seeds}
    broken: list[str] = []
    worker = Worker(*({"path": str(seeds[border].path), "border": border} for border in seeds))
    try:
        for number in range(inputs):
            border = list(seeds)[number % len(seeds)]
            path, files = seeds[border]
            file = path / files[number // len(seeds) % len(files)] if files != ("",) else path
            sound = file.read_bytes()
            changes = damaged if random_.random() < 0.5 else damaged_text
            file.write_bytes(changes(sound, random_))
            result, detail = worker.ask({"path": str(path), "border": border})
            counts[border][result] += 1
            if result == "broken":
                kept = tmp_path / f"broken_{number}_{file.name}"
                kept.write_bytes(file.read_bytes())
                broken.append(f"{border}: {kept}: {detail}")
            file.write_bytes(sound)
    finally:
        worker.end()
    assert not broken, "\n".join([f"{len(broken)} of {inputs} inputs broke a rule", *broken[:20]])
    return counts


@pytest.mark.slow
def test_damaged_documents_keep_the_rules(
    tmp_path: Path, project_root: Path, tiny_settings: dict[str, Any]
):
    counts = run(tmp_path, project_root, tiny_settings, inputs=SHORT_RUN_INPUTS, seed=3)

    assert sum(sum(count.values()) for count in counts.values()) == SHORT_RUN_INPUTS
    assert all(count["refused"] for count in counts.values())


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
def test_many_damaged_documents_keep_the_rules(
    tmp_path: Path,
    project_root: Path,
    tiny_settings: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
):
    seed = random.randrange(1 << 32)
    counts = run(tmp_path, project_root, tiny_settings, inputs=LONG_RUN_INPUTS, seed=seed)
    with capsys.disabled():
        lines = [f"{border:10} {dict(count)}" for border, count in counts.items()]
        sys.stdout.write("\n".join(["", f"seed {seed}", *lines, ""]))
