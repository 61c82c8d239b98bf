"""The verbs that make a bundle of something else: a published checkpoint, or another bundle."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from evlora.cli.arguments import Bundle, Weights
from evlora.cli.printing import echo


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command()(bundle)
    app.command()(import_published)


def bundle(
    bundle: Bundle,
    out: Annotated[Path, typer.Argument(help="The copy, a new folder or an earlier bundle.")],
    with_backbone: Annotated[
        bool,
        typer.Option(
            "--with-backbone", help="Include the frozen weights: the copy needs no other file."
        ),
    ] = False,
    weights: Weights = None,
) -> None:
    """Copy a bundle, with its backbone or without."""
    from evlora.bundle import copy_bundle

    made = copy_bundle(bundle, out, with_backbone=with_backbone, weights=weights)
    size = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
    echo(f"bundle: {made} ({size / 1e6:.1f} MB)")


def import_published(
    checkpoint: Annotated[Path, typer.Argument(help="VELoRA's released checkpoint, a .pth.")],
    out: Annotated[Path, typer.Argument(help="The bundle to make, a new folder.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Names of the classes: a text file of one a line, or a prepared dataset."
        ),
    ] = None,
    window: Annotated[
        Literal["exposure", "frame", "segment"],
        typer.Option(help="Events of a moment: while its frame was exposed, or since the last."),
    ] = "exposure",
    fit: Annotated[
        Literal["stretch", "crop", "pad"], typer.Option(help="How images get the model's shape.")
    ] = "stretch",
    normalization: Annotated[
        Literal["clip", "half"],
        typer.Option(help="Mean and standard deviation of the input: CLIP's, or a half for both."),
    ] = "clip",
    alpha: Annotated[
        float | None, typer.Option(help="LoRA's α, if its rank is not the released one.")
    ] = None,
) -> None:
    """Make a bundle of VELoRA's released checkpoint.

    Its logits are the released network's.
    """
    from evlora import importing

    names = None if labels is None else _read_labels(labels)
    clip = importing.PUBLISHED_CLIP.model_copy(update={"window": window, "fit": fit})
    bundle = importing.import_published(
        checkpoint, out, labels=names, clip=clip, normalization=normalization, alpha=alpha
    )
    if names is None:
        echo("classes are called by their numbers; --labels gives them names")
    echo(f"bundle: {bundle}")


def _read_labels(path: Path) -> tuple[str, ...]:
    from evlora.datasets import read_manifest
    from evlora.errors import CheckpointError

    if path.is_dir():
        return read_manifest(path, checks_files=False).labels
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"--labels: expected a text file of one name a line, or a prepared dataset: {error}"
        ) from error
    return tuple(line.strip() for line in lines if line.strip())
