"""Damaged recipes, bundles, datasets, tables and checkpoints: read, or refused with a reason.

None may take more than five seconds or 1.5 GB, end the process, or fail with anything but an
EvloraError. Recordings have a test of their own, tests/recordings/test_fuzz.py.
"""

from pathlib import Path
from typing import Any

import pytest
from fuzz_runs import Run, fuzz
from fuzz_seeds import documents

INPUTS = 40


@pytest.mark.slow
def test_damaged_documents_keep_the_rules(
    tmp_path: Path, project_root: Path, tiny_settings: dict[str, Any]
):
    seeds = documents(tmp_path / "seeds", project_root, tiny_settings)
    notes = tmp_path / "run.json"
    fuzz(Run(3), seeds, tmp_path, inputs=INPUTS // 2, notes=notes)
    run = fuzz(Run.read(notes), seeds, tmp_path, inputs=INPUTS)  # goes on where it stopped

    assert not run.broken
    assert sum(one.results.total() for one in run.tallies.values()) == INPUTS
    assert all(one.results["refused"] for one in run.tallies.values())
