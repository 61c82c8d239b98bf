"""Packing a dataset's clips into shards."""

from evlora.clips.packing.run import Packing, cores, join_shards, pack
from evlora.clips.packing.shards import Shard
from evlora.clips.packing.survey import Survey, Trial, survey

__all__ = ["Packing", "Shard", "Survey", "Trial", "cores", "join_shards", "pack", "survey"]
