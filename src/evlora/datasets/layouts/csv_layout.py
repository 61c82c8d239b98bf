"""A table of samples: one row each, with the columns split, events, frame, event_images and label.

Separated by commas, semicolons or tabs. Paths are relative to the table's folder. `frame` may be
called `frames` too, and may name a picture, a folder of pictures or a video, as may `event_images`,
event images that were drawn before. One of the three is enough. `width` and `height` are
the sensor's, where the file of the events does not state it. `start` and `end` make a part of a
long recording a sample: `start_s` in seconds, `start_us` in microseconds, `start_frame` by the
numbers of frames, or `start` with times such as 1.5s. Other columns, such as subject
or light, are kept in the manifest, and `evlora evaluate --slices` scores by them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import NonNegativeInt, PositiveInt

from evlora.companions import visible
from evlora.datasets.holding_out import hold_out
from evlora.datasets.layouts import parts
from evlora.datasets.layouts.csv_rows import rows_of
from evlora.datasets.layouts.naming import class_order, split_name
from evlora.datasets.layouts.sensors import SensorOptions
from evlora.datasets.layouts.table import Progress
from evlora.datasets.manifest import Manifest, Sample
from evlora.errors import DatasetError
from evlora.messages import listed

TABLE_NAME = "index.csv"
COLUMN_NAMES: Mapping[str, tuple[str, ...]] = {
    "split": ("split",),
    "events": ("events", "event"),
    "frames": ("frame", "frames"),
    "event_images": ("event_images", "event_image"),
    "label": ("label", "class"),
    "width": ("width",),
    "height": ("height",),
    **parts.COLUMNS,
}
PARTS = ("events", "frames", "event_images")
"""The columns that name files; a row has one of them at least."""
EXPECTED = "the columns split, label, and events, frame, event_images or several of them"


class Options(SensorOptions):
    """Whether the table's own split counts, and the sensor of files that do not state it."""

    test: PositiveInt | None = None
    """Samples of a test split chosen evenly over the classes from all rows; all others are train,
    and the column split is passed over."""
    seed: NonNegativeInt = 0
    """Picks them."""
    apart: str | None = None
    """A column, such as subject, no value of which is in both train and that test split."""


def collect(source: Path, folder: Path, options: Options, progress: Progress | None) -> Manifest:
    """The manifest of the table `source`, or of `index.csv` in the folder `source`.

    Raises:
        DatasetError: There is no table, a column is missing, a row is incomplete, or the part of a
            recording that it names lies outside of it.
    """
    del folder  # nothing is made
    table = source / TABLE_NAME if source.is_dir() else source
    if not table.is_file():
        found = listed((entry.name for entry in visible(source)), at_most=5, none="nothing")
        raise DatasetError(
            f"{table}: no such table; expected {TABLE_NAME} with {EXPECTED}, found {found} there"
        )
    rows = rows_of(table)
    header = [name.strip() for name in next(rows, [])]
    columns = _columns(header, table)
    numbered = [
        (number, _sample(row, number, header, columns, table)) for number, row in _filled(rows)
    ]
    parts.require_within(numbered, table, progress)
    samples = tuple(sample for _, sample in numbered)
    others = [header[place] for place in _other_places(header, columns)]
    notes = (f"{table}: kept the columns {', '.join(others)} for slices",) if others else ()
    labels = class_order({sample.label for sample in samples})
    manifest = Manifest(
        "csv",
        table.parent.resolve(),
        labels,
        samples,
        notes,
        split_source=f"column {header[columns['split']]} of {table.name}",
    )
    if options.test is None and options.apart is not None:
        raise DatasetError(
            f"{table}: expected apart={options.apart} with test=N, which it is about; without it "
            "the column split counts: add test=N, or remove apart"
        )
    return manifest if options.test is None else _split_anew(manifest, options.test, options)


def _split_anew(manifest: Manifest, test: int, options: Options) -> Manifest:
    samples, seed = manifest.samples, options.seed
    if not test < len(samples):
        raise DatasetError(
            f"{manifest.source}: expected fewer test samples than the table has rows, got "
            f"test={test} of {len(samples)}; choose fewer"
        )
    chosen, how = hold_out(
        samples, test / len(samples), seed=seed, apart=options.apart, where=manifest.source
    )
    return replace(
        manifest,
        samples=tuple(
            replace(sample, split="test" if sample.sample in chosen else "train")
            for sample in samples
        ),
        split_source=f"{len(chosen)} rows for test, {how}, seed {seed}",
    )


def _columns(header: list[str], table: Path) -> dict[str, int]:
    lower = [name.lower() for name in header]
    columns: dict[str, int] = {}
    for column, names in COLUMN_NAMES.items():
        places = [place for place, name in enumerate(lower) if name in names]
        if len(places) > 1:
            raise DatasetError(
                f"{table}: expected one column {column}, got {len(places)}; keep one of them"
            )
        if places:
            columns[column] = places[0]
    if not {"split", "label"} <= set(columns) or not set(PARTS) & set(columns):
        raise DatasetError(
            f"{table}: expected {EXPECTED}, got {', '.join(header) or 'no header'}; "
            "give the first row these names"
        )
    return columns


def _other_places(header: list[str], columns: Mapping[str, int]) -> list[int]:
    """The columns that have a name but no meaning of their own."""
    return [i for i, name in enumerate(header) if name and i not in columns.values()]


def _filled(rows: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    for number, row in enumerate(rows, start=2):
        if any(cell.strip() for cell in row):
            yield number, [cell.strip() for cell in row]


def _sample(
    row: list[str], number: int, header: list[str], columns: Mapping[str, int], table: Path
) -> Sample:
    if len(row) != len(header):
        raise DatasetError(
            f"{table} row {number}: expected {len(header)} cells as in the first row, "
            f"got {len(row)}; put paths that hold the separator in quotation marks"
        )
    cells = {column: row[place] or None for column, place in columns.items()}
    events, frames, event_images = (cells.get(part) for part in PARTS)
    main = events or frames or event_images
    if main is None or cells["label"] is None or cells["split"] is None:
        raise DatasetError(
            f"{table} row {number}: expected a split, a label, and events or a frame, got "
            f"{', '.join(cell or 'nothing' for cell in row)}; fill the row or remove it"
        )
    split = split_name(cells["split"])
    if split is None:
        raise DatasetError(
            f"{table} row {number}: expected the split train, val or test, got {cells['split']!r}"
        )
    sensor_px = _sensor(cells.get("width"), cells.get("height"), f"{table} row {number}")
    names = {name: header[columns[name]].lower() for name in parts.COLUMNS if name in columns}
    part = parts.part_in(cells, names, f"{table} row {number}")
    others = tuple((header[i], row[i]) for i in _other_places(header, columns) if row[i])
    sample = Sample(
        main,
        events,
        frames,
        cells["label"],
        split,
        event_images,
        sensor_px,
        columns=others,
    )
    return parts.with_part(sample, part)


def _sensor(width: str | None, height: str | None, where: str) -> tuple[int, int] | None:
    """Width and height of the sensor by a row's cells; None where they are empty."""
    if not width and not height:
        return None
    sizes = [int(cell) if cell and cell.isdecimal() else 0 for cell in (width, height)]
    if not all(sizes):
        raise DatasetError(
            f"{where}: expected width and height of the sensor in pixels, got {width} and {height}"
        )
    return sizes[0], sizes[1]
