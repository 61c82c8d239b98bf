"""One row per layout of a dataset on disk. A new dataset is its module and one row here."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evlora.clips.manifest import (
    DATASET_FILE,
    MANIFEST_FILE,
    Manifest,
    is_prepared,
    require_sound,
    write_manifest,
)
from evlora.errors import DatasetError

RECORDINGS_FOLDER = "recordings"
"""Where a layout that makes its recordings itself puts them, inside the prepared dataset."""

Progress = Callable[[int, int], None]
"""Is told how many samples are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A way in which a dataset lies on disk, and the module that understands it.

    The module has `Options`, a Config, and `collect(source, folder, options, progress)`, which
    returns the manifest; `folder` is where it may write recordings that it makes itself.
    """

    name: str
    module: str
    has_source: bool
    says: str
    """What the command line prints about it."""

    def collect(
        self,
        source: Path | None,
        folder: Path,
        options: Mapping[str, Any],
        progress: Progress | None,
    ) -> Manifest:
        """The manifest of the dataset at `source`; see the module for what may go wrong."""
        module = import_module(self.module)
        try:
            checked = module.Options(**options)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            is_unknown = fault["type"] == "extra_forbidden"
            known = ", ".join(module.Options.model_fields) or "none"
            raise DatasetError(
                f"layout {self.name}: option {'.'.join(map(str, fault['loc']))}: "
                f"{'there is no such option' if is_unknown else fault['msg']}; "
                f"its options are: {known}"
            ) from error
        return module.collect(source, folder, checked, progress)


LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "csv",
        "evlora.clips.layouts.csv_layout",
        has_source=True,
        says="a table with the columns split, events, frame, label",
    ),
    Layout(
        "class_tree",
        "evlora.clips.layouts.class_tree",
        has_source=True,
        says="folders: class/sample or split/class/sample",
    ),
    Layout(
        "generated",
        "evlora.clips.generated",
        has_source=False,
        says="digits in motion, made on the spot",
    ),
)


def prepare(
    layout: str,
    source: str | Path | None,
    out: str | Path,
    *,
    overwrite: bool = False,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Write the index of a dataset to the folder `out`, complete or not at all.

    Args:
        layout: Name of a row of the table.
        source: Where the dataset lies; None for a layout that makes its own.
        out: The folder to make; its parents are made too.
        overwrite: Whether an earlier preparation in `out` is replaced.
        options: What the layout lets one choose; see its `Options`.
        progress: Is told how many samples are done, and of how many.

    Raises:
        DatasetError: No such layout or option, the source is not laid out so, or `out` is taken.
    """
    row = _row(layout)
    if row.has_source and (source is None or not Path(source).exists()):
        raise DatasetError(
            f"layout {layout}: expected a source that exists, got {source}; check the path"
        )
    if not row.has_source and source is not None:
        raise DatasetError(f"layout {layout}: makes its own recordings, leave out {source}")
    target = Path(out).absolute()
    _require_free(target, overwrite=overwrite)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        manifest = row.collect(
            None if source is None else Path(source), partial, options or {}, progress
        )
        require_sound(manifest)
        write_manifest(manifest, partial)
        _put_in_place(partial, target)
    except OSError as error:
        raise DatasetError(
            f"{target}: could not be prepared, nothing was written: {error}"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return replace(manifest, source=target) if manifest.source == partial else manifest


def _row(name: str) -> Layout:
    for row in LAYOUTS:
        if row.name == name:
            return row
    known = "; ".join(f"{row.name} ({row.says})" for row in LAYOUTS)
    raise DatasetError(f"no layout is called {name!r}; there are: {known}")


def _require_free(target: Path, *, overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise DatasetError(f"{target}: expected a folder to write to, found a file; name another")
    entries = {entry.name for entry in target.iterdir()}
    if not entries:
        return
    foreign = sorted(entries - {DATASET_FILE, MANIFEST_FILE, RECORDINGS_FOLDER})
    if foreign or not is_prepared(target):
        raise DatasetError(
            f"{target}: expected no folder, an empty one or an earlier preparation, found "
            f"{', '.join(foreign[:3] or sorted(entries))} in it; name another folder"
        )
    if not overwrite:
        raise DatasetError(
            f"{target}: holds a prepared dataset already; replace it with overwrite=True "
            "or --overwrite, or name another folder"
        )


def _put_in_place(partial: Path, target: Path) -> None:
    """Give the finished folder its name; what was there before goes only afterwards."""
    if not target.exists() or not any(target.iterdir()):
        partial.replace(target)
        return
    former = partial.with_suffix(".former")
    target.replace(former)
    try:
        partial.replace(target)
    except OSError:
        former.replace(target)
        raise
    shutil.rmtree(former, ignore_errors=True)
