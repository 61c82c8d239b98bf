"""The verb that makes datasets ready: prepare."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evlora.errors import DatasetError

if TYPE_CHECKING:
    from evlora.clips import ClipConfig
    from evlora.datasets import Manifest
    from evlora.packing import Packing, Shard, Survey, Trial

LABELS_SHOWN = 5
PACKED_KEYS = ("frames", "modalities", "representation", "window")
"""Keys of a clip that say how it is packed; the others are up to training."""


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(prepare)


def prepare(
    layout: Annotated[str, typer.Argument(help="How the dataset lies on disk, such as csv.")],
    rest: Annotated[
        list[str],
        typer.Argument(
            metavar="[SOURCE] OUT [KEY=VALUE ...]",
            help="Where the dataset lies (not for `generated`), the folder to make, and options "
            "of the layout; with --pack also clip.frames, clip.modalities, clip.representation "
            "and clip.window.",
        ),
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier preparation in OUT.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is there; write nothing.")
    ] = False,
    pack: Annotated[
        bool,
        typer.Option(
            "--pack", help="Draw all clips once, into shards that training streams from anywhere."
        ),
    ] = False,
    recipe: Annotated[
        str | None, typer.Option(help="Pack the clips that this recipe trains with.")
    ] = None,
    shorter_side: Annotated[
        int | None,
        typer.Option(min=1, metavar="PIXELS", help="Scale down pictures that are larger."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that draw; else one for each core if it is worth it."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first sample that cannot be packed.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Pack the I-th of N parts, in an array of jobs."),
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Join the parts that an array of jobs has packed.")
    ] = False,
) -> None:
    """Make a dataset ready: its index, or with --pack its clips, in a folder that others read."""
    from evlora.datasets.layouts import layout_named

    folders = [Path(word) for word in rest if "=" not in word]
    options, clip_keys = _keys([word for word in rest if "=" in word])
    only_packing = {
        "--recipe": recipe,
        "--shorter-side": shorter_side,
        "--shard": shard,
        "--merge": merge,
        "--strict": strict,
        "--workers": workers,
        **{f"clip.{key}": True for key in clip_keys},
    }
    given = [
        name for name, value in only_packing.items() if value is not None and value is not False
    ]
    if given and not pack:
        raise DatasetError(f"prepare: {given[0]} is for packing; add --pack, or leave it out")
    if shard is not None and merge:
        raise DatasetError("prepare: expected --shard or --merge, got both; join when all are done")
    if not 1 <= len(folders) <= 2:
        raise DatasetError(
            f"prepare: expected SOURCE OUT, or OUT alone for a layout that makes its own "
            f"recordings; got {len(folders)} folders"
        )
    is_source = len(folders) == 2 or (dry_run and layout_named(layout).has_source)
    source, out = folders[0] if is_source else None, folders[-1]
    clip = _clip(recipe, clip_keys) if pack else None
    if dry_run:
        _look(layout, source, clip, options=options, shorter_side_px=shorter_side, workers=workers)
        return
    if clip is None:
        _index(layout, source, out, options=options, overwrite=overwrite)
        return
    from evlora.cli.printing import counting_bar
    from evlora.packing import Shard, join_shards
    from evlora.packing import pack as pack_clips

    part = None if shard is None else Shard.parse(shard)
    with counting_bar("samples") as progress:
        asked: dict[str, Any] = {
            "options": options,
            "shorter_side_px": shorter_side,
            "overwrite": overwrite,
            "progress": progress,
        }
        if merge:
            packing = join_shards(layout, source, out, clip, **asked)
        else:
            asked |= {"workers": workers, "strict": strict, "shard": part}
            packing = pack_clips(layout, source, out, clip, **asked)
    _print_packing(packing, out, part)


def _keys(words: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the layout, and keys of the clip without the word clip."""
    import yaml

    values = {
        key: yaml.safe_load(value) for key, _, value in (word.partition("=") for word in words)
    }
    return (
        {key: value for key, value in values.items() if not key.startswith("clip.")},
        {
            key.removeprefix("clip."): value
            for key, value in values.items()
            if key.startswith("clip.")
        },
    )


def _clip(recipe: str | None, keys: dict[str, Any]) -> "ClipConfig":
    """The clips of a recipe, or the usual ones, with these keys changed."""
    from pydantic import ValidationError

    from evlora.clips import ClipConfig

    for key in keys:
        if key not in PACKED_KEYS:
            known = ", ".join(f"clip.{name}" for name in PACKED_KEYS)
            raise DatasetError(
                f"clip.{key}: packing is told by {known} alone, all else is up to training; "
                "leave it out"
            )
    if recipe is not None:
        from evlora.recipe import load_recipe

        return load_recipe(recipe, {f"clip.{key}": value for key, value in keys.items()}).clip
    try:
        return ClipConfig.model_validate(keys)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise DatasetError(
            f"clip.{'.'.join(map(str, fault['loc']))}={fault['input']}: {fault['msg']}"
        ) from error


def _index(
    layout: str, source: Path | None, out: Path, *, options: dict[str, Any], overwrite: bool
) -> None:
    from evlora.cli.printing import counting_bar, table
    from evlora.datasets import prepare as prepare_dataset

    with counting_bar("samples") as progress:
        manifest = prepare_dataset(
            layout, source, out, overwrite=overwrite, options=options, progress=progress
        )
    counts = manifest.counts
    table(("split", "samples"), [(split, f"{counts[split]:,}") for split in manifest.splits])
    _print_notes(manifest)
    typer.echo(f"{len(manifest.labels)} classes; dataset: {out}")


def _look(
    layout: str,
    source: Path | None,
    clip: "ClipConfig | None",
    *,
    options: dict[str, Any],
    shorter_side_px: int | None,
    workers: int | None,
) -> None:
    from evlora.cli.printing import counting_bar, table
    from evlora.packing import survey

    with counting_bar("samples") as progress:
        found = survey(
            layout,
            source,
            options=options,
            clip=clip,
            shorter_side_px=shorter_side_px,
            progress=progress,
        )
    manifest, counts = found.manifest, found.manifest.counts
    table(
        ("split", "samples", "files", "MB"),
        [
            (split, f"{counts[split]:,}", f"{found.files[split]:,}", _mb(found.bytes[split]))
            for split in manifest.splits
        ],
    )
    _print_notes(manifest)
    shown = ", ".join(manifest.labels[:LABELS_SHOWN])
    more = ", …" if len(manifest.labels) > LABELS_SHOWN else ""
    typer.echo(f"{len(manifest.labels)} classes: {shown}{more}")
    if found.missing:
        sample, path = found.missing[0]
        typer.echo(
            f"missing files: {len(found.missing):,}, such as {path} of the sample {sample}; "
            f"{'such samples would be rejected' if clip else 'mend them before preparing'}"
        )
    if found.trial is not None:
        _print_trial(found, found.trial, workers)
    typer.echo("nothing was written")


def _print_trial(found: "Survey", trial: "Trial", workers: int | None) -> None:
    from evlora.packing import cores

    samples = len(found.manifest.samples)
    processes = max(1, cores() if workers is None else workers)
    rejected = [one.done for one in trial.outcomes if one.done.reason]
    if rejected:
        typer.echo(
            f"of {len(trial.outcomes)} samples that were tried {len(rejected)} cannot be packed; "
            f"{rejected[0].sample}: {rejected[0].file}: {rejected[0].reason}"
        )
    if len(rejected) < len(trial.outcomes):
        typer.echo(
            f"packed: about {_mb(samples * trial.bytes_per_sample)} MB in about "
            f"{_duration(samples * trial.seconds_per_sample / processes)}, "
            f"as {len(trial.outcomes)} samples tell; processes: {processes}"
        )


def _print_packing(packing: "Packing", out: Path, part: "Shard | None") -> None:
    from evlora.cli.printing import table
    from evlora.datasets.manifest import SPLITS

    manifest, counts = packing.manifest, packing.manifest.counts
    rejected = Counter(one.split for one in packing.rejected)
    table(
        ("split", "packed", "rejected"),
        [
            (split, f"{counts.get(split, 0):,}", f"{rejected[split]:,}")
            for split in sorted({*counts, *rejected}, key=SPLITS.index)
        ],
    )
    _print_notes(manifest)
    if packing.remarked:
        first = packing.remarked[0]
        typer.echo(
            f"packed although something was wrong: {len(packing.remarked):,}, as sources.csv "
            f"says; the first, {first.sample}: {first.remarks[0]}"
        )
    if packing.rejected:
        first = packing.rejected[0]
        typer.echo(
            f"rejected: {len(packing.rejected):,}, as rejected.csv says; the first, "
            f"{first.sample}: {first.file}: {first.reason}"
        )
    size = f"{_mb(packing.packed_bytes)} MB"
    if part is not None:
        typer.echo(f"shard {part.number}/{part.total} is done, {size}; join all with --merge")
    elif packing.is_new:
        typer.echo(f"{len(manifest.labels)} classes; packed dataset, {size}: {out}")
    else:
        typer.echo(f"{out}: was packed already, {size}, and its source has not changed")


def _print_notes(manifest: "Manifest") -> None:
    if manifest.split_source:
        typer.echo(f"split: {manifest.split_source}")
    for note in manifest.notes:
        typer.echo(f"note: {note}")


def _mb(size: float) -> str:
    return f"{size / 1e6:,.1f}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
