"""The verb that makes datasets ready: prepare."""

import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evlora.cli import packing
from evlora.cli.printing import counting_bar, echo, megabytes, table
from evlora.cli.verb import ranks_of_command
from evlora.errors import DatasetError
from evlora.messages import listed

if TYPE_CHECKING:
    from evlora.clips import ClipConfig
    from evlora.datasets import Manifest
    from evlora.datasets.checking import Checked
    from evlora.rank_group import Ranks

LABELS_SHOWN, CLASSES_SHOWN, FAULTS_SHOWN = 5, 20, 5
FormerOption = partial(typer.Option, hidden=True)
"""An option of the former spelling of packing; see `former_packing`."""


def register(app: typer.Typer) -> None:
    """Add the verb, and the one that packs what it prepared, to the command."""
    app.command()(prepare)
    packing.register(app)


def _list_layouts(is_asked: bool) -> None:
    if not is_asked:
        return
    from evlora.datasets.layouts import LAYOUTS

    width = max(len(row.name) for row in LAYOUTS)
    for row in LAYOUTS:
        echo(f"{row.name:{width}}  {row.description}")
    raise typer.Exit


def prepare(
    layout: Annotated[str, typer.Argument(help="How the dataset lies on disk, such as csv.")],
    rest: Annotated[
        list[str],
        typer.Argument(
            metavar="[SOURCE] OUT [KEY=VALUE]",
            help="Where the dataset lies (not for `generated`), the folder to make, and options "
            "of the layout.",
        ),
    ],
    list_layouts: Annotated[
        bool,
        typer.Option("--list", is_eager=True, callback=_list_layouts, help="Show the layouts."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier preparation in OUT.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what is there; write nothing.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Open every recording, and report those that fail."),
    ] = False,
    allow_outside: Annotated[
        bool,
        typer.Option(
            "--allow-outside",
            help="Take files that lie outside of the dataset's folder, by their paths or behind "
            "links.",
        ),
    ] = False,
    pack: Annotated[bool, FormerOption("--pack")] = False,
    recipe: Annotated[str | None, FormerOption()] = None,
    shorter_side: Annotated[int | None, FormerOption(min=1)] = None,
    workers: Annotated[int | None, FormerOption(min=0)] = None,
    strict: Annotated[bool, FormerOption("--strict")] = False,
    shard: Annotated[str | None, FormerOption()] = None,
    merge: Annotated[bool, FormerOption("--merge")] = False,
) -> None:
    """Index the samples of a dataset, yours or a public one.

    `evlora prepare class_tree RECORDINGS DATASET` takes recordings in one folder per class.
    """
    from evlora.datasets.layouts import layout_named

    del list_layouts  # its callback has listed them
    folders = [Path(word) for word in rest if "=" not in word]
    values = packing.values_of([word for word in rest if "=" in word])
    options = {key: value for key, value in values.items() if not key.startswith("clip.")}
    clip_keys = {key: value for key, value in values.items() if key.startswith("clip.")}
    former = {
        "--recipe": recipe is not None,
        "--shorter-side": shorter_side is not None,
        "--shard": shard is not None,
        "--merge": merge,
        "--strict": strict,
        "--workers": workers is not None,
        **dict.fromkeys(clip_keys, True),
    }
    given = [name for name, is_given in former.items() if is_given]
    if given and not pack:
        raise DatasetError(f"prepare: {given[0]} is for packing; use: evlora pack DATASET OUT")
    if not 1 <= len(folders) <= 2:
        raise DatasetError(
            f"prepare: expected SOURCE OUT, or OUT alone for a layout that makes its own "
            f"recordings; got {len(folders)} folders"
        )
    is_source = len(folders) == 2 or (dry_run and layout_named(layout).has_source)
    source, out = folders[0] if is_source else None, folders[-1]
    if pack:
        clip = packing.clip_of(recipe, clip_keys)
        drawing: dict[str, Any] = {"shorter_side_px": shorter_side, "workers": workers}
        if dry_run:
            _show_former_trial(layout, source, clip, options=options, **drawing)
            return
        from evlora.cli.former_packing import pack_layout

        drawing |= {"part": shard, "join": merge, "strict": strict, "overwrite": overwrite}
        work = partial(pack_layout, layout, source, out, clip, options=options, **drawing)
        ranks_of_command().first(work)
    elif dry_run:
        ranks_of_command().first(partial(_show_layout, layout, source, options=options))
        echo("nothing was written")
    else:
        consent = {"overwrite": overwrite, "allow_outside": allow_outside}
        _index(layout, source, out, options=options, checks=check, **consent)


def _index(
    layout: str,
    source: Path | None,
    out: Path,
    *,
    options: dict[str, Any],
    overwrite: bool,
    allow_outside: bool,
    checks: bool,
) -> None:
    from evlora.datasets import prepare as prepare_dataset
    from evlora.datasets import read_manifest

    def index() -> "Manifest":
        with counting_bar("samples") as progress:
            return prepare_dataset(
                layout,
                source,
                out,
                overwrite=overwrite,
                options=options,
                allow_outside=allow_outside,
                progress=progress,
            )

    ranks = ranks_of_command()
    manifest = ranks.first(index)
    checked = _checked(manifest or read_manifest(out), ranks) if checks else None
    if manifest is None:  # rank 0 has it
        return
    _print_counts(manifest)
    _print_notes(manifest)
    faults = _print_cautions(manifest, checked)
    count = len(manifest.labels)
    echo(f"{count} {'class' if count == 1 else 'classes'}; dataset: {out}")
    if faults:
        echo(
            f"error: {faults} of {len(manifest.samples)} samples cannot be read; mend or "
            "remove them, then prepare again",
            err=True,
        )
        raise typer.Exit(2)


def _print_counts(manifest: "Manifest") -> None:
    """Classes by splits, and what the samples of each consist of."""
    from evlora.datasets.checking import parts_of

    by_class = Counter((sample.label, sample.split) for sample in manifest.samples)
    parts: dict[str, dict[str, None]] = {label: {} for label in manifest.labels}
    for sample in manifest.samples:
        parts[sample.label][parts_of(sample)] = None
    splits, counts = manifest.splits, manifest.counts
    rows = [
        (label, *(f"{by_class[label, split]:,}" for split in splits), " or ".join(parts[label]))
        for label in manifest.labels[:CLASSES_SHOWN]
    ]
    if len(manifest.labels) > CLASSES_SHOWN:
        rows.append(
            (f"… and {len(manifest.labels) - CLASSES_SHOWN} more", *("" for _ in splits), "")
        )
    rows.append(("all", *(f"{counts[split]:,}" for split in splits), ""))
    table(("class", *splits, "made of"), rows)


def _checked(manifest: "Manifest", ranks: "Ranks") -> "Checked":
    from evlora.datasets.checking import check

    with counting_bar("samples opened") as progress:
        return check(manifest, progress=progress, ranks=ranks)


def _print_cautions(manifest: "Manifest", checked: "Checked | None") -> int:
    """Print what is odd about the dataset, and return how many samples cannot be read."""
    from evlora.datasets.checking import cautions_of

    if checked is not None:
        for sample, reason in checked.faults[:FAULTS_SHOWN]:
            echo(f"cannot be read: {sample}: {reason}")
        for sample, reason in checked.cautions[:FAULTS_SHOWN]:
            echo(f"read in part: {sample}: {reason}")
        echo(f"opened {len(manifest.samples)} samples, {len(checked.faults)} cannot be read")
    for caution in cautions_of(manifest, modalities=checked.modalities if checked else None):
        echo(f"caution: {caution}")
    return len(checked.faults) if checked else 0


def _show_layout(layout: str, source: Path | None, *, options: dict[str, Any]) -> None:
    from evlora.datasets import survey_layout

    with counting_bar("samples") as progress:
        found = survey_layout(layout, source, options=options, progress=progress)
    manifest, counts = found.manifest, found.manifest.counts
    table(
        ("split", "samples", "files", "MB"),
        [
            (split, f"{counts[split]:,}", f"{found.files[split]:,}", megabytes(found.bytes[split]))
            for split in manifest.splits
        ],
    )
    _print_notes(manifest)
    labels = listed(manifest.labels, at_most=LABELS_SHOWN)
    echo(f"{len(manifest.labels)} classes: {labels}")
    if found.missing:
        sample, path = found.missing[0]
        echo(
            f"missing files: {len(found.missing):,}, such as {path} of the sample {sample}; "
            "add them, or remove their samples, before preparing"
        )


def _show_former_trial(
    layout: str,
    source: Path | None,
    clip: "ClipConfig",
    *,
    options: dict[str, Any],
    shorter_side_px: int | None,
    workers: int | None,
) -> None:
    from evlora.cli.former_packing import try_layout
    from evlora.datasets import prepare as prepare_dataset

    _show_layout(layout, source, options=options)
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "dataset"
        prepare_dataset(layout, source, dataset, options=options, checks_files=False)
        try_layout(dataset, clip, shorter_side_px=shorter_side_px, workers=workers)
    echo("nothing was written")


def _print_notes(manifest: "Manifest") -> None:
    if manifest.split_source:
        name = "" if manifest.split_name in ("", "even") else f"{manifest.split_name}: "
        echo(f"split: {name}{manifest.split_source}")
    for note in manifest.notes:
        echo(f"note: {note}")
