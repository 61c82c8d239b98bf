"""What a packing works from: a list of samples and the settings, fixed when it begins.

It lies in the folder `plan` of the work, as a prepared dataset of its own with `packing.json`
beside it. All parts of an array of jobs work from the same plan, whichever of them wrote it.
"""

import hashlib
import json
import os
import shutil
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from evlora.config import Config
from evlora.datasets.manifest import SPLITS, Manifest, Sample
from evlora.datasets.preparing import SETTINGS_FILE
from evlora.datasets.rendering import CODEC_VERSION, Rendering
from evlora.datasets.storage import is_prepared, read_manifest, require_sound, write_manifest
from evlora.errors import DatasetError
from evlora.files import writing_file
from evlora.messages import listed, reason_of

PLAN_FOLDER = "plan"
LOCK_FILE = "lock"
FORMER_KEYS = ("layout", "options", "made_recordings", "source")
"""Keys that `packing.json` had while packing took a layout instead of a prepared dataset."""


class PackingSettings(Config):
    """What must be the same in all parts of a packing."""

    rendering: Rendering
    """How clips are drawn."""
    codec: int
    """Version of the packed form."""
    samples: str
    """Fingerprint of the list of samples, of their labels and splits."""

    @model_validator(mode="before")
    @classmethod
    def _without_former_keys(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        return {key: value for key, value in content.items() if key not in FORMER_KEYS}


def write_settings(settings: PackingSettings, folder: Path) -> None:
    """Write the settings beside what was packed with them."""
    with writing_file(folder / SETTINGS_FILE) as file:
        file.write_text(settings.model_dump_json(indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Plan:
    """The samples that are to be packed, split after split, and the settings."""

    manifest: Manifest
    settings: PackingSettings

    @property
    def samples(self) -> list[Sample]:
        """The samples in the order in which they are packed."""
        return sorted(self.manifest.samples, key=lambda sample: SPLITS.index(sample.split))


def plan_for(dataset: Path, rendering: Rendering, *, source: Path | None = None) -> Plan:
    """The plan for a prepared dataset as it is now.

    Args:
        dataset: What `evlora prepare` wrote.
        rendering: How clips are drawn.
        source: Where the recordings lie now, if they were moved.

    Raises:
        DatasetError: It is no prepared dataset, it is packed already, or two samples have one name.
    """
    # Files are looked for one by one: a sample without them is rejected, and the others packed.
    manifest = read_manifest(dataset, source=source, checks_files=False)
    if manifest.packed is not None:
        raise DatasetError(
            f"{dataset}: expected a prepared dataset of recordings, got a packed one; name the "
            "folder that evlora prepare wrote"
        )
    require_sound(manifest, checks_files=False)
    samples = _fingerprint([manifest.labels, *map(_fields, manifest.samples)])
    settings = PackingSettings(rendering=rendering, codec=CODEC_VERSION, samples=samples)
    return Plan(manifest, settings)


def begin_or_continue(wanted: Plan, work: Path) -> None:
    """Put the plan into the folder `work`, or check that the one that was begun there is the same.

    Raises:
        DatasetError: What was begun had other settings, or another list of samples.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
        begun = read_plan(work / PLAN_FOLDER) or _put(wanted, work)
        require_same(begun, wanted, work)
    finally:
        if work.is_dir() and not any(work.iterdir()):
            work.rmdir()


def require_same(begun: Plan, now: Plan, where: Path) -> None:
    """Check that a packing is resumed as it was begun.

    Args:
        begun: What was begun.
        now: What is wanted now.
        where: The work, for messages.

    Raises:
        DatasetError: Settings or samples differ; it names them.
    """
    cure = "resume with the same settings, or start anew with --overwrite"
    before, after = begun.settings.codec, now.settings.codec
    if before != after:
        raise DatasetError(f"{where}: was packed with codec {before}, now {after}; {cure}")
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
            f"{where}: the dataset has changed since packing began"
            f"{_difference(begun.manifest, now.manifest)}; start anew with --overwrite"
        )


def read_settings(folder: Path) -> PackingSettings:
    """The settings that lie in this folder.

    Raises:
        DatasetError: They are damaged, or of another version.
    """
    path = folder / SETTINGS_FILE
    try:
        return PackingSettings.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise DatasetError(
            f"{path}: is damaged, or of another version: {reason_of(error)}; pack to another folder"
        ) from error


def read_plan(folder: Path) -> Plan | None:
    """The plan that lies in this folder, if one does."""
    if not (folder / SETTINGS_FILE).is_file() or not is_prepared(folder):
        return None
    settings = read_settings(folder)
    # Where the recordings lie is read from the dataset in each job: machines may see them at
    # different places.
    return Plan(read_manifest(folder, source=folder, checks_files=False), settings)


def _put(plan: Plan, work: Path) -> Plan:
    """The plan as it lies in the work now: this one, or that of another job that was faster."""
    partial = work / f".{PLAN_FOLDER}.{socket.gethostname()}.{os.getpid()}"
    try:
        partial.mkdir(parents=True)
        write_manifest(plan.manifest, partial)
        write_settings(plan.settings, partial)
        try:
            partial.rename(work / PLAN_FOLDER)
        except OSError:
            if not (work / PLAN_FOLDER).is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    put = read_plan(work / PLAN_FOLDER)
    assert put is not None  # one of the two lies there
    return put


def _fields(sample: Sample) -> dict[str, Any]:
    """What is packed of a sample, as before there were parts where it is none: packings resume."""
    fields = asdict(sample)
    del fields["columns"]  # no clip depends on them
    if sample.part is None:
        del fields["part"]
    return fields


def _fingerprint(content: Any) -> str:
    text = json.dumps(content, ensure_ascii=False, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _shown(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else "none" if value is None else str(value)


def _difference(begun: Manifest, now: Manifest) -> str:
    before, after = ({sample.sample for sample in one.samples} for one in (begun, now))
    parts: list[str] = []
    for names, what in ((after - before, "are new"), (before - after, "are gone")):
        if names:
            parts.append(f"samples that {what}: {listed(sorted(names))}")
    return f", {', '.join(parts)}" if parts else ""
