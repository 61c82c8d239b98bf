"""The former spelling of packing, `prepare LAYOUT … --pack`: it prepares, then packs.

It goes with the next version; nothing else depends on this module.
"""

import json
import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evlora.cli.packing import pack_and_print, show_trial
from evlora.cli.printing import echo
from evlora.errors import DatasetError

if TYPE_CHECKING:
    from evlora.clips import ClipConfig

SUFFIX = ".prepared"
"""Of the dataset beside OUT, where the layout makes recordings."""
ASKED_FILE = "asked.json"
"""Holds what that dataset was prepared from."""
ADVICE = (
    "warning: prepare --pack is deprecated and goes with the next version; use `evlora prepare` "
    "without --pack, then `evlora pack DATASET OUT` (--part for --shard, --join for --merge)"
)


def pack_layout(
    layout: str,
    source: Path | None,
    out: Path,
    clip: "ClipConfig",
    *,
    options: dict[str, Any],
    overwrite: bool,
    **asked: Any,
) -> None:
    """Prepare a dataset and pack it.

    Recordings that the layout makes stay in `OUT.prepared`, so that an interrupted packing can be
    resumed; of other layouts only an index is made, and it goes away.
    """
    from evlora.datasets.preparing import making_parents

    echo(ADVICE, err=True)
    with (
        making_parents(out.absolute()),
        _prepared(layout, source, out.absolute(), options, overwrite=overwrite) as dataset,
    ):
        pack_and_print(dataset, out, clip, overwrite=overwrite, **asked)


def try_layout(
    dataset: Path, clip: "ClipConfig", *, shorter_side_px: int | None, workers: int | None
) -> None:
    """Print what packing a dataset would cost that was prepared for this alone."""
    echo(ADVICE, err=True)
    show_trial(dataset, clip, shorter_side_px=shorter_side_px, workers=workers)


@contextmanager
def _prepared(
    layout: str, source: Path | None, out: Path, options: dict[str, Any], *, overwrite: bool
) -> Generator[Path]:
    """The dataset: the one beside `out` if recordings were made there, or a temporary index."""
    from evlora.datasets import prepare

    kept = out.with_name(out.name + SUFFIX)
    asked = _asked(layout, source, options)
    if overwrite and not out.with_name(out.name + ".packing").exists():
        shutil.rmtree(kept, ignore_errors=True)
    if kept.is_dir():
        before = json.loads((kept / ASKED_FILE).read_bytes())
        for key, value in asked.items():
            if before[key] != value:
                raise DatasetError(
                    f"{kept}: was prepared with {key} {before[key]}, now {value}; repeat the same "
                    "command, or remove this folder and start anew with --overwrite"
                )
        yield kept
        return
    temporary = out.with_name(f".{out.name}.{os.getpid()}{SUFFIX}")
    try:
        manifest = prepare(layout, source, temporary, options=options, checks_files=False)
        for note in manifest.notes:
            echo(f"note: {note}")
        if manifest.source != temporary:
            yield temporary
            return
        (temporary / ASKED_FILE).write_text(json.dumps(asked), encoding="utf-8")
        try:
            temporary.rename(kept)
        except OSError:  # another job of the array was faster
            if not kept.is_dir():
                raise
        yield kept
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _asked(layout: str, source: Path | None, options: Mapping[str, Any]) -> dict[str, Any]:
    from evlora.datasets.sources import look_at

    is_there = source is not None and source.exists()
    return {
        "layout": layout,
        "options": json.loads(json.dumps(dict(options))),
        "source": look_at(["."], source).fingerprint if source is not None and is_there else "",
    }
