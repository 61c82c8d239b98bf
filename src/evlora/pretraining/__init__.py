"""Pre-training of evlora's own small backbone on figures that are made by formulas."""

from evlora.pretraining.run import PretrainingConfig, pretrain

__all__ = ["PretrainingConfig", "pretrain"]
