"""What a run leaves when it has ended: its bundle and its figures, and what these are of."""

from pathlib import Path

from evlora.bundle import save_bundle
from evlora.datasets.protocol import protocol_of
from evlora.recipe import Recipe
from evlora.recognizer import Recognizer
from evlora.training.data import ClipDataModule
from evlora.training.folder import BUNDLE, write_metrics


def keep_results(
    folder: Path,
    recognizer: Recognizer,
    recipe: Recipe,
    metrics: dict[str, float],
    data: ClipDataModule,
) -> None:
    """Write the bundle and the metrics of a run that has ended."""
    part = "train" if data.validation is None else "val"
    protocol = protocol_of(data.manifest, part, recipe.clip).as_dict()
    save_bundle(
        recognizer,
        folder / BUNDLE,
        recipe=recipe.model_dump(mode="json"),
        metrics=metrics,
        protocol=protocol,
        with_backbone=recipe.run.with_backbone,
    )
    write_metrics(folder, metrics, protocol)
