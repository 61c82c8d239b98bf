"""Cached features: what no trained weight has a part in is computed once per clip, then reused.

Where nothing learns in a network's encoding of its images (a linear probe, or adapters in the last
blocks only), every epoch would compute the same features again. Here they are computed once for
each clip, and for each variant of it where training changes clips at random, and training goes on
from there.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.layers import DropPath
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from evlora.clips import Batch, ClipConfig
from evlora.datasets import ClipDataset
from evlora.datasets.loading import InOrder, loader_options
from evlora.errors import RecipeError
from evlora.files import writing_file
from evlora.models.network import MomentwiseNetwork
from evlora.recipe.schema import Recipe
from evlora.recognizer import Recognizer

MEMORY = "memory"
OFF = "off"
FEATURES = "features"
"""The only tensor of a file."""
DRAWN_FOR_BOTH = frozenset(
    ("clip.jitter", *(f"clip.augmentation.{name}" for name in ("crop", "aspect", "flip", "erase")))
)
"""Random keys whose draws are the same whether a clip shows both modalities or frames alone."""


class FeatureBatch(NamedTuple):
    """The features of B clips."""

    encoded: dict[str, Tensor]
    """Of each view, shape (B, T, …), or (B, 1, …) where moments are averaged by then."""
    labels: Tensor | None
    """Numbers of the classes, int64, shape (B,)."""
    samples: list[str]
    """Which samples of the dataset they are."""


class FeatureDataset(Dataset[int]):
    """The clips of a split as features: an item is its number, `collate` makes a batch of them.

    Args:
        clips: What the features are computed from.
        variants: Draws of each clip; epoch e uses those of epoch e modulo this number.
    """

    def __init__(self, clips: ClipDataset, *, variants: int) -> None:
        self.clips = clips
        self.config = clips.config
        self.variants = variants
        self._variant = 0
        self._kept: list[dict[str, Tensor]] = []
        number = {label: place for place, label in enumerate(clips.labels)}
        self._labels = torch.tensor([number[sample.label] for sample in clips.samples])

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> int:
        return index

    @property
    def chunk_sizes(self) -> list[int]:
        """Those of the clips, so that the order of an epoch is the same as without features."""
        return self.clips.chunk_sizes

    def reading(self, indices: Sequence[int]) -> Iterator[int]:
        """The same numbers: nothing is read any more."""
        return iter(indices)

    def set_epoch(self, epoch: int) -> None:
        """Use the variant of this epoch from now on."""
        self._variant = epoch % self.variants

    def collate(self, indices: list[int]) -> FeatureBatch:
        """The features of these clips in the variant of the epoch."""
        kept = self._kept[self._variant]
        places = torch.tensor(indices)
        encoded = {name: features[places] for name, features in kept.items()}
        names = [self.clips.samples[i].sample for i in indices]
        return FeatureBatch(encoded, self._labels[places], names)

    def loader_options(self, *, batch_size: int, workers: int) -> dict[str, Any]:
        """What loaders of features are made with; they need no workers."""
        del workers
        return {
            **loader_options(batch_size=batch_size, workers=0),
            "collate_fn": self.collate,
        }

    def fill(
        self,
        recognizer: Recognizer,
        folder: Path | None,
        *,
        batch_size: int,
        workers: int,
        precision: AbstractContextManager[Any],
    ) -> None:
        """Compute the features of all clips and variants, or read them where they lie already.

        Args:
            recognizer: On its device; whether it trains decides what pruned networks see.
            folder: Where features are kept beyond this run, or None.
            batch_size: Clips encoded together.
            workers: Processes that read the clips.
            precision: In which the network computes, to be entered once.
        """
        self._kept = []
        read_from = [] if folder is None else self._read_from()
        with precision, torch.no_grad():
            for variant in range(self.variants):
                kept: dict[str, Tensor] = {}
                paths = {}
                if folder is not None:
                    paths = self._paths(recognizer, folder, variant, read_from)
                for name, path in paths.items():
                    if path.is_file():
                        kept[name] = _read(path)
                missing = [name for name in _views(recognizer) if name not in kept]
                if missing:
                    self.clips.set_epoch(variant)
                    options = loader_options(batch_size=batch_size, workers=workers)
                    loader = DataLoader(self.clips, sampler=InOrder(self.clips), **options)
                    batches = [_encoded(recognizer, batch, missing) for batch in loader]
                    for name in missing:
                        kept[name] = torch.cat([batch[name] for batch in batches])
                        if name in paths:
                            with writing_file(paths[name]) as temporary:
                                save_file({FEATURES: kept[name]}, temporary)
                self._kept.append(kept)

    def _drawn_by(self, variant: int) -> list[Any]:
        """What the draw of a variant depends on: no seed where nothing is drawn."""
        folder, seed, is_training = self.clips.drawn_by
        is_drawn = is_training and random_keys(self.config)
        return [folder, seed, is_training, variant] if is_drawn else [folder]

    def _read_from(self) -> list[object]:
        """What the clips are made of: the samples, and the state of their files."""
        return [[repr(sample) for sample in self.clips.samples], self.clips.states()]

    def _paths(
        self, recognizer: Recognizer, folder: Path, variant: int, read_from: list[object]
    ) -> dict[str, Path]:
        """A file for each view, whose name holds everything that its features depend on."""
        adapter, backbone = recognizer.config.model.adapter, recognizer.config.backbone
        device = next(recognizer.parameters()).device.type
        is_half = torch.is_autocast_enabled(device)
        depends_on = {
            "weights": recognizer.backbone_sha256,
            # What is done with them: heads, activations, the statistics of images.
            "backbone": [backbone.name, backbone.options],
            "moment_heads": [adapter.moment_heads, adapter.blocks],  # learn nothing, and change all
            "training": recognizer.training,
            "precision": str(torch.get_autocast_dtype(device) if is_half else torch.float32),
            "draw": self._drawn_by(variant),
            "read from": read_from,
        }
        paths: dict[str, Path] = {}
        for name, keys in _views(recognizer).items():
            of_view = {"view": name, "model": keys, "clip": _clip_keys(self.config, name)}
            text = json.dumps({**depends_on, **of_view}, sort_keys=True)
            digest = hashlib.sha256(text.encode()).hexdigest()[:32]
            paths[name] = folder / f"features-{digest}.safetensors"
        return paths


def require_cacheable(recipe: Recipe, recognizer: Recognizer) -> None:
    """Check that cached features would be those of a run without them.

    Raises:
        RecipeError: Something learns in the encoding, or clips change at random without a bound.
    """
    network = recognizer.network
    where = f"training.cache_features: {recipe.training.cache_features}"
    if not isinstance(network, MomentwiseNetwork):
        raise RecipeError(f"{where}: expected velora or single_stream; set it to off")
    parts = network.encoding_parts()
    learning = [p for part in parts for p in part.parameters() if p.requires_grad]
    if learning:
        raise RecipeError(
            f"{where}: expected nothing to learn where images are encoded, got "
            f"{sum(p.numel() for p in learning):,} trained parameters there; set "
            "model.adapter: none, or with velora model.adapter.blocks to at most "
            "model.high_blocks, or set it to off"
        )
    dropped = [m for part in parts for m in part.modules() if _drops(m)]
    if dropped:
        raise RecipeError(
            f"{where}: expected a backbone without dropout, got {len(dropped)} layers of it in its "
            "frozen blocks, which change features at random; remove it from backbone.options"
        )
    for key in ("mixup", "cutmix"):
        if strength := getattr(recipe.training, key):
            raise RecipeError(
                f"{where}: expected training.{key}: 0, got {strength}, which mixes images anew in "
                "every step; set one of the two to 0 or off"
            )
    drawn = random_keys(recipe.clip)
    if drawn and recipe.training.cache_variants is None:
        raise RecipeError(
            f"{where}: training changes images at random by {', '.join(drawn)}; bound the number "
            "of variants of each clip with training.cache_variants, or turn these keys off"
        )


def random_keys(clip: ClipConfig) -> list[str]:
    """The keys by which training changes clips at random."""
    magnitude = clip.augmentation.randaugment_magnitude  # changes nothing on its own
    unchanged = {"crop": 1.0, "aspect": 1.0, "randaugment_magnitude": magnitude}
    changed = [
        f"clip.augmentation.{name}"
        for name, value in clip.augmentation.model_dump().items()
        if not isinstance(value, list | tuple) and value != unchanged.get(name, 0)
    ]
    drawn = {"clip.jitter": clip.jitter, "clip.corruption": clip.corruption is not None}
    return [name for name, is_drawn in drawn.items() if is_drawn] + changed


def _drops(module: nn.Module) -> bool:
    if isinstance(module, DropPath):
        return bool(module.drop_prob)
    return isinstance(module, nn.Dropout) and module.p > 0


def _views(recognizer: Recognizer) -> dict[str, dict[str, Any]]:
    """What is encoded, and the keys of the model that it depends on."""
    return cast(MomentwiseNetwork, recognizer.network).encoding_keys()


def _clip_keys(clip: ClipConfig, view: str) -> dict[str, Any]:
    """The keys on which a view's images depend.

    Frames are the same with events beside them, but not the reverse: the field of view is that of
    the frames where a clip shows them.
    """
    keys = clip.model_dump(mode="json")
    if view == "rgb" and set(random_keys(clip)) <= DRAWN_FOR_BOTH:
        del keys["modalities"]
    return keys


def _encoded(recognizer: Recognizer, batch: Batch, views: Sequence[str]) -> dict[str, Tensor]:
    network = cast(MomentwiseNetwork, recognizer.network)
    on_device = batch.to(next(recognizer.parameters()).device)
    images = [
        None if x is None else recognizer.normalize(x) for x in (on_device.rgb, on_device.events)
    ]
    shown = network.images_by_view(*images)
    encoded = network.encode_once({name: shown[name] for name in views})
    return {name: features.cpu() for name, features in encoded.items()}


def _read(path: Path) -> Tensor:
    try:
        return load_file(path)[FEATURES]
    except (SafetensorError, KeyError, OSError) as error:
        raise RecipeError(
            f"training.cache_features: {path} is damaged: {error}; delete it, it is made anew"
        ) from error
