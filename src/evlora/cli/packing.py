"""The verb that draws a prepared dataset's clips once: pack."""

import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evlora.cli.arguments import DATASET_HELP, Source
from evlora.cli.printing import counting_bar, duration, echo, megabytes, table
from evlora.cli.verb import ranks_of_command
from evlora.errors import DatasetError
from evlora.rank_group import ALONE, Ranks

if TYPE_CHECKING:
    from evlora.clips import ClipConfig
    from evlora.packing import JobPart, Packing, Trial

PACKED_KEYS = ("frames", "modalities", "representation", "window", "filters")
"""Keys of a clip that set how it is packed; the others are up to training."""
USUAL_SHORTER_SIDE_PX = 256
"""Of photographs and videos before a crop of 224 px, in the protocols that train on them."""
ENOUGH_TO_ESTIMATE = 100
"""Samples from which on it is first measured what packing will cost."""
MUCH_GROWTH = 10
"""How many times as large as its files a packed dataset may become without being asked for."""


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(pack)


def pack(
    dataset: Annotated[Path, typer.Argument(help=f"{DATASET_HELP}.")],
    rest: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="OUT [KEY=VALUE]",
            help="The folder to make, and clip.frames, clip.modalities, clip.representation, "
            "clip.window or clip.filters.",
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Pack the clips that this recipe trains with.")
    ] = None,
    shorter_side: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="PIXELS",
            help="Scale down images that are larger; 0 keeps all. By default 256 for photographs "
            "and videos with --lossy.",
        ),
    ] = None,
    lossy: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT:QUALITY",
            help="Compress images as jpeg or webp, such as jpeg:95, where that is smaller.",
        ),
    ] = None,
    max_frames: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Keep N frames of a recording, evenly chosen."),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="NAME[:KEY=VALUE]",
            help="A filter that each recording passes first, the same as clip.filters; several "
            "work in their order.",
        ),
    ] = None,
    source: Source = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that draw; by default one for each core."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first sample that cannot be packed.")
    ] = False,
    part: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Pack the I-th of N parts, in an array of jobs."),
    ] = None,
    join: Annotated[
        bool, typer.Option("--join", help="Join the parts that an array of jobs has packed.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier packing in OUT.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what it would cost; write nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before a packing much larger than its files.")
    ] = False,
) -> None:
    """Draw a dataset's clips once, into shards for training."""
    words = rest or []
    folders = [Path(word) for word in words if "=" not in word]
    if len(folders) > 1 or (not folders and not dry_run):
        raise DatasetError(f"pack: expected DATASET OUT, got {1 + len(folders)} folders")
    keys = values_of([word for word in words if "=" in word])
    if filters and "clip.filters" in keys:
        raise DatasetError("pack: expected --filter or clip.filters, got both; give one")
    clip = clip_of(recipe, keys | ({"clip.filters": filters} if filters else {}))
    drawing: dict[str, Any] = {
        "shorter_side_px": _shorter_side(clip, asked=shorter_side, lossy=lossy),
        "lossy": lossy,
        "max_frames": max_frames,
        "source": source,
    }
    ranks = ranks_of_command()
    if dry_run:
        ranks.first(partial(show_trial, dataset, clip, workers=workers, **drawing))
        echo("nothing was written")
        return
    if part is None and not join and _is_new(folders[0], overwrite=overwrite):
        ask = partial(_show_and_confirm, dataset, clip, workers=workers, yes=yes, **drawing)
        ranks.first(ask)
    pack_and_print(
        dataset,
        folders[0],
        clip,
        part=part,
        join=join,
        workers=workers,
        strict=strict,
        overwrite=overwrite,
        ranks=ranks,
        **drawing,
    )


def _shorter_side(clip: "ClipConfig", *, asked: int | None, lossy: str | None) -> int | None:
    """To what images are scaled; None is their own size."""
    if asked is not None:
        return asked or None
    is_of_pictures = clip.modalities == ("rgb",) and max(clip.size_px) <= USUAL_SHORTER_SIDE_PX
    return USUAL_SHORTER_SIDE_PX if lossy is not None and is_of_pictures else None


def _is_new(out: Path, *, overwrite: bool) -> bool:
    """Whether a packing begins, and is not resumed or there already."""
    is_begun = out.exists() or out.with_name(f"{out.name}.packing").exists()
    return overwrite or not is_begun


def _show_and_confirm(
    dataset: Path, clip: "ClipConfig", *, workers: int | None, yes: bool, **drawing: Any
) -> None:
    """Print what packing a large dataset will cost, and ask where it will grow much.

    Raises:
        Exit: The user does not want it.
    """
    from evlora.datasets import read_manifest

    manifest = read_manifest(dataset, source=drawing["source"], checks_files=False)
    if len(manifest.samples) < ENOUGH_TO_ESTIMATE or manifest.packed is not None:
        return
    trial = show_trial(dataset, clip, workers=workers, **drawing)
    if trial.growth <= MUCH_GROWTH:
        return
    echo(
        f"caution: that is {trial.growth:.0f} times the size of the files; --lossy, --max-frames "
        "and --shorter-side make it smaller"
    )
    if not yes and sys.stdin.isatty() and not typer.confirm("Pack it so?"):
        raise typer.Exit(1)


def values_of(words: list[str]) -> dict[str, Any]:
    """The values of words KEY=VALUE, read as YAML.

    Raises:
        DatasetError: A value is no YAML.
    """
    import yaml

    from evlora.untrusted_yaml import fault_in_yaml, parse_yaml

    values: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        try:
            values[key] = parse_yaml(value)
        except yaml.YAMLError as error:
            reason = fault_in_yaml(error, has_place=False)
            raise DatasetError(
                f"{key}: expected a value in YAML, got {value!r}: {reason}"
            ) from error
    return values


def clip_of(recipe: str | None, keys: dict[str, Any]) -> "ClipConfig":
    """The clips of a recipe, or the default ones, with these keys (`clip.frames`, …) changed.

    Raises:
        DatasetError: A key does not concern packing, or its value is wrong.
        RecipeError: There is no such recipe.
    """
    from pydantic import ValidationError

    from evlora.clips import ClipConfig
    from evlora.messages import explain

    known = [f"clip.{name}" for name in PACKED_KEYS]
    for key in keys:
        if key not in known:
            raise DatasetError(
                f"{key}: expected one of {', '.join(known)}; all else of a clip is up to training"
            )
    if recipe is not None:
        from evlora.recipe import load_recipe

        return load_recipe(recipe, keys).clip
    try:
        return ClipConfig.model_validate(
            {key.removeprefix("clip."): value for key, value in keys.items()}
        )
    except ValidationError as error:
        raise DatasetError(f"clip.{explain(error, ClipConfig)}") from error


def pack_and_print(
    dataset: Path,
    out: Path,
    clip: "ClipConfig",
    *,
    part: str | None,
    join: bool,
    workers: int | None,
    strict: bool,
    ranks: Ranks = ALONE,
    **asked: Any,
) -> None:
    """Pack, or join parts, with a progress bar, and print what became of it."""
    from evlora.packing import JobPart, join_parts
    from evlora.packing import pack as pack_clips

    if part is not None and join:
        raise DatasetError("pack: expected --part or --join, got both; join when all are done")
    this = None if part is None else JobPart.parse(part)
    with counting_bar("samples") as progress:
        asked["progress"] = progress
        if join:
            packing = ranks.first(partial(join_parts, dataset, out, clip, **asked))
        else:
            packing = pack_clips(
                *(dataset, out, clip),
                workers=workers,
                strict=strict,
                part=this,
                ranks=ranks,
                **asked,
            )
    if packing is not None and ranks.rank == 0:
        _print_packing(packing, out, this)


def show_trial(
    dataset: Path, clip: "ClipConfig", *, workers: int | None, **drawing: Any
) -> "Trial":
    """Print what packing would cost, measured on a few samples, and return it.

    Args:
        dataset: What `evlora prepare` wrote.
        clip: How clips would be packed.
        workers: Processes.
        drawing: More arguments of `evlora.packing.try_packing`.
    """
    from evlora.packing import try_packing
    from evlora.processes import cores

    trial: Trial = try_packing(dataset, clip, **drawing)
    samples = len(trial.manifest.samples)
    processes = max(1, cores() if workers is None else workers)
    tried = len(trial.outcomes)
    rejected = [one.done for one in trial.outcomes if one.done.reason]
    if rejected:
        echo(
            f"of {tried} samples that were tried {len(rejected)} cannot be packed; "
            f"{rejected[0].sample}: {rejected[0].file}: {rejected[0].reason}"
        )
    if len(rejected) < tried:
        echo(
            f"packed: about {megabytes(samples * trial.bytes_per_sample)} MB in about "
            f"{duration(samples * trial.seconds_per_sample / processes)}, measured on {tried} of "
            f"{samples:,} samples; {trial.growth:.1f} times the size of the files; processes: "
            f"{processes}"
        )
    return trial


def _print_packing(packing: "Packing", out: Path, part: "JobPart | None") -> None:
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
    if manifest.split_source:
        echo(f"split: {manifest.split_source}")
    if packing.remarked:
        first = packing.remarked[0]
        echo(
            f"packed although something was wrong: {len(packing.remarked):,}, listed in "
            f"sources.csv; the first, {first.sample}: {first.remarks[0]}"
        )
    if packing.rejected:
        first = packing.rejected[0]
        echo(
            f"rejected: {len(packing.rejected):,}, listed in rejected.csv; the first, "
            f"{first.sample}: {first.file}: {first.reason}"
        )
    size = f"{megabytes(packing.packed_bytes)} MB"
    if part is not None:
        echo(f"part {part.number}/{part.total} is done, {size}; join all with --join")
    elif packing.is_new:
        echo(f"{len(manifest.labels)} classes; packed dataset, {size}: {out}")
    else:
        echo(f"{out}: was packed already, {size}, and its dataset has not changed")
