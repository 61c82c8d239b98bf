"""What a packing works off: a list of samples and the settings, fixed when it begins.

It lies in the folder `plan` of the work, as a prepared dataset of its own with `packing.json`
beside it. All shards of an array of jobs work off the same plan, whoever of them wrote it.
"""

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evlora.config import Config
from evlora.datasets.layouts.table import Layout, Progress
from evlora.datasets.manifest import SPLITS, Manifest, Sample
from evlora.datasets.preparing import SETTINGS_FILE
from evlora.datasets.rendering import CODEC_VERSION, Rendering
from evlora.datasets.storage import read_manifest, require_sound, write_manifest
from evlora.errors import DatasetError
from evlora.files import writing_file
from evlora.packing.sources import look_at

PLAN_FOLDER = "plan"
LOCK_FILE = "lock"
NAMES_SHOWN = 3


class Settings(Config):
    """What must be the same in all parts of a packing."""

    layout: str
    """Name of the layout."""
    options: dict[str, Any]
    """What the layout was asked for."""
    rendering: Rendering
    """How clips are drawn."""
    codec: int = CODEC_VERSION
    """Version of the packed form."""
    samples: str
    """Fingerprint of the list of samples, of their labels and splits."""
    made_recordings: bool
    """Whether the layout makes the recordings itself; they go away when all is packed."""
    source: str = ""
    """Fingerprint of the files that it makes them of."""

    @property
    def fingerprint(self) -> str:
        """Of all of it."""
        return _fingerprint(self.model_dump(mode="json"))


def write_settings(settings: Settings, folder: Path) -> None:
    """Write the settings beside what was packed with them."""
    with writing_file(folder / SETTINGS_FILE) as file:
        file.write_text(settings.model_dump_json(indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Plan:
    """The samples that are to be packed, split after split, and the settings."""

    manifest: Manifest
    settings: Settings

    @property
    def samples(self) -> list[Sample]:
        """The samples in the order in which they are packed."""
        return sorted(self.manifest.samples, key=lambda sample: SPLITS.index(sample.split))


def wanted_plan(
    begun: Plan | None,
    row: Layout,
    source: Path | None,
    folder: Path,
    *,
    options: Mapping[str, Any],
    rendering: Rendering,
    progress: Progress | None = None,
) -> Plan:
    """The plan for this source as it is now.

    Args:
        begun: The plan that was begun. Recordings that a layout made for it are not made again.
        row: The layout.
        source: Where the dataset lies.
        folder: An empty one, for recordings that the layout makes.
        options: Of the layout.
        rendering: How clips are drawn.
        progress: Is told how many recordings are made.

    Raises:
        DatasetError: The source is not laid out so, or two samples have one name.
    """
    asked: dict[str, Any] = {
        "layout": row.name,
        "options": json.loads(json.dumps(dict(options))),
        "rendering": rendering,
    }
    if begun is not None and begun.settings.made_recordings:
        asked["source"] = _fingerprint_of_source(source)
        return Plan(begun.manifest, begun.settings.model_copy(update=asked))
    manifest = row.collect(source, folder, options, progress)
    is_made = manifest.source.is_relative_to(folder)
    # Files are looked for one by one: a sample without them is rejected, and the others packed.
    require_sound(manifest, checks_files=False)
    settings = Settings(
        **asked,
        samples=_fingerprint([manifest.labels, *map(asdict, manifest.samples)]),
        made_recordings=is_made,
        source=_fingerprint_of_source(source) if is_made else "",
    )
    return Plan(manifest, settings)


def begin_or_continue(
    row: Layout,
    source: Path | None,
    work: Path,
    *,
    options: Mapping[str, Any],
    rendering: Rendering,
    progress: Progress | None = None,
) -> Plan:
    """The plan in the folder `work`: the one that was begun, if it is the same, or a new one.

    Raises:
        DatasetError: The source is not laid out so; or what was begun had other settings, or
            another list of samples.
    """
    import fcntl  # not on every system, and needed for packing alone

    work.mkdir(parents=True, exist_ok=True)
    with (work / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # archives are unpacked by one job, the others wait
        return _begin_or_continue(
            row, source, work, options=options, rendering=rendering, progress=progress
        )


def _begin_or_continue(
    row: Layout,
    source: Path | None,
    work: Path,
    *,
    options: Mapping[str, Any],
    rendering: Rendering,
    progress: Progress | None,
) -> Plan:
    begun = read_plan(work / PLAN_FOLDER)
    partial = work / f".{PLAN_FOLDER}.{socket.gethostname()}.{os.getpid()}"
    try:
        partial.mkdir(parents=True)
        wanted = wanted_plan(
            begun, row, source, partial, options=options, rendering=rendering, progress=progress
        )
        if begun is None:
            begun = _put(wanted, partial, work)
        require_same(begun, wanted, work)
        return begun if begun.settings.made_recordings else wanted
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if [entry.name for entry in work.iterdir()] == [LOCK_FILE]:
            shutil.rmtree(work)


def require_same(begun: Plan, now: Plan, where: Path) -> None:
    """Check that a packing goes on as it was begun.

    Args:
        begun: What was begun.
        now: What is wanted now.
        where: The work, for messages.

    Raises:
        DatasetError: Settings or samples differ; it names them.
    """
    cure = "go on with the same settings, or start anew with --overwrite"
    for name in ("layout", "options", "codec"):
        before, after = getattr(begun.settings, name), getattr(now.settings, name)
        if before != after:
            raise DatasetError(f"{where}: was packed with {name} {before}, now {after}; {cure}")
    for name in Rendering.model_fields:
        before = getattr(begun.settings.rendering, name)
        after = getattr(now.settings.rendering, name)
        if before != after:
            raise DatasetError(
                f"{where}: was packed with {name}={_shown(before)}, now {name}={_shown(after)}; "
                f"{cure}"
            )
    if begun.settings != now.settings:
        raise DatasetError(
            f"{where}: the source has changed since packing began"
            f"{_difference(begun.manifest, now.manifest)}; start anew with --overwrite"
        )


def read_plan(folder: Path) -> Plan | None:
    """The plan that lies in this folder, if one does."""
    if not (folder / SETTINGS_FILE).is_file():
        return None
    settings = Settings.model_validate_json((folder / SETTINGS_FILE).read_bytes())
    # Where the recordings lie is told anew in each job, if they were not made in this folder:
    # machines may see them at other places.
    where = None if settings.made_recordings else folder
    return Plan(read_manifest(folder, source=where, checks_files=False), settings)


def _put(plan: Plan, partial: Path, work: Path) -> Plan:
    """The plan as it lies in the work now: this one, or that of another job that was faster."""
    write_manifest(plan.manifest, partial)
    write_settings(plan.settings, partial)
    try:
        partial.rename(work / PLAN_FOLDER)
    except OSError:
        if not (work / PLAN_FOLDER).is_dir():
            raise
    put = read_plan(work / PLAN_FOLDER)
    assert put is not None  # one of the two lies there
    return put


def _fingerprint_of_source(source: Path | None) -> str:
    return "" if source is None else look_at(["."], source).fingerprint


def _fingerprint(content: Any) -> str:
    text = json.dumps(content, ensure_ascii=False, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _shown(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else "none" if value is None else str(value)


def _difference(begun: Manifest, now: Manifest) -> str:
    before, after = ({sample.sample for sample in one.samples} for one in (begun, now))
    parts: list[str] = []
    for names, what in ((after - before, "came"), (before - after, "went")):
        if names:
            shown = ", ".join(sorted(names)[:NAMES_SHOWN])
            more = ", …" if len(names) > NAMES_SHOWN else ""
            parts.append(f"samples that {what}: {len(names)} ({shown}{more})")
    return f", {', '.join(parts)}" if parts else ""
