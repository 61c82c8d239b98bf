"""Damaged files of every format: read in part with a warning, or refused with a reason.

None may take more than five seconds or 1.5 GB, end the process, give an event outside the sensor
or one out of order, or fail with anything but a RecordingError.
"""

from pathlib import Path

import pytest
from fuzz_runs import Run, fuzz
from fuzz_seeds import recordings
from recording_samples import SAMPLES

INPUTS = 60


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20, 21])
def test_damaged_files_of_every_format_keep_the_rules(seed: int, tmp_path: Path, data_root: Path):
    run = fuzz(Run(seed), recordings(tmp_path / "samples", data_root), tmp_path, inputs=INPUTS)

    assert not run.broken
    assert set(run.tallies) == set(SAMPLES)
    assert sum(one.results.total() for one in run.tallies.values()) == INPUTS
