"""`python -m evlora.pretraining --out FOLDER`: make a backbone from nothing."""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from evlora.errors import EvloraError
from evlora.pretraining.run import PretrainingConfig, pretrain

MODELS: dict[str, dict[str, Any]] = {
    "nano": {},
    "tiny": {
        "backbone": "vit_tiny_patch16_224",
        "steps": 100_000,
        "figures": 128,
        "sizes_px": (224,),
        "learning_rate": 1.0e-3,
        "warmup_steps": 2000,
    },
}
"""What of the settings each backbone has of its own; tiny is for a GPU."""


def main(arguments: list[str] | None = None) -> int:
    """Pre-train; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m evlora.pretraining",
        description="Pre-train a small backbone on figures that are made by formulas.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--model", choices=MODELS, default="nano")
    parser.add_argument("--steps", type=_positive, help="batches to learn from")
    parser.add_argument("--seed", type=int, default=0, help="of figures and first weights")
    parser.add_argument("--resume", action="store_true", help="resume the run in the folder")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw figures")
    parser.add_argument("--threads", type=_positive, help="threads that compute")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args(arguments)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error(
            f"--device {options.device}: torch finds no GPU here; leave it out for the CPU"
        )
    settings = {**MODELS[options.model], "seed": options.seed}
    if options.steps is not None:
        settings["steps"] = options.steps
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    try:
        weights = pretrain(
            PretrainingConfig.model_validate(settings),
            options.out,
            resume=options.resume,
            workers=options.workers,
            device=options.device,
            report=_report,
        )
    except EvloraError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    _report(f"{weights}: {weights.stat().st_size / 1e6:.2f} MB")
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {number}")
    return number


def _report(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
