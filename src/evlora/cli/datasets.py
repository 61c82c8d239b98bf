"""The verb that makes datasets ready: prepare."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(prepare)


def prepare(
    layout: Annotated[str, typer.Argument(help="How the dataset lies on disk, such as csv.")],
    rest: Annotated[
        list[str],
        typer.Argument(
            metavar="[SOURCE] OUT [KEY=VALUE ...]",
            help="Where the dataset lies (not for `generated`), the folder to make, and options.",
        ),
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier preparation in OUT.")
    ] = False,
) -> None:
    """Make the index of a dataset: a folder that the other verbs read."""
    import yaml

    from evlora.cli.printing import counting_bar, table
    from evlora.clips import prepare as prepare_dataset
    from evlora.errors import DatasetError

    folders = [Path(word) for word in rest if "=" not in word]
    options = {
        key: yaml.safe_load(value)
        for key, _, value in (word.partition("=") for word in rest if "=" in word)
    }
    if not 1 <= len(folders) <= 2:
        raise DatasetError(
            f"prepare: expected SOURCE OUT, or OUT alone for a layout that makes its own "
            f"recordings; got {len(folders)} folders"
        )
    source = folders[0] if len(folders) == 2 else None
    with counting_bar("samples") as progress:
        manifest = prepare_dataset(
            layout,
            source,
            folders[-1],
            overwrite=overwrite,
            options=options,
            progress=progress,
        )
    counts = manifest.counts
    table(
        ("split", "samples"),
        [(split, f"{counts[split]:,}") for split in manifest.splits],
    )
    for note in manifest.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"{len(manifest.labels)} classes; dataset: {folders[-1]}")
