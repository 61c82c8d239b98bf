"""A manifest on disk: `dataset.json` and `manifest.jsonl`, checked as a whole when read."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import ValidationError, field_validator

from evlora.config import Config
from evlora.datasets.bucket import CACHE_GB, Bucket, is_bucket
from evlora.datasets.confinement import listing, outside
from evlora.datasets.faults import SampleFiles, count_faults, counted, file_faults, whole_faults
from evlora.datasets.manifest import Manifest
from evlora.datasets.plain_lines import PlainSamples, read_plain
from evlora.datasets.rendering import PackedAbout
from evlora.datasets.samples import Sample, parse_lines, to_line
from evlora.errors import DatasetError
from evlora.files import standing, writing_file
from evlora.garbage import not_collecting
from evlora.limits import limits, raising
from evlora.messages import explain
from evlora.untrusted import label_fault, plain, read_text

DATASET_FILE = "dataset.json"
MANIFEST_FILE = "manifest.jsonl"
FORMAT_VERSION = 1
LINES_AT_ONCE = 10_000
"""How many are parsed together."""
CONSENT = (
    "look whether you want them to be read; if so, prepare it with --allow-outside or "
    "allow_outside=True"
)
LATER_KEYS = ("outside", "dataset", "split_name", "label_source")
"""Written only where they hold something: earlier versions refuse a key that they do not know."""


class About(Config):
    """What `dataset.json` holds about a dataset."""

    format: Literal["evlora dataset"]
    version: Literal[1]
    layout: str
    source: str
    """Folder of the recordings: in full, or relative to the dataset where it lies inside it."""
    labels: tuple[str, ...]
    counts: dict[str, int]
    """Samples in each split."""
    split_source: str = ""
    """Where the split came from, such as an official list; empty where it is unknown."""
    packed: PackedAbout | None = None
    """How the clips were packed; null where they are made from the recordings."""
    outside: bool = False
    """Whether whoever prepared it agreed that files lie outside of its folder."""
    dataset: str = ""
    """What its authors call the dataset."""
    split_name: str = ""
    """The published split."""
    label_source: str = ""
    """Where the labels came from."""

    @field_validator("labels")
    @classmethod
    def _are_distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        twice = [label for label, times in Counter(labels).items() if times > 1]
        if twice:
            raise ValueError(f"expected labels that differ, {', '.join(twice)} stand there twice")
        if fault := label_fault(labels):
            raise ValueError(fault)
        return labels


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write the two files of a dataset into a folder that exists, `dataset.json` last.

    The source is stored relative to the folder where it lies inside it, else in full.

    Args:
        manifest: Of recordings, or of the shards that lie in `folder`; the source of the latter is
            where the recordings lay.
        folder: The dataset's.
    """
    lines = [to_line(sample) for sample in manifest.samples]
    source, inside = manifest.source.resolve(), folder.resolve()
    if source.is_relative_to(inside):
        source = source.relative_to(inside)
    about = About(
        format="evlora dataset",
        version=FORMAT_VERSION,
        layout=manifest.layout,
        source=source.as_posix(),
        labels=manifest.labels,
        counts=manifest.counts,
        split_source=manifest.split_source,
        packed=manifest.packed,
        outside=manifest.allows_outside,
        dataset=manifest.dataset,
        split_name=manifest.split_name,
        label_source=manifest.label_source,
    )
    unused = {key for key in LATER_KEYS if not getattr(about, key)}
    text = {
        MANIFEST_FILE: "".join(line + "\n" for line in lines),
        DATASET_FILE: about.model_dump_json(indent=2, exclude=unused) + "\n",
    }
    for name, content in text.items():
        with writing_file(folder / name, durable=True) as temporary:
            temporary.write_text(content, encoding="utf-8")


def read_manifest(
    folder: str | Path,
    *,
    source: str | Path | None = None,
    checks_files: bool = True,
    cache: Path | None = None,
    cache_gb: float = CACHE_GB,
) -> Manifest:
    """The manifest of a prepared dataset, checked as a whole.

    The source of a packed dataset is the folder itself: where its shards lie.

    Args:
        folder: What `evlora prepare` wrote; or `s3://BUCKET/FOLDER`, where a packed one lies.
        source: Where the recordings lie now, if they were moved.
        checks_files: Whether the samples' files are looked for; those of a packed dataset never
            are.
        cache: Folder to keep what is fetched from a bucket; None takes a temporary one.
        cache_gb: How large it may grow.

    Returns:
        The labels and samples; its folder can be used in its place wherever a dataset is asked for.

    Raises:
        DatasetError: The folder is no prepared dataset, or some of its lines are wrong; the message
            shows the first faults, with their lines, and their number.
    """
    if is_bucket(folder):
        bucket = Bucket(str(folder), cache=cache, cache_gb=cache_gb)
        for name in (DATASET_FILE, MANIFEST_FILE):
            bucket.fetch(name)
        manifest = read_manifest(bucket.folder, source=bucket.folder, checks_files=False)
        if manifest.packed is None:
            raise DatasetError(
                f"{folder}: expected a packed dataset in a bucket, got the index of recordings; "
                "pack it with evlora pack, then copy it there"
            )
        # Its folder here is called by a number, which would mean nothing in results.
        name = manifest.dataset or f"{manifest.layout} {str(folder).rstrip('/').rpartition('/')[2]}"
        return replace(manifest, bucket=bucket, dataset=name)
    root = standing(plain(Path(folder), DatasetError))
    about = _read_about(root)
    where = Path(source) if source is not None else root / about.source
    if about.packed is not None:
        where, checks_files = root, False
    elif not plain(where, DatasetError).is_dir():
        raise DatasetError(
            f"{root / DATASET_FILE}: the recordings are said to lie in {where}, which is no "
            "folder; if they were moved, name the folder where they are now: data.source=FOLDER "
            "to train and compare, --source FOLDER to evaluate and pack, source= from Python"
        )
    path = root / MANIFEST_FILE
    files = SampleFiles(where) if checks_files else None
    samples = read_plain(plain(path, DatasetError), about.labels)
    if samples is not None:
        faults = file_faults(samples, files)
        faults += count_faults(samples.counts, about.counts, len(samples))
    else:
        read, faults = _read_samples(path, about.labels, files)
        # Lines that could not be parsed are missing from the count and were reported already.
        faults += whole_faults(read, None if faults else about.counts)
        samples = tuple(read)
    if faults:
        raise DatasetError(
            f"{path}: {counted(faults)}\n"
            f"recordings in {where}; mend the lines or the files, or prepare the dataset again"
        )
    manifest = Manifest(
        about.layout,
        where,
        about.labels,
        samples,
        split_source=about.split_source,
        packed=about.packed,
        allows_outside=about.outside,
        dataset=about.dataset,
        split_name=about.split_name,
        label_source=about.label_source,
    )
    # Plain lines have no path whose text leads out.
    if about.packed is None and (checks_files or not isinstance(samples, PlainSamples)):
        require_inside(manifest, path, follows_links=checks_files)
    return manifest


def require_inside(
    manifest: Manifest, where: Path, *, follows_links: bool = True, in_folders: bool = False
) -> None:
    """Check that a dataset's files lie in its folder, unless its maker agreed that they need not.

    Args:
        manifest: Of recordings.
        where: Its file or folder, for messages.
        follows_links: See `confinement.outside`.
        in_folders: See there.

    Raises:
        DatasetError: It lists the files that do not.
    """
    if manifest.allows_outside:
        return
    found = outside(
        manifest.samples, manifest.source, follows_links=follows_links, in_folders=in_folders
    )
    if found:
        raise DatasetError(f"{where}: {listing(found, CONSENT)}")


def require_sound(manifest: Manifest, *, checks_files: bool = True) -> None:
    """Check that the samples' names differ and, where asked, that their files exist.

    Raises:
        DatasetError: With the first faults, and how many there are.
    """
    samples = manifest.samples if checks_files else ()
    files = SampleFiles(manifest.source)
    faults = [fault for sample in samples for fault in files.faults_of(sample)]
    faults += whole_faults(manifest.samples, manifest.counts)
    if faults:
        raise DatasetError(
            f"{manifest.source}: {counted(faults)}\nmend these, then prepare the dataset again"
        )


def is_prepared(folder: Path) -> bool:
    """Whether this folder holds what `evlora prepare` wrote."""
    return (folder / DATASET_FILE).is_file() and (folder / MANIFEST_FILE).is_file()


def require_prepared(folder: Path) -> None:
    """Check that this folder holds what `evlora prepare` wrote.

    Raises:
        DatasetError: It does not, or is none.
    """
    if is_prepared(folder):
        return
    source = "SOURCE"
    if folder.is_dir():
        found, source = "a folder without them", str(folder)
    else:
        found = "a file" if folder.exists() else "no such folder"
    raise DatasetError(
        f"{folder}: expected a prepared dataset ({DATASET_FILE} and {MANIFEST_FILE}), found "
        f"{found}; make one with: evlora prepare LAYOUT {source} OUT"
    )


def _read_about(root: Path) -> About:
    path = root / DATASET_FILE
    require_prepared(root)
    try:
        return About.model_validate_json(read_text(path, DatasetError))
    except ValidationError as error:
        raise DatasetError(
            f"{path}: expected what evlora prepare writes (version {FORMAT_VERSION}), got "
            f"{explain(error, About)}; prepare the dataset again"
        ) from error


def _read_samples(
    path: Path, labels: Sequence[str], files: SampleFiles | None
) -> tuple[list[Sample], list[str]]:
    """The samples of a manifest, and what is wrong with its lines and with the files, if given."""
    samples: list[Sample] = []
    faults: list[str] = []
    known = frozenset(labels)
    with not_collecting():
        for first, lines in _blocks(path):
            for number, sample in enumerate(parse_lines(lines, known), start=first):
                if isinstance(sample, str):
                    faults.append(f"line {number}: {sample}")
                elif sample is not None:
                    samples.append(sample)
                    found = () if files is None else files.faults_of(sample)
                    faults += [f"line {number}: {fault}" for fault in found]
    return samples, faults


def _blocks(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines of a file, some thousands at a time, each time with the first one's number."""
    most = limits().line_chars
    if (size := plain(path, DatasetError).stat().st_size) > limits().index_bytes:
        raise DatasetError(
            f"{path}: expected at most {limits().index_bytes:,} bytes, got {size:,}; "
            f"{raising('index_bytes')}"
        )
    with path.open(encoding="utf-8", errors="replace") as file:
        every = iter(partial(file.readline, most + 1), "")
        first = 1
        while lines := list(islice(every, LINES_AT_ONCE)):
            if max(map(len, lines)) > most:
                number = next(i for i, line in enumerate(lines, first) if len(line) > most)
                raise DatasetError(
                    f"{path} line {number}: expected at most {most:,} characters, got more; "
                    f"{raising('line_chars')}"
                )
            yield first, lines
            first += len(lines)
