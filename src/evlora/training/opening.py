"""The dataset that a recipe names, for whoever does not train with it as well."""

from evlora.datasets import Manifest, read_manifest
from evlora.recipe.schema import DataConfig
from evlora.training.folder import root_of


def open_dataset(data: DataConfig, *, seed: int) -> Manifest:
    """The dataset of a recipe, with a validation split held out where it has none.

    Validation samples are held out first: `data.shots` are chosen from what is left.

    Raises:
        RecipeError: The recipe names no dataset.
        DatasetError: The dataset is incomplete.
    """
    root = root_of(data)
    manifest = read_manifest(root, source=data.source, cache=data.cache, cache_gb=data.cache_gb)
    if "val" not in manifest.splits:
        manifest = manifest.with_validation(
            data.validation_fraction, seed=seed, apart=data.validation_apart
        )
    return manifest if data.shots is None else manifest.with_shots(data.shots, seed=seed)
