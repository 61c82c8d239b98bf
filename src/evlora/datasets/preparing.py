"""A dataset's index, written complete or not at all."""

import glob
import hashlib
import shutil
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evlora.companions import visible
from evlora.datasets.layouts.converting import CONVERTING_FILE
from evlora.datasets.layouts.table import RECORDINGS_FOLDER, Layout, Progress, layout_named
from evlora.datasets.manifest import SPLITS, Manifest
from evlora.datasets.storage import (
    DATASET_FILE,
    MANIFEST_FILE,
    is_prepared,
    require_inside,
    require_sound,
    write_manifest,
)
from evlora.errors import DatasetError
from evlora.files import place_folder
from evlora.locking import holding
from evlora.messages import listed
from evlora.untrusted import plain

REJECTED_FILE = "rejected.csv"
"""Names the samples that could not be packed, and why."""
SOURCES_FILE = "sources.csv"
"""Lists what each packed sample was made of."""
SETTINGS_FILE = "packing.json"
"""Holds the settings that clips were packed with."""

OWN_FILES = {
    *(DATASET_FILE, MANIFEST_FILE, RECORDINGS_FOLDER),
    *(REJECTED_FILE, SOURCES_FILE, SETTINGS_FILE, *SPLITS),
}
"""All that a prepared dataset may hold."""


def prepare(
    layout: str,
    source: str | Path | None,
    out: str | Path,
    *,
    overwrite: bool = False,
    options: Mapping[str, Any] | None = None,
    checks_files: bool = True,
    allow_outside: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Write the index of a dataset to the folder `out`, complete or not at all.

    Args:
        layout: Name of a row of the table.
        source: Where the dataset lies; None for a layout that makes its own.
        out: The folder to make; its parents are made too.
        overwrite: Whether an earlier preparation in `out` is replaced.
        options: What the layout lets one choose; see its `Options`.
        checks_files: Whether every sample's files must be there; packing rejects those that lack
            some one by one.
        allow_outside: Whether files may lie outside of the dataset's folder, by their paths or
            behind symbolic links.
        progress: Receives how many samples are done, and of how many.

    Returns:
        The index that was written.

    Raises:
        DatasetError: No such layout or option, the source is not laid out so, files lie outside of
            it, or `out` is taken, or another process prepares a dataset there.
    """
    row = layout_with_source(layout, source)
    target = Path(out).absolute()
    partial = target.with_name(f".{target.name}.{_origin_of(layout, source)}.partial")
    refusal = DatasetError(
        f"{target}: another process prepares a dataset there; wait for its end, or name another "
        "folder"
    )
    with making_parents(target), ExitStack() as held:
        try:
            held.enter_context(holding(target.with_name(f".{target.name}.lock"), refusal=refusal))
            require_free(target, overwrite=overwrite)
            for before in target.parent.glob(f".{glob.escape(target.name)}.*.partial"):
                if before != partial or not _may_be_taken_over(before):
                    shutil.rmtree(before)
            partial.mkdir(exist_ok=True)
            manifest = row.collect(
                None if source is None else Path(source), partial, options or {}, progress
            )
            require_sound(manifest, checks_files=checks_files)
            manifest = replace(manifest, allows_outside=allow_outside)
            require_inside(manifest, manifest.source, in_folders=checks_files)
            write_manifest(manifest, partial)
            (partial / CONVERTING_FILE).unlink(missing_ok=True)
            place_folder(partial, target)
        except OSError as error:
            left = "nothing was written"
            if _may_be_taken_over(partial):
                left = "what was converted is kept for the same command"
            raise DatasetError(
                f"{target}: could not be prepared, {left}: {error.strerror or error}; make room "
                "there, or name another folder"
            ) from error
        finally:
            if not _may_be_taken_over(partial):
                shutil.rmtree(partial, ignore_errors=True)
    return replace(manifest, source=target) if manifest.source == partial else manifest


def _origin_of(layout: str, source: str | Path | None) -> str:
    """A name for what recordings are converted from, by which a preparation is resumed."""
    origin = (version("evlora"), layout, str(Path(source or "").resolve()))
    return hashlib.blake2b("\0".join(origin).encode(), digest_size=8).hexdigest()


def _may_be_taken_over(partial: Path) -> bool:
    """Whether a preparation that did not end has converted recordings."""
    recordings = partial / RECORDINGS_FOLDER
    return (partial / CONVERTING_FILE).is_file() and any(recordings.rglob("*.npz"))


def layout_with_source(name: str, source: str | Path | None) -> Layout:
    """The layout of this name, for this source.

    Raises:
        DatasetError: There is no such layout, or it needs a source that exists, or none.
    """
    row = layout_named(name)
    if source is not None:
        plain(source, DatasetError)
    if row.has_source and source is None:
        raise DatasetError(
            f"layout {name}: expected a source and the folder to make, got no source; give both: "
            f"evlora prepare {name} SOURCE OUT"
        )
    if row.has_source and source is not None and not Path(source).exists():
        raise DatasetError(
            f"layout {name}: expected a source that exists, got {source}; check the path"
        )
    if not row.has_source and source is not None:
        raise DatasetError(f"layout {name}: makes its own recordings, got {source}; give no source")
    return row


def require_free(target: Path, *, overwrite: bool) -> None:
    """Check that a dataset may be written to this folder.

    Raises:
        DatasetError: It holds other things, or a dataset that may not be replaced.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise DatasetError(f"{target}: expected a folder to write to, found a file; name another")
    entries = {entry.name for entry in visible(target)}
    if not entries:
        return
    foreign = sorted(entries - OWN_FILES)
    if foreign or not is_prepared(target):
        raise DatasetError(
            f"{target}: expected no folder, an empty one or an earlier preparation, found "
            f"{listed(foreign or sorted(entries))} in it; name another folder"
        )
    if not overwrite:
        raise DatasetError(
            f"{target}: holds a prepared dataset already; replace it with overwrite=True "
            "or --overwrite, or name another folder"
        )


@contextmanager
def making_parents(target: Path) -> Generator[None]:
    """The folders above `target` are made, and those that are still empty after an error removed.

    Raises:
        DatasetError: They cannot be made.
    """
    missing = [folder for folder in target.parents if not folder.exists()]
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(
                f"{target}: could not be prepared, nothing was written: {error.strerror or error}; "
                "name another folder"
            ) from error
        yield
    except BaseException:
        for folder in missing:
            with suppress(OSError):  # something lies there, or it was never made
                folder.rmdir()
        raise
