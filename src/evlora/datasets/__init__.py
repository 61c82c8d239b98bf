"""Many samples on disk: manifests, layouts of public datasets, and how clips come from them."""

from evlora.datasets.dataset import AllViews, ClipDataset
from evlora.datasets.manifest import Manifest
from evlora.datasets.preparing import prepare
from evlora.datasets.storage import read_manifest

__all__ = ["AllViews", "ClipDataset", "Manifest", "prepare", "read_manifest"]
