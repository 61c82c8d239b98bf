"""Datasets as they lie on disk: layouts, manifests, and their samples as clips."""

from evlora.datasets.dataset import AllTestViews, ClipDataset
from evlora.datasets.manifest import Manifest
from evlora.datasets.preparing import prepare
from evlora.datasets.storage import read_manifest
from evlora.datasets.surveying import Survey, survey, survey_layout

__all__ = [
    "AllTestViews",
    "ClipDataset",
    "Manifest",
    "Survey",
    "prepare",
    "read_manifest",
    "survey",
    "survey_layout",
]
