"""A dataset's clips drawn once, into shards that training streams from a disk or a bucket."""

from evlora import moved
from evlora.packing.packed_dataset import PackedDataset, clip_dataset
from evlora.packing.parts import JobPart
from evlora.packing.run import Packing, join_parts, pack
from evlora.packing.trial import Trial, try_packing

__all__ = [
    "JobPart",
    "PackedDataset",
    "Packing",
    "Trial",
    "clip_dataset",
    "join_parts",
    "pack",
    "try_packing",
]


__getattr__ = moved.names_of("evlora.packing")
