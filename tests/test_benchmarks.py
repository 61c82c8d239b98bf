"""The benchmarks run, and what they promise of memory holds."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest


def printed_by(script: Path, *arguments: str) -> str:
    command = [sys.executable, "-W", "ignore", str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_a_hundred_million_events_become_clips_in_less_than_1500_mb(project_root: Path):
    script = project_root / "benchmarks" / "long_recordings.py"
    result = json.loads(printed_by(script, "--events", "100000000"))
    assert result["events"] == 100_000_000
    assert result["clips"] == 50
    assert result["peak_mb"] < 1500


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("tonic") is None, reason="the extra `bench` is not installed"
)
def test_evlora_decodes_right_in_the_benchmark(project_root: Path):
    script = project_root / "benchmarks" / "recordings.py"
    table = printed_by(script, "decode", "--events", "20000", "--repeats", "1")
    rows = [line.split(" | ") for line in table.splitlines() if " | evlora | " in line]
    assert len(rows) == 11
    assert {row[-1] for row in rows} == {"right |"}
