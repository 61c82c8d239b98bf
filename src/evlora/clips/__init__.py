"""From one recording to tensors. Knows nothing of datasets or models."""

from evlora import moved
from evlora.clips.batch import Batch, Clip, collate
from evlora.clips.config import ClipConfig, Modality
from evlora.clips.making import make_clip, make_test_views

__all__ = ["Batch", "Clip", "ClipConfig", "Modality", "collate", "make_clip", "make_test_views"]


__getattr__ = moved.names_of("evlora.clips")
