"""A run of pre-training: one loop, its log, its checkpoint, and the weights that come out.

What a step does is a function of the settings and its number alone, so a run that was stopped goes
on as if it had not been. The rate rises, stays, and falls linearly at the end: up to the fall a run
of fewer steps is the beginning of one of more, and can be turned into it.
"""

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from safetensors.torch import save_file
from timm import create_model
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from evlora.config import Config
from evlora.errors import RunError
from evlora.files import writing_file
from evlora.models.backbone import image_statistics
from evlora.models.backbone_names import NANO
from evlora.pretraining.objective import WEIGHTS, Objective, ViewBatch
from evlora.pretraining.scenes import make_views

CHECKPOINT, LOG, WEIGHTS_FILE = "checkpoint.pt", "log.csv", "weights.safetensors"
CLIP_NORM = 1.0
BETAS = (0.9, 0.98)

Settings = dict[str, Any]


class PretrainingConfig(Config):
    """A run of pre-training."""

    backbone: str = NANO
    """A ViT of timm."""
    options: dict[str, int | float | str | bool] = Field(default_factory=dict)
    """More arguments of timm's constructor."""
    steps: PositiveInt = 9000
    """Batches to learn from."""
    figures: PositiveInt = Field(default=32, ge=2)
    """Figures in a batch."""
    views: PositiveInt = Field(default=2, ge=2)
    """Views of each figure."""
    sizes_px: tuple[PositiveInt, ...] = (64, 64, 64, 64, 96)
    """Rows and columns of the pictures, batch after batch in turn."""
    learning_rate: PositiveFloat = 1.5e-3
    """The highest rate of both optimizers."""
    weight_decay: float = Field(default=0.05, ge=0)
    """Of matrices; biases and norms have none."""
    warmup_steps: NonNegativeInt = 200
    """Steps in which the rate rises."""
    cooldown_share: float = Field(default=0.25, gt=0, le=1)
    """Share of the steps, the last ones, in which it falls to nothing."""
    is_bf16: bool = True
    """Whether to multiply matrices in bf16."""
    seed: NonNegativeInt = 0
    """Of the figures and of the first weights."""
    log_steps: PositiveInt = 100
    """Steps that a line of the log is the mean of."""
    checkpoint_steps: PositiveInt = 200
    """Steps between checkpoints, a multiple of log_steps."""

    @model_validator(mode="after")
    def _logs_before_checkpoints(self) -> Self:
        """A run that goes on must not begin inside a line of the log."""
        if self.checkpoint_steps % self.log_steps:
            raise ValueError(
                f"expected checkpoint_steps to be a multiple of log_steps, {self.log_steps}, "
                f"got {self.checkpoint_steps}"
            )
        return self

    @property
    def cooldown_starts(self) -> int:
        """The first step of the fall."""
        return self.steps - round(self.cooldown_share * self.steps)

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rise = (step + 1) / (self.warmup_steps + 1)
        fall = (self.steps - step) / max(1, self.steps - self.cooldown_starts)
        return self.learning_rate * min(1.0, rise, fall)


class ViewBatches(Dataset[ViewBatch]):
    """The batch of each step, whoever makes it."""

    def __init__(self, config: PretrainingConfig) -> None:
        self._config = config

    def __len__(self) -> int:
        return self._config.steps

    def __getitem__(self, step: int) -> ViewBatch:
        """The views of the step's figures."""
        config = self._config
        size = config.sizes_px[step % len(config.sizes_px)]
        figures = [
            make_views(config.seed, number, size_px=size, views=config.views)
            for number in range(step * config.figures, (step + 1) * config.figures)
        ]
        stacked = (np.stack(part) for part in zip(*figures, strict=True))
        return ViewBatch(*(torch.from_numpy(part) for part in stacked))


class Pretraining:
    """The network, its heads and its optimizers at some step."""

    def __init__(self, config: PretrainingConfig, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device = config, device
        self.step = 0
        options: dict[str, Any] = {"num_classes": 0, "dynamic_img_size": True, **config.options}
        network = create_model(config.backbone, **options)
        self.backbone = cast(VisionTransformer, network).to(device)
        patch_px = max(self.backbone.patch_embed.patch_size)
        self.objective = Objective(self.backbone.embed_dim, patch_px=patch_px).to(device)
        self._mean, self._std = (part.to(device) for part in image_statistics(self.backbone))
        self._parameters = [*self.backbone.parameters(), *self.objective.parameters()]
        self._optimizers = _optimizers(self.backbone, self.objective, config)

    def learn(self, batch: ViewBatch) -> dict[str, float]:
        """Take a step; returns the terms of the loss before it."""
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.config.rate(self.step)
        batch = ViewBatch(*(part.to(self.device, non_blocking=True) for part in batch))
        images = batch.images.flatten(0, 1).permute(0, 3, 1, 2) / 255  # (B·V, 3, H, W)
        images = (images - self._mean) / self._std
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.is_bf16):
            tokens = self.backbone.forward_features(images)
            terms = self.objective(tokens[:, self.backbone.num_prefix_tokens :], batch)
        loss = torch.stack([WEIGHTS[name] * term for name, term in terms.items()]).sum()
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, CLIP_NORM)
        for optimizer in self._optimizers:
            optimizer.step()
        self.step += 1
        return {name: term.item() for name, term in terms.items()}

    def state(self) -> dict[str, Any]:
        """What to go on from, of plain tensors and numbers."""
        return {
            "config": self.config.model_dump_json(),
            "step": self.step,
            "backbone": self.backbone.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.backbone.load_state_dict(state["backbone"])
        self.objective.load_state_dict(state["objective"])
        for optimizer, kept in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.step = state["step"]


def pretrain(
    config: PretrainingConfig,
    folder: Path,
    *,
    report: Callable[[str], None],
    resume: bool = False,
    workers: int = 1,
    device: str = "cpu",
) -> Path:
    """Pre-train a backbone on figures made by formulas.

    Args:
        config: The run.
        folder: Where its log, its checkpoint and its weights go.
        report: Takes each line of the log.
        resume: Go on from the checkpoint in the folder, if there is one.
        workers: Processes that draw figures; any number of them draws the same.
        device: Where to compute.

    Returns:
        The weights, a safetensors file in half precision.

    Raises:
        RunError: The folder holds another run.
    """
    run = Pretraining(config, torch.device(device))
    checkpoint, log = folder / CHECKPOINT, folder / LOG
    if checkpoint.is_file():
        if not resume:
            raise RunError(f"{folder} holds a run; resume it (--resume) or give another folder")
        state = torch.load(checkpoint, map_location=run.device, weights_only=True)
        _require_beginning(PretrainingConfig.model_validate_json(state["config"]), config, state)
        run.load_state(state)
        report(f"going on after step {run.step:,}")
    rows = _rows_until(log, run.step)
    began = time.monotonic() - (float(rows[-1]["seconds"]) if rows else 0.0)
    recent: list[dict[str, float]] = []
    for batch in _batches(config, run.step, workers):
        recent.append(run.learn(batch))
        if run.step % config.log_steps == 0 or run.step == config.steps:
            row = {"step": run.step, "images": run.step * config.figures * config.views}
            row |= {
                term: round(np.mean([one[term] for one in recent]).item(), 5) for term in WEIGHTS
            }
            rows.append({**row, "seconds": round(time.monotonic() - began)})
            recent = []
            _write_log(rows, log)
            report("  ".join(f"{name} {value}" for name, value in rows[-1].items()))
        if run.step % config.checkpoint_steps == 0 or run.step == config.steps:
            with writing_file(checkpoint) as temporary:
                torch.save(run.state(), temporary)
            write_weights(run, folder / WEIGHTS_FILE)
    return folder / WEIGHTS_FILE


def write_weights(run: Pretraining, path: Path) -> None:
    """The backbone alone, in half precision, with what it is."""
    tensors: dict[str, Tensor] = {
        name: tensor.detach().half().cpu().contiguous()
        for name, tensor in run.backbone.state_dict().items()
    }
    about = {
        "backbone": run.config.backbone,
        "steps": str(run.step),
        "config": run.config.model_dump_json(),
        "trained_on": "figures made by formulas, evlora.pretraining",
        "license": "Apache-2.0",
    }
    with writing_file(path) as temporary:
        save_file(tensors, temporary, metadata=about)


def _optimizers(
    backbone: VisionTransformer, objective: Objective, config: PretrainingConfig
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the rest, with the same rate."""
    in_blocks = [weight for weight in backbone.blocks.parameters() if weight.ndim == 2]
    taken = {id(weight) for weight in in_blocks}
    others = [
        parameter
        for parameter in [*backbone.parameters(), *objective.parameters()]
        if id(parameter) not in taken
    ]
    decayed = [parameter for parameter in others if parameter.ndim > 1]
    undecayed = [parameter for parameter in others if parameter.ndim <= 1]
    decay, rate = config.weight_decay, config.learning_rate
    return [
        torch.optim.Muon(in_blocks, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": decay},
                {"params": undecayed, "weight_decay": 0.0},
            ],
            lr=rate,
            betas=BETAS,
        ),
    ]


def _batches(config: PretrainingConfig, first: int, workers: int) -> Iterator[ViewBatch]:
    return iter(
        DataLoader(
            ViewBatches(config),
            sampler=range(first, config.steps),
            batch_size=None,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
        )
    )


def _require_beginning(
    begun: PretrainingConfig, wanted: PretrainingConfig, state: Settings
) -> None:
    """The run that was begun must be the beginning of the one that is wanted."""
    differing = [
        f"{name} {getattr(begun, name)!r} → {getattr(wanted, name)!r}"
        for name in PretrainingConfig.model_fields
        if getattr(begun, name) != getattr(wanted, name)
    ]
    if begun.steps != wanted.steps:
        falls = min(begun.cooldown_starts, wanted.cooldown_starts)
        if state["step"] <= falls:
            differing = [words for words in differing if not words.startswith("steps ")]
    if differing:
        raise RunError(
            f"the run was begun with other settings: {', '.join(differing)}; resume with those, or "
            "begin in another folder (the number of steps may change until the rate falls)"
        )


def _rows_until(log: Path, step: int) -> list[dict[str, Any]]:
    """The lines of the log up to a step; what came after it will come again."""
    if not step:
        return []
    with log.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if int(row["step"]) <= step]


def _write_log(rows: list[dict[str, Any]], log: Path) -> None:
    with writing_file(log) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
