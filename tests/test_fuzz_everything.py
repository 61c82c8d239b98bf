"""The long fuzz run, `make fuzz`: every border by which something comes in.

It goes on where it stopped: `.work/fuzz/run.json` holds its seed and its counts, `table.md` shows
them, and what broke a rule lies beside both. A new run begins when that folder is removed.
"""

import os
import random
from pathlib import Path
from typing import Any

import pytest
from fuzz_runs import Run, fuzz
from fuzz_seeds import Seed, documents, models, more_recordings, recordings, service

INPUTS = int(os.environ.get("EVLORA_FUZZ_INPUTS", "50000"))


@pytest.fixture
def files(tmp_path: Path, data_root: Path) -> list[Seed]:
    found = recordings(tmp_path / "recordings", data_root)
    return found + more_recordings(tmp_path / "more", data_root)


@pytest.fixture
def others(
    tmp_path: Path, project_root: Path, tiny_dataset: Path, tiny_settings: dict[str, Any]
) -> list[Seed]:
    found = documents(tmp_path / "documents", project_root, tiny_settings)
    return found + models(tmp_path / "models", tiny_dataset)


@pytest.mark.fuzz
@pytest.mark.timeout(14400)
def test_damaged_inputs_of_every_border_keep_the_rules(
    tmp_path: Path,
    project_root: Path,
    tiny_bundle: Path,
    files: list[Seed],
    others: list[Seed],
):
    folder = project_root / ".work" / "fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    notes = folder / "run.json"
    run = Run.read(notes) if notes.exists() else Run(random.randrange(1 << 32))
    seeds = [*files, *others, *service(tmp_path / "service", tiny_bundle, files)]
    fuzz(run, seeds, folder, inputs=INPUTS, notes=notes)
    (folder / "table.md").write_text(f"seed {run.seed}\n\n{run.table()}\n")
    assert not run.broken, "\n".join([f"{len(run.broken)} of {run.number}", *run.broken[:20]])
