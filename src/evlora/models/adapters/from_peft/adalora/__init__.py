"""AdaLoRA (Zhang et al., ICLR 2023): low-rank pairs that share a budget of ranks."""

from evlora.models.adapters.from_peft.adalora.method import METHOD

__all__ = ["METHOD"]
