"""From recordings to what a model eats. Knows nothing of models."""

from evlora.clips.clip import Batch, Clip, ClipConfig, collate, make_clip, make_views
from evlora.clips.dataset import AllViews, ClipDataset
from evlora.clips.manifest import Manifest, read_manifest
from evlora.clips.packed_dataset import PackedDataset, clip_dataset
from evlora.clips.preparing import prepare

__all__ = [
    "AllViews",
    "Batch",
    "Clip",
    "ClipConfig",
    "ClipDataset",
    "Manifest",
    "PackedDataset",
    "clip_dataset",
    "collate",
    "make_clip",
    "make_views",
    "prepare",
    "read_manifest",
]
