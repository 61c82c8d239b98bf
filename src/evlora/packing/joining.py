"""The parts of a packing become one dataset."""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evlora.datasets.manifest import SPLITS, Manifest
from evlora.datasets.preparing import REJECTED_FILE, SOURCES_FILE
from evlora.datasets.rendering import CODEC_VERSION, PackedAbout
from evlora.datasets.storage import write_manifest
from evlora.errors import DatasetError
from evlora.escaping import cell
from evlora.packing.journal import ClosedChunk, Done
from evlora.packing.parts import JobPart, parts_in, working_in
from evlora.packing.plan import Plan, write_settings

JOINED_FOLDER = "joined"
INDEX_FILE = "index.json"
"""What litdata reads first in a folder of chunks."""
REJECTED_COLUMNS = ("sample", "split", "file", "reason")
SOURCES_COLUMNS = ("sample", "split", "bytes", "fingerprint", "remarks")
MOST_REJECTED = 0.5
"""A larger share of rejected samples is taken for a mistake in the settings or in the source."""


def join(plan: Plan, work: Path) -> tuple[Manifest, list[Done]]:
    """Join the parts that lie in `work` into the folder `joined` there.

    Chunks are linked, not copied: joining needs no space, and may be repeated.

    Returns:
        The manifest of what was packed, and what became of each sample.

    Raises:
        DatasetError: Parts are missing, not finished, or were packed with other settings; or
            nothing of a split, or too little of all, could be packed.
    """
    found = parts_in(work)
    _require_all(found, work)
    done: list[Done] = []
    chunks: dict[str, list[tuple[Path, ClosedChunk]]] = {split: [] for split in SPLITS}
    with ExitStack() as stack:
        for part in found:
            folder = work / part.folder
            journal = stack.enter_context(working_in(folder, plan))
            expected = len(part.share(len(plan.manifest.samples)))
            if len(journal.done) < expected or journal.open_items:
                raise DatasetError(
                    f"{folder}: expected {expected} samples, found only {len(journal.done)} done; "
                    f"let --part {part.number}/{part.total} finish, then join again"
                )
            done += journal.done
            for chunk in journal.chunks:
                chunks[chunk.split].append((folder / chunk.file, chunk))
        require_enough(done, work, is_whole=True)
        joined = work / JOINED_FOLDER
        shutil.rmtree(joined, ignore_errors=True)
        joined.mkdir()
        for split, closed in chunks.items():
            if closed:
                _join_split(joined / split, closed, done)
    manifest = _manifest(plan, done)
    write_rejected(joined, done)
    _write_table(
        joined / SOURCES_FILE,
        SOURCES_COLUMNS,
        (
            (one.sample, one.split, one.source_bytes, one.fingerprint, "; ".join(one.remarks))
            for one in done
        ),
    )
    write_settings(plan.settings, joined)
    write_manifest(manifest, joined)
    return manifest, done


def require_enough(done: Sequence[Done], work: Path, *, is_whole: bool) -> None:
    """Check that most samples and, of the whole, some of each split could be packed.

    Raises:
        DatasetError: They could not; the reasons are in the table that it names.
    """
    rejected = [one for one in done if one.reason]
    kept = {one.split for one in done if not one.reason}
    empty = {one.split for one in rejected} - kept if is_whole else set[str]()
    if len(rejected) <= MOST_REJECTED * len(done) and not empty:
        return
    where = write_rejected(work, done)
    first = rejected[0]
    what = f" (all of {', '.join(sorted(empty))})" if empty else ""
    raise DatasetError(
        f"{len(rejected)} of {len(done)} samples could not be packed{what}, which looks like a "
        f"mistake in the settings or the source; the first, {first.sample}: {first.file}: "
        f"{first.reason}\nall are in {where}; mend them, then start anew with --overwrite"
    )


def write_rejected(folder: Path, done: Iterable[Done]) -> Path:
    """Write the table of the samples that were rejected, and return its place."""
    rows = ((one.sample, one.split, one.file, one.reason) for one in done if one.reason)
    _write_table(folder / REJECTED_FILE, REJECTED_COLUMNS, rows)
    return folder / REJECTED_FILE


def _require_all(parts: Sequence[JobPart], work: Path) -> None:
    totals = sorted({part.total for part in parts})
    if not totals:
        raise DatasetError(f"{work}: expected the work of parts, found none; pack with --part")
    if len(totals) > 1:
        raise DatasetError(
            f"{work}: expected the parts of one array, found parts of "
            f"{' and of '.join(map(str, totals))}; remove the folders that do not belong to it"
        )
    missing = set(range(1, totals[0] + 1)) - {part.number for part in parts}
    if missing:
        names = ", ".join(f"{number}/{totals[0]}" for number in sorted(missing))
        raise DatasetError(
            f"{work}: parts that are missing: {names}; pack them with --part, then join again"
        )


def _join_split(
    folder: Path, parts: Sequence[tuple[Path, ClosedChunk]], done: Iterable[Done]
) -> None:
    folder.mkdir()
    described: list[dict[str, Any]] = []
    for number, (path, chunk) in enumerate(parts):
        name = f"chunk-{number:05d}.bin"
        _link(path, folder / name)
        described.append(
            {
                "chunk_bytes": chunk.bytes,
                "chunk_size": chunk.items,
                "dim": None,
                "filename": name,
            }
        )
    digest = hashlib.blake2b(digest_size=8)
    for one in done:
        if one.split == folder.name and not one.reason:
            digest.update(f"{one.sample}\0{one.label}\0{one.checksum}\0".encode())
    # litdata keeps what it fetched from a bucket under this name: the same content, the same name.
    index = {"chunks": described, "config": parts[0][1].config, "updated_at": digest.hexdigest()}
    text = json.dumps(index, sort_keys=True)
    (folder / INDEX_FILE).write_text(text, encoding="utf-8")


def _link(path: Path, name: Path) -> None:
    try:
        os.link(path, name)
    except OSError:  # a file system without links
        shutil.copyfile(path, name)


def _manifest(plan: Plan, done: Sequence[Done]) -> Manifest:
    samples = plan.samples
    kept = tuple(samples[one.number] for one in done if not one.reason)
    whole = plan.manifest
    manifest = Manifest(whole.layout, whole.source, whole.labels, kept)
    rendering = plan.settings.rendering
    about = PackedAbout(
        codec=CODEC_VERSION,
        rendering=rendering,
        items=manifest.counts,
        compression=rendering.compression,
        rejected=sum(bool(one.reason) for one in done),
        evlora=version("evlora"),
    )
    return Manifest(
        whole.layout,
        whole.source,
        whole.labels,
        kept,
        whole.notes,
        split_source=whole.split_source,
        packed=about,
        dataset=whole.dataset,
        split_name=whole.split_name,
        label_source=whole.label_source,
    )


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows([cell(value) for value in row] for row in rows)
