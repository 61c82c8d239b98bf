"""A dataset's clips drawn once, into shards that training streams from a disk or a bucket."""

from evlora.packing.packed_dataset import PackedDataset, clip_dataset
from evlora.packing.parts import Shard
from evlora.packing.run import Packing, cores, join_shards, pack
from evlora.packing.survey import Survey, Trial, survey

__all__ = [
    "PackedDataset",
    "Packing",
    "Shard",
    "Survey",
    "Trial",
    "clip_dataset",
    "cores",
    "join_shards",
    "pack",
    "survey",
]
