"""The fast functions inside what others put around a network: ranks, and torch's compiler."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_equal_numbers import distance, learned, network_of

from evlora.models.fast import IDEAS, Settings, set_blocks


@pytest.mark.slow
def test_two_ranks_learn_what_one_process_with_both_clips_does(
    project_root: Path, tmp_path: Path
) -> None:
    script = project_root / "tests" / "support" / "gradients_of_ranks.py"
    command = [sys.executable, "-W", "ignore", str(script), str(tmp_path)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=one_thread)
    differences = dict(line.split() for line in done.stdout.splitlines())
    assert differences.keys() == {"lora", "ssf", "lv_adapter", "adaptformer"}
    assert all(float(difference) < 1e-5 for difference in differences.values())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_network_learns_the_same() -> None:
    network = network_of(adapter={"sites": "both"})
    plain = learned(network, ())
    set_blocks(network, Settings(frozenset(IDEAS), "none"))
    network.compile(backend="eager")
    assert distance(learned(network), plain) < 1e-5
    torch.compiler.reset()
