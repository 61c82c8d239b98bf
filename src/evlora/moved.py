"""Where modules and names of evlora 0.1 are now: an old import path is answered with the new one.

Only the error knows them; nothing can be imported under two names.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import NoReturn

MODULES = {
    "evlora.clips.batch_representations": "evlora.recordings.representations",
    "evlora.clips.bucket": "evlora.datasets.bucket",
    "evlora.clips.clip": "evlora.clips",
    "evlora.clips.dataset": "evlora.datasets.dataset",
    "evlora.clips.generated": "evlora.datasets.layouts.generated",
    "evlora.clips.generated_videos": "evlora.datasets.layouts.generated_videos",
    "evlora.clips.layouts": "evlora.datasets.layouts",
    "evlora.clips.manifest": "evlora.datasets.manifest, evlora.datasets.storage",
    "evlora.clips.packed": "evlora.packing.codec",
    "evlora.clips.packed_dataset": "evlora.packing.packed_dataset",
    "evlora.clips.packing": "evlora.packing",
    "evlora.clips.preparing": "evlora.datasets.preparing",
    "evlora.clips.samples": "evlora.datasets.samples",
    "evlora.models.adapters.catalogue": "evlora.models.adapters",
    "evlora.models.adapters.configurations": "evlora.models.adapters.from_peft",
    "evlora.models.adapters.discovery": "evlora.models.adapters.blocks, "
    "evlora.models.adapters.tuners",
    "evlora.models.adapters.schedule": "evlora.models.adapters",
    "evlora.models.adapters.vit_layers": "evlora.models.adapters.blocks",
    "evlora.models.published_checkpoint": "evlora.models.published.checkpoint",
    "evlora.models.recognizer": "evlora.models.single_stream, evlora.models.build",
    "evlora.training.config": "evlora.recipe",
    "evlora.training.evaluation": "evlora.evaluation",
}
"""Old module → where its content is now."""

NAMES = {
    "evlora.clips": {
        "AllViews": "evlora.datasets:AllTestViews",
        "ClipDataset": "evlora.datasets",
        "Manifest": "evlora.datasets",
        "PackedDataset": "evlora.packing",
        "clip_dataset": "evlora.packing",
        "make_views": "evlora.clips:make_test_views",
        "prepare": "evlora.datasets",
        "read_manifest": "evlora.datasets",
    },
    "evlora.packing": {
        "Part": "evlora.packing:JobPart",
        "Shard": "evlora.packing:JobPart",
        "join_shards": "evlora.packing:join_parts",
        "survey": "evlora.packing:try_packing",
    },
    "evlora.recipe": {"train": "evlora.training.run"},
    "evlora.recordings.recording": {
        "Pictures": "evlora.recordings.opening",
        "open_pictures": "evlora.recordings.opening",
        "open_recording": "evlora.recordings.opening",
    },
}
"""Module → names that were in it → the module that has them now, and `:NAME` where it differs."""


class _MovedModules(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        home = MODULES.get(fullname)
        if home is not None:
            raise ModuleNotFoundError(
                f"{fullname} has moved; import from {home} instead", name=fullname
            )


def install() -> None:
    """Let imports of old modules raise an error that names the new one; once is enough."""
    if not any(isinstance(finder, _MovedModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, _MovedModules())  # before an old folder that was left behind


def names_of(module: str) -> Callable[[str], NoReturn]:
    """What a module's `__getattr__` is where names have left it."""

    def missing(name: str) -> NoReturn:
        home = NAMES[module].get(name)
        if home is not None:
            # Of an AttributeError, `from module import name` would drop the message.
            where, _, new_name = home.partition(":")
            raise ImportError(
                f"{module}.{name} has moved; use: from {where} import {new_name or name}",
                name=module,
            )
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return missing
