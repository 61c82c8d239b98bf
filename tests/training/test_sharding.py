"""A backbone divided among devices: the losses of whole ones, and checkpoints like any other."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import evlora
from evlora.bundle import load_bundle
from evlora.errors import RecipeError
from evlora.recipe import load_recipe
from evlora.training.checkpoints import read_checkpoint
from evlora.training.sharding import require_shardable


@pytest.mark.slow
def test_two_ranks_with_half_a_backbone_each_learn_as_two_with_whole_ones(
    tiny_settings: dict[str, Any], tmp_path: Path, project_root: Path
) -> None:
    changes = {"training.batch_size": 10, "training.devices": 2, "training.epochs": 1}
    settings = {**tiny_settings, **changes, "training.keep": "last", "run.report": False}
    (tmp_path / "keys.json").write_text(json.dumps(settings))
    script = project_root / "tests" / "support" / "sharded_run.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path / "keys.json", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("held ")]
    held = {name: int(count) for name, count in lines}
    assert 0.4 < held["ShardedBackbone"] / held["DDPStrategy"] < 0.6

    whole, divided = (tmp_path / name for name in ("ddp", "fsdp"))
    one, other = (read_checkpoint(path / "checkpoints" / "last.ckpt") for path in (whole, divided))
    assert one["global_step"] == other["global_step"] == 2
    assert one["state_dict"].keys() == other["state_dict"].keys()
    for name, tensor in one["state_dict"].items():
        torch.testing.assert_close(other["state_dict"][name], tensor, atol=1e-5, rtol=0)
    one, other = (load_bundle(path).state_dict() for path in (whole, divided))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, atol=1e-5, rtol=0)

    alone = {**settings, "training.devices": 1, "training.epochs": 2, "run.dir": str(divided)}
    run = evlora.train("demo", overrides=alone, resume=True)
    assert run.metrics["epoch"] == 2


@pytest.mark.parametrize(
    ("keys", "world_size", "message"),
    [
        ({}, 1, "among several devices, this run has one"),
        ({"model.adapter.method": "full"}, 2, "method=full leaves none"),
        ({"training.cache_features": "memory"}, 2, "set training.cache_features=off"),
        ({"training.average_best": 2}, 2, "does not validate a mean of epochs"),
    ],
    ids=["one", "full", "features", "mean"],
)
def test_what_cannot_be_divided_is_refused(
    keys: dict[str, Any], world_size: int, message: str, short_settings: dict[str, Any]
) -> None:
    recipe = load_recipe("nano_photographs", {**short_settings, **keys})
    with pytest.raises(RecipeError, match=rf"^training\.strategy: fsdp .*{message}"):
        require_shardable(recipe, world_size=world_size)
