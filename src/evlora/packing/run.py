"""Packing: a dataset's clips drawn once, into shards that training streams.

The work lies in the folder `OUT.packing` beside the packed dataset until that is complete; an
interrupted packing is resumed from there. An array of jobs shares this folder: each packs its part
of the samples, and a last one joins what they made. The prepared dataset is only read.
"""

import csv
import errno
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from evlora.clips import ClipConfig
from evlora.datasets.layouts.table import Progress
from evlora.datasets.manifest import Manifest
from evlora.datasets.preparing import (
    SOURCES_FILE,
    making_parents,
    require_free,
)
from evlora.datasets.rendering import Rendering
from evlora.datasets.sources import look_at
from evlora.datasets.storage import read_manifest
from evlora.errors import DatasetError
from evlora.escaping import of_cell
from evlora.files import place_folder
from evlora.messages import listed
from evlora.packing.drawing import Job, render_all
from evlora.packing.joining import JOINED_FOLDER, join, require_enough
from evlora.packing.journal import Done, Journal
from evlora.packing.parts import JobPart, parts_in, require_idle, working_in
from evlora.packing.plan import Plan, begin_or_continue, plan_for, read_plan, require_same
from evlora.processes import cores
from evlora.rank_group import ALONE, Ranks

WORK_SUFFIX = ".packing"
ENOUGH_TO_JUDGE = 20
"""Samples after which it is first looked at how many were rejected."""
WORTH_A_PROCESS = 100
"""Number of samples for which another process is worth the seconds that it takes to start."""
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Packing:
    """What became of a packing."""

    manifest: Manifest
    """The samples that were packed; in one part of several, those of that part."""
    rejected: tuple[Done, ...]
    """Those that could not be."""
    remarked: tuple[Done, ...]
    """Those that were packed although something was wrong with them."""
    packed_bytes: int
    """Size of the clips."""
    is_new: bool = True
    """Whether anything was done: not where all was packed already."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be packed, and where to."""

    plan: Plan
    target: Path
    progress: Progress | None = None

    @property
    def work(self) -> Path:
        """The folder of the work until it is complete."""
        return self.target.with_name(self.target.name + WORK_SUFFIX)


def pack(
    dataset: str | Path,
    out: str | Path,
    clip: ClipConfig,
    *,
    shorter_side_px: int | None = None,
    lossy: str | None = None,
    max_frames: int | None = None,
    source: str | Path | None = None,
    workers: int | None = None,
    part: JobPart | None = None,
    strict: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    ranks: Ranks = ALONE,
) -> Packing:
    """Pack the clips of a prepared dataset into the folder `out`, complete or not at all.

    Args:
        dataset: What `evlora prepare` wrote; it is only read.
        out: The folder to make; its parents are made too.
        clip: Which clips are to be made of it: frames, modalities, representation and window count.
        shorter_side_px: Pictures with a longer shorter side are scaled to it.
        lossy: `jpeg:QUALITY` or `webp:QUALITY` for pictures that are smaller so; None keeps every
            pixel.
        max_frames: How many frames of a recording are kept at most, evenly chosen; None keeps all.
        source: Where the recordings lie now, if they were moved since the dataset was prepared.
        workers: Processes that draw; 0 draws in this one, None takes all cores for many samples.
        part: The part of an array of jobs that this is; None packs all and joins it.
        strict: Whether the first sample that cannot be packed is an error.
        overwrite: Whether an earlier packing in `out`, finished or not, is replaced.
        progress: Receives how many samples are done, and of how many of this rank.
        ranks: Processes that divide the samples as parts of an array; the first one joins them.

    Returns:
        The packed dataset's manifest, and what became of its samples; in further ranks, those of
        this rank.

    Raises:
        DatasetError: The dataset is none or has changed since, `out` is taken, the disk is full, or
            too many samples cannot be packed. What was done is kept: the same call resumes it.
    """
    if part is not None and ranks.size > 1:
        raise DatasetError(
            f"pack: expected one process for a part of an array, got {ranks.size}, which divide "
            "all samples among themselves; start it without torchrun or srun, or without --part"
        )
    rendering = Rendering.of(
        clip, shorter_side_px=shorter_side_px, lossy=lossy, max_frames=max_frames
    )
    order = _order(dataset, out, rendering, source=source, progress=progress)
    with making_parents(order.target), _explaining_a_full_disk(order):
        this = part or JobPart(ranks.rank + 1, ranks.size)

        def begin() -> Packing | None:
            if not overwrite and (found := _packed_already(order)) is not None:
                return found
            require_free(order.target, overwrite=overwrite)
            _clear(order.work, this, overwrite=overwrite, is_array=part is not None)
            begin_or_continue(order.plan, order.work)
            return None

        found = ranks.first(begin)
        if any(ranks.gather(lambda: found is not None)):
            return found or Packing(read_manifest(order.target), (), (), 0, is_new=False)

        def draw() -> None:
            with working_in(order.work / this.folder, order.plan) as journal:
                packed = {one.sample: one.fingerprint for one in journal.done}
                _require_same_files(order.plan, packed, order.work)
                _pack_part(order, this, journal, workers=workers, strict=strict)
                done.extend(journal.done)

        done: list[Done] = []
        ranks.gather(draw)
        joined = None if part is not None else ranks.first(lambda: _join(order))
        if joined is not None:
            return joined
        samples = order.plan.samples
        kept = tuple(samples[one.number] for one in done if not one.reason)
        return _packing(replace(order.plan.manifest, samples=kept), done)


def join_parts(
    dataset: str | Path,
    out: str | Path,
    clip: ClipConfig,
    *,
    shorter_side_px: int | None = None,
    lossy: str | None = None,
    max_frames: int | None = None,
    source: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Packing:
    """Join what an array of jobs has packed into the folder `out`; see `pack`.

    Raises:
        DatasetError: Parts are missing, not finished, or were packed with other settings.
    """
    rendering = Rendering.of(
        clip, shorter_side_px=shorter_side_px, lossy=lossy, max_frames=max_frames
    )
    order = _order(dataset, out, rendering, source=source, progress=progress)
    with making_parents(order.target), _explaining_a_full_disk(order):
        require_free(order.target, overwrite=overwrite)
        if not order.work.is_dir():
            raise DatasetError(
                f"{order.work}: no such folder; pack parts with --part first, or copy there "
                "what they made"
            )
        _refuse_former_work(order.work)
        begin_or_continue(order.plan, order.work)
        return _join(order)


def _order(
    dataset: str | Path,
    out: str | Path,
    rendering: Rendering,
    *,
    source: str | Path | None,
    progress: Progress | None,
) -> Order:
    plan = plan_for(Path(dataset), rendering, source=None if source is None else Path(source))
    target = Path(out).absolute()
    for name, folder in (("dataset", Path(dataset)), ("recordings", plan.manifest.source)):
        if folder.resolve().is_relative_to(target.resolve()):
            raise DatasetError(
                f"{target}: expected a folder for the packed clips, got the one that holds the "
                f"{name} to be packed; name another folder"
            )
    return Order(plan, target, progress)


def _clear(work: Path, part: JobPart, *, overwrite: bool, is_array: bool) -> None:
    """Remove earlier work that is not wanted, and refuse that of another array."""
    if overwrite and is_array and part.total > 1 and work.exists():
        raise DatasetError(
            f"{work}: expected no work of other parts that --overwrite would throw away; use "
            "--overwrite with --join, or remove this folder before the array begins"
        )
    if overwrite:
        require_idle(work)
        shutil.rmtree(work, ignore_errors=True)
    _refuse_former_work(work)
    others = [other for other in parts_in(work) if other.total != part.total]
    if others:
        raise DatasetError(
            f"{work}: holds the work of an array of {others[0].total} jobs, not of {part.total}; "
            f"resume it with --part i/{others[0].total} or as many processes, join it with --join, "
            "or start anew with --overwrite"
        )


def _refuse_former_work(work: Path) -> None:
    former = sorted(work.glob("shard-*-of-*"))
    if former:
        raise DatasetError(
            f"{work}: expected work of evlora pack, found {former[0].name}, which an earlier "
            "version began and this one cannot resume; finish it with that version, or start "
            "anew with --overwrite"
        )


def _pack_part(
    order: Order, part: JobPart, journal: Journal, *, workers: int | None, strict: bool
) -> None:
    manifest, samples = order.plan.manifest, order.plan.samples
    labels = {name: number for number, name in enumerate(manifest.labels)}
    rendering = order.plan.settings.rendering
    share = part.share(len(samples))
    if workers is None:
        workers = min(cores(), (len(share) - len(journal.done)) // WORTH_A_PROCESS)
    jobs = (
        Job(n, samples[n], labels[samples[n].label], manifest.source, rendering)
        for n in share[len(journal.done) :]
    )
    if order.progress is not None:
        order.progress(len(journal.done), len(share))
    with (
        closing(render_all(jobs, workers=workers)) as outcomes,
        _noting_what_is_left(journal, len(share)),
    ):
        for outcome in outcomes:
            if strict and outcome.done.reason:
                raise DatasetError(
                    f"sample {outcome.done.sample}: {outcome.done.file}: {outcome.done.reason}"
                )
            journal.add(outcome.done, outcome.frames, outcome.event_images)
            if order.progress is not None:
                order.progress(len(journal.done), len(share))
            if outcome.done.reason and len(journal.done) >= ENOUGH_TO_JUDGE:
                require_enough(journal.done, order.work, is_whole=False)
        journal.close_chunk()


def _join(order: Order) -> Packing:
    manifest, done = join(order.plan, order.work)
    place_folder(order.work / JOINED_FOLDER, order.target)
    shutil.rmtree(order.work, ignore_errors=True)
    return _packing(replace(manifest, source=order.target), done)


def _packing(manifest: Manifest, done: Sequence[Done]) -> Packing:
    return Packing(
        manifest,
        rejected=tuple(one for one in done if one.reason),
        remarked=tuple(one for one in done if one.remarks),
        packed_bytes=sum(one.packed_bytes for one in done),
    )


def _packed_already(order: Order) -> Packing | None:
    """What lies in the target, if that is what is wanted now.

    Raises:
        DatasetError: Clips lie there that were packed with other settings, or whose files have
            changed.
    """
    target = order.target
    begun = read_plan(target)
    if begun is None:
        return None
    # A finished packing is read whichever version wrote it.
    settings = begun.settings.model_copy(update={"codec": order.plan.settings.codec})
    require_same(Plan(begun.manifest, settings), order.plan, target)
    with (target / SOURCES_FILE).open(encoding="utf-8", newline="") as file:
        before = {of_cell(row["sample"]): row["fingerprint"] for row in csv.DictReader(file)}
    _require_same_files(order.plan, before, target)
    size = sum(path.stat().st_size for path in target.glob("*/chunk-*.bin"))
    return Packing(read_manifest(target), (), (), size, is_new=False)


def _require_same_files(plan: Plan, before: Mapping[str, str], where: Path) -> None:
    """Check that files are as they were when they were packed.

    Args:
        plan: Has the samples.
        before: Fingerprints of the files of those that were packed, by name of the sample.
        where: The work or the dataset, for messages.

    Raises:
        DatasetError: Some are not.
    """
    changed = [
        sample.sample
        for sample in plan.manifest.samples
        if sample.sample in before
        and before[sample.sample] != look_at(sample.paths, plan.manifest.source).fingerprint
    ]
    if changed:
        raise DatasetError(
            f"{where}: samples whose files have changed since they were packed: "
            f"{listed(changed)}; start anew with --overwrite"
        )


@contextmanager
def _noting_what_is_left(journal: Journal, count: int) -> Generator[None]:
    """Adds to an error of the disk how far the work was."""
    try:
        yield
    except OSError as error:
        done = journal.done
        mean_bytes = sum(one.packed_bytes for one in done) / max(len(done), 1)
        left = f", the others need about {mean_bytes * (count - len(done)) / 1e6:,.1f} MB more"
        error.add_note(f"{len(done):,} of {count:,} samples are packed{left if done else ''}.")
        raise


@contextmanager
def _explaining_a_full_disk(order: Order) -> Generator[None]:
    """Turns errors of the disk into one with what to do."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in FULL_DISK
        parts = [
            f"{order.target}: could not be packed, {'the disk is full' if is_full else error}; "
            "nothing lies under this name yet.",
            *getattr(error, "__notes__", ()),
            f"{'Make room' if is_full else 'Repair this'}, then give the same command again",
        ]
        if order.work.is_dir():
            parts[-1] += f": it resumes from what is kept in {order.work}"
        raise DatasetError(" ".join(parts)) from error
