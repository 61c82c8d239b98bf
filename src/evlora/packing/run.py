"""Packing: a dataset's clips drawn once, into shards that training streams.

The work lies in the folder `OUT.packing` beside the dataset until that is complete; a packing that
was interrupted goes on from there. An array of jobs shares this folder: each packs its part of the
samples, and a last one joins what they made.
"""

import csv
import errno
import os
import shutil
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evlora.clips import ClipConfig
from evlora.datasets.layouts.table import Layout, Progress
from evlora.datasets.manifest import Manifest
from evlora.datasets.preparing import (
    SOURCES_FILE,
    layout_with_source,
    making_parents,
    require_free,
)
from evlora.datasets.rendering import Rendering
from evlora.datasets.storage import is_prepared, read_manifest
from evlora.errors import DatasetError
from evlora.files import place_folder
from evlora.packing.drawing import Job, render_all
from evlora.packing.joining import JOINED_FOLDER, join, require_enough
from evlora.packing.journal import Done, Journal
from evlora.packing.parts import Shard, require_idle, shards_in, working_in
from evlora.packing.plan import Plan, begin_or_continue, read_plan, require_same, wanted_plan
from evlora.packing.sources import look_at

WORK_SUFFIX = ".packing"
ENOUGH_TO_JUDGE = 20
"""Samples after which it is first looked at how many were rejected."""
WORTH_A_PROCESS = 100
"""So many samples are worth the seconds that a process takes to start."""
NAMES_SHOWN = 3
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Packing:
    """What became of a packing."""

    manifest: Manifest
    """The samples that were packed; in one shard of several, those of that shard."""
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

    layout: Layout
    source: Path | None
    target: Path
    options: Mapping[str, Any]
    rendering: Rendering
    progress: Progress | None = None

    @property
    def work(self) -> Path:
        """The folder of the work until it is complete."""
        return self.target.with_name(self.target.name + WORK_SUFFIX)


def pack(
    layout: str,
    source: str | Path | None,
    out: str | Path,
    clip: ClipConfig,
    *,
    shorter_side_px: int | None = None,
    options: Mapping[str, Any] | None = None,
    workers: int | None = None,
    shard: Shard | None = None,
    strict: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Packing:
    """Pack a dataset's clips into the folder `out`, complete or not at all.

    Args:
        layout: Name of a row of the table of layouts.
        source: Where the dataset lies; None for a layout that makes its own.
        out: The folder to make; its parents are made too.
        clip: Which clips shall be made of it: frames, modalities, representation and window count.
        shorter_side_px: Pictures with a longer shorter side are scaled to it.
        options: What the layout lets one choose.
        workers: Processes that draw; 0 does it in this one, None takes all cores for many samples.
        shard: The part of an array of jobs that this is; None packs all and joins it.
        strict: Whether the first sample that cannot be packed is an error.
        overwrite: Whether an earlier preparation, finished or not, is replaced.
        progress: Is told how many samples are done, and of how many.

    Raises:
        DatasetError: The source is not laid out so or has changed since, `out` is taken, the disk
            is full, or too many samples cannot be packed. What was done is kept: the same call
            goes on from there.
    """
    order = _order(
        layout,
        source,
        out,
        clip,
        shorter_side_px=shorter_side_px,
        options=options,
        progress=progress,
    )
    with making_parents(order.target), _telling_of_a_full_disk(order):
        if not overwrite and (found := _packed_already(order)) is not None:
            return found
        require_free(order.target, overwrite=overwrite)
        part = shard or Shard()
        _clear(order.work, part, overwrite=overwrite)
        plan = _begin(order)
        with working_in(order.work / part.folder, plan) as journal:
            packed = {one.sample: one.fingerprint for one in journal.done}
            _require_same_files(plan, packed, order.work)
            _pack_part(plan, part, journal, order, workers=workers, strict=strict)
            done = journal.done
        if shard is not None:
            samples = plan.samples
            kept = tuple(samples[one.number] for one in done if not one.reason)
            return _packing(replace(plan.manifest, samples=kept), done)
        return _join(plan, order)


def join_shards(
    layout: str,
    source: str | Path | None,
    out: str | Path,
    clip: ClipConfig,
    *,
    shorter_side_px: int | None = None,
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Packing:
    """Join what an array of jobs has packed into the folder `out`; see `pack`.

    Raises:
        DatasetError: Shards are missing, not finished, or were packed with other settings.
    """
    order = _order(
        layout,
        source,
        out,
        clip,
        shorter_side_px=shorter_side_px,
        options=options,
        progress=progress,
    )
    with making_parents(order.target), _telling_of_a_full_disk(order):
        require_free(order.target, overwrite=overwrite)
        if not order.work.is_dir():
            raise DatasetError(
                f"{order.work}: no such folder; pack shards with --shard first, or copy there "
                "what they made"
            )
        return _join(_begin(order), order)


def _order(
    layout: str,
    source: str | Path | None,
    out: str | Path,
    clip: ClipConfig,
    *,
    shorter_side_px: int | None,
    options: Mapping[str, Any] | None,
    progress: Progress | None,
) -> Order:
    row = layout_with_source(layout, source)
    return Order(
        row,
        None if source is None else Path(source),
        Path(out).absolute(),
        options or {},
        Rendering.of(clip, shorter_side_px=shorter_side_px),
        progress,
    )


def _begin(order: Order) -> Plan:
    return begin_or_continue(
        order.layout,
        order.source,
        order.work,
        options=order.options,
        rendering=order.rendering,
        progress=order.progress,
    )


def _clear(work: Path, shard: Shard, *, overwrite: bool) -> None:
    """Remove earlier work that is not wanted, and refuse that of another array."""
    if overwrite and shard.total > 1 and work.exists():
        raise DatasetError(
            f"{work}: expected no work of other shards that --overwrite would throw away; leave "
            "--overwrite to --merge, or remove this folder before the array begins"
        )
    if overwrite:
        require_idle(work)
        shutil.rmtree(work, ignore_errors=True)
    others = [other for other in shards_in(work) if other.total != shard.total]
    if others:
        raise DatasetError(
            f"{work}: holds the work of an array of {others[0].total} jobs, not of {shard.total}; "
            f"go on with --shard i/{others[0].total}, join it with --merge, or start anew with "
            "--overwrite"
        )


def _pack_part(
    plan: Plan, shard: Shard, journal: Journal, order: Order, *, workers: int | None, strict: bool
) -> None:
    samples, labels = plan.samples, {name: n for n, name in enumerate(plan.manifest.labels)}
    share = shard.share(len(samples))
    if workers is None:
        workers = min(cores(), (len(share) - len(journal.done)) // WORTH_A_PROCESS)
    jobs = (
        Job(n, samples[n], labels[samples[n].label], plan.manifest.source, order.rendering)
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


def _join(plan: Plan, order: Order) -> Packing:
    manifest, done = join(plan, order.work)
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
        DatasetError: Clips lie there that were packed with other settings, or whose source has
            changed.
    """
    target = order.target
    begun = read_plan(target) if is_prepared(target) else None
    if begun is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        wanted = wanted_plan(
            begun,
            order.layout,
            order.source,
            Path(folder),
            options=order.options,
            rendering=order.rendering,
        )
    require_same(begun, wanted, target)
    if not wanted.settings.made_recordings:
        with (target / SOURCES_FILE).open(encoding="utf-8", newline="") as file:
            before = {row["sample"]: row["fingerprint"] for row in csv.DictReader(file)}
        _require_same_files(wanted, before, target)
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
        shown = ", ".join(changed[:NAMES_SHOWN]) + (", …" if len(changed) > NAMES_SHOWN else "")
        raise DatasetError(
            f"{where}: samples whose files have changed since they were packed: {len(changed)} "
            f"({shown}); start anew with --overwrite"
        )


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _noting_what_is_left(journal: Journal, count: int) -> Generator[None]:
    """An error of the disk learns how far the work was."""
    try:
        yield
    except OSError as error:
        done = journal.done
        mean_bytes = sum(one.packed_bytes for one in done) / max(len(done), 1)
        left = f", the others need about {mean_bytes * (count - len(done)) / 1e6:,.1f} MB more"
        error.add_note(f"{len(done):,} of {count:,} samples are packed{left if done else ''}.")
        raise


@contextmanager
def _telling_of_a_full_disk(order: Order) -> Generator[None]:
    """Errors of the disk become one that says what to do."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in FULL_DISK
        parts = [
            f"{order.target}: could not be packed, {'the disk is full' if is_full else error}; "
            "nothing lies under this name yet.",
            *getattr(error, "__notes__", ()),
            f"{'Make room' if is_full else 'Mend this'}, then give the same command again",
        ]
        if order.work.is_dir():
            parts[-1] += f": it goes on from what is kept in {order.work}"
        raise DatasetError(" ".join(parts)) from error
