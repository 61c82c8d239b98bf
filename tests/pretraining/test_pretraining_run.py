import csv
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from evlora.errors import RunError
from evlora.models.backbone import BackboneConfig, build_backbone, embed_images
from evlora.pretraining import PretrainingConfig, pretrain
from evlora.pretraining.__main__ import MODELS, main
from evlora.pretraining.objective import WEIGHTS, match_loss
from evlora.pretraining.run import CHECKPOINT, LOG, Pretraining, ViewBatches
from evlora.pretraining.scenes import make_views

PROCESSOR = Path("/proc/cpuinfo")
TINY = PretrainingConfig(
    options={"embed_dim": 24, "depth": 2, "num_heads": 2, "img_size": 32},
    steps=8,
    figures=3,
    sizes_px=(32, 48),
    warmup_steps=2,
    log_steps=2,
    checkpoint_steps=4,
)


def run(config: PretrainingConfig, folder: Path, **options: bool | int) -> Path:
    return pretrain(config, folder, report=lambda _: None, **{"workers": 0, **options})


def stop_after(config: PretrainingConfig, folder: Path, step: int) -> None:
    """A run that is killed some steps after a checkpoint."""

    class KilledError(Exception):
        pass

    def report(line: str) -> None:
        if line.startswith(f"step {step} "):
            raise KilledError

    with pytest.raises(KilledError):
        pretrain(config, folder, workers=0, report=report)


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_weights_and_log(tmp_path: Path) -> None:
    whole = run(TINY, tmp_path / "whole")
    stop_after(TINY, tmp_path / "stopped", step=6)
    resumed = run(TINY, tmp_path / "stopped", resume=True)

    expected, got = load_file(whole), load_file(resumed)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    logs = []
    for folder in ("whole", "stopped"):
        with (tmp_path / folder / LOG).open(newline="") as file:
            logs.append([{**row, "seconds": ""} for row in csv.DictReader(file)])
    assert logs[0] == logs[1]
    assert [row["step"] for row in logs[0]] == ["2", "4", "6", "8"]


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_weights(tmp_path: Path) -> None:
    alone, helped = run(TINY, tmp_path / "a"), run(TINY, tmp_path / "b", workers=1)

    expected, got = load_file(alone), load_file(helped)
    assert all(torch.equal(expected[name], got[name]) for name in expected)


@pytest.mark.slow
def test_until_the_rate_falls_a_longer_run_can_be_made_a_shorter_one(tmp_path: Path) -> None:
    short = run(TINY, tmp_path / "short")
    longer = TINY.model_copy(update={"steps": 16})
    stop_after(longer, tmp_path / "longer", step=6)
    shortened = run(TINY, tmp_path / "longer", resume=True)

    expected, got = load_file(short), load_file(shortened)
    assert all(torch.equal(expected[name], got[name]) for name in expected)


@pytest.mark.slow
def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    run(TINY, tmp_path)

    with pytest.raises(RunError, match="--resume"):
        run(TINY, tmp_path)


@pytest.mark.slow
def test_a_run_does_not_resume_with_other_settings(tmp_path: Path) -> None:
    run(TINY, tmp_path)

    with pytest.raises(RunError, match="figures 3 → 4"):
        run(TINY.model_copy(update={"figures": 4}), tmp_path, resume=True)
    with pytest.raises(RunError, match="steps 8 → 16"):
        run(TINY.model_copy(update={"steps": 16}), tmp_path, resume=True)


@pytest.mark.slow
def test_the_checkpoint_opens_without_unpickling_code(tmp_path: Path) -> None:
    run(TINY, tmp_path)

    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)

    assert state["step"] == TINY.steps


@pytest.mark.slow
def test_the_weights_load_as_a_backbone_at_another_size(tmp_path: Path) -> None:
    weights = run(TINY, tmp_path)
    with safe_open(weights, "pt") as file:
        reported = file.metadata()
    options = {name: TINY.options[name] for name in ("embed_dim", "depth", "num_heads")}
    config = BackboneConfig(name=reported["backbone"], weights=str(weights), options=options)

    backbone = build_backbone(config, size=(64, 64))

    assert all(tensor.dtype == torch.float16 for tensor in load_file(weights).values())
    assert embed_images(backbone, torch.zeros(1, 3, 64, 64)).shape == (1, 16, 24)


def test_checkpoints_inside_a_line_of_the_log_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of log_steps"):
        PretrainingConfig(log_steps=100, checkpoint_steps=250)


def test_the_rate_rises_stays_and_falls() -> None:
    config = PretrainingConfig(steps=100, warmup_steps=10, cooldown_share=0.2, learning_rate=1)

    rates = [config.rate(step) for step in range(100)]

    assert rates[:10] == sorted(rates[:10])
    assert set(rates[10:81]) == {1.0}
    assert rates[80:] == sorted(rates[80:], reverse=True)
    assert rates[-1] == pytest.approx(1 / 20)


def test_cells_of_a_mask_are_given_by_the_token_of_their_patch() -> None:
    batch = ViewBatches(TINY)[0]
    masks = torch.zeros_like(batch.masks)
    masks[0, 0, 18:20, 4:6] = 255  # second row of patches, first column; row 1, column 2 in it
    objective = Pretraining(TINY, torch.device("cpu")).objective

    cells = objective._cells_of(masks)

    assert torch.argwhere(cells).tolist() == [[0, 2, 1 * 8 + 2]]


def test_views_that_are_alike_match_better_than_views_by_chance() -> None:
    alike = torch.eye(4).repeat_interleave(2, dim=0)
    mixed = torch.eye(4).repeat(2, 1)

    assert match_loss(alike, views=2) < 0.1
    assert match_loss(mixed, views=2) > 1


def test_every_term_teaches_the_backbone() -> None:
    pretraining = Pretraining(TINY, torch.device("cpu"))
    batch = ViewBatches(TINY)[0]
    images = batch.images.flatten(0, 1).permute(0, 3, 1, 2) / 255
    weight = pretraining.backbone.patch_embed.proj[0].weight

    for name in WEIGHTS:
        tokens = pretraining.backbone.forward_features(images)
        (gradient,) = torch.autograd.grad(pretraining.objective(tokens, batch)[name], weight)
        assert gradient.abs().max() > 0, name


@pytest.mark.slow
def test_the_module_runs_from_the_command_line(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(MODELS, "nano", TINY.model_dump(exclude={"seed"}))

    assert main(["--out", str(tmp_path), "--workers", "0", "--steps", "2"]) == 0
    assert main(["--out", str(tmp_path), "--workers", "0", "--steps", "2"]) == 2

    said = capsys.readouterr()
    assert "weights.safetensors" in said.out
    assert "--resume" in said.err


@pytest.mark.slow
def test_the_tiny_model_takes_a_step(tmp_path: Path) -> None:
    config = PretrainingConfig(**{**MODELS["tiny"], "steps": 1, "figures": 2})

    assert run(config, tmp_path).is_file()


@pytest.mark.slow
@pytest.mark.skipif(
    "bf16" not in (PROCESSOR.read_text() if PROCESSOR.is_file() else ""),
    reason="300 steps in bf16 take most of an hour on a processor that only emulates it",
)
@pytest.mark.timeout(1500)
def test_a_short_run_improves_over_its_start(tmp_path: Path) -> None:
    config = PretrainingConfig(steps=300, sizes_px=(64,), figures=24, warmup_steps=50)
    start = Pretraining(config, torch.device("cpu"))

    run(config, tmp_path, workers=1)

    with (tmp_path / LOG).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for term in ("glyph", "mask", "facts"):
        assert float(rows[-1][term]) < 0.95 * float(rows[0][term]), term
    trained = Pretraining(config, torch.device("cpu"))
    trained.load_state(torch.load(tmp_path / CHECKPOINT, weights_only=True))
    assert placed_by(trained) > placed_by(start) + 0.2


def placed_by(pretraining: Pretraining) -> float:
    """How much of where new figures are a linear map of the frozen features shows (R²)."""
    views = [make_views(1, number, size_px=64) for number in range(150)]
    images = torch.cat([torch.from_numpy(view.images) for view in views])
    places = torch.cat([torch.from_numpy(view.facts[:, :2]) for view in views]).numpy()
    with torch.inference_mode():
        pixels = images.permute(0, 3, 1, 2) / 127.5 - 1
        features = pretraining.backbone.forward_features(pixels).mean(dim=1).numpy()
    probe = make_pipeline(StandardScaler(), Ridge(100.0)).fit(features[:200], places[:200])
    return probe.score(features[200:], places[200:])
