"""VELoRA's network exactly as released, and the reader of its checkpoint."""

from evlora.models.config import PublishedConfig
from evlora.models.published.checkpoint import PublishedCheckpoint, read_published_checkpoint
from evlora.models.published.network import PublishedVELoRA

__all__ = [
    "PublishedCheckpoint",
    "PublishedConfig",
    "PublishedVELoRA",
    "read_published_checkpoint",
]
