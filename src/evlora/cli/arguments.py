"""Arguments and options that several verbs have, each under one name and with one help."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from evlora.cli.early import bundle_that_is_there

RECIPE_HELP = "A recipe's file, or the name of one that ships with evlora."
Recipe = Annotated[Path, typer.Argument(help=RECIPE_HELP)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Keys of the recipe to change, such as run.dir."),
]

Bundle = Annotated[
    Path,
    typer.Argument(
        help="A trained recognizer: a bundle, or a run's folder.", callback=bundle_that_is_there
    ),
]
DATASET_HELP = "A folder that `evlora prepare` made"
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Split = Annotated[str, typer.Option(help="What is measured: train, val or test.")]
Source = Annotated[
    Path | None, typer.Option(help="Where the recordings lie now, if they were moved.")
]
BatchSize = Annotated[
    int | None,
    typer.Option(min=1, help="Clips in one call: 16, or 1 if a result depends on others."),
]
Workers = Annotated[int, typer.Option(min=0, help="Processes that read clips.")]
Device = Annotated[
    str, typer.Option(help="auto (cuda if there is one, else cpu), cpu, cuda, cuda:1, …")
]
Weights = Annotated[
    Path | None,
    typer.Option(help="The backbone's weight file, where it is not found otherwise."),
]
Without = Annotated[
    Literal["rgb", "event"] | None,
    typer.Option(help="Of both modalities, one that is hidden from the recognizer: rgb or event."),
]
AnswerPrecision = Annotated[
    Literal["fp32", "bf16", "auto"],
    typer.Option(
        help="fp32; bf16, less exact and faster where the device has it; auto: bf16 if it has."
    ),
]
