"""From a run or a bundle to its page."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from evlora.errors import EvloraError, RunError
from evlora.files import writing_file, writing_folder
from evlora.report.confusion import classes_to_draw, confused_groups, draw_confusion, part_of
from evlora.report.findings import (
    Findings,
    Measured,
    Subject,
    Wanted,
    dataset_of,
    find,
    find_without_dataset,
    read_subject,
)
from evlora.report.page import Section, joined, page, paragraph
from evlora.report.panels import draw_panel
from evlora.report.relevance_pictures import animate_relevance, draw_relevance
from evlora.report.sections import key_figures, sections_of

PAGE = "report.html"
PICTURES = "pictures"
PAGE_SUFFIXES = (".html", ".htm")
"""Anything else is a folder."""
AT_THE_END = Wanted(clips=6, projection="pca")
"""What a run measures by itself: what costs little beside its training."""


def write_report(
    place: str | Path,
    dataset: str | Path | None = None,
    *,
    out: str | Path | None = None,
    split: str | None = None,
    weights: str | Path | None = None,
    device: str = "cpu",
) -> Path:
    """Write what a recognizer does and what it rests on as one page that needs no other file.

    Args:
        place: The folder of a run or a bundle.
        dataset: A prepared dataset; by default that of the run.
        out: The page, .html; or a folder for the page and its pictures, which is new, empty or an
            earlier report. By default `report.html` in the folder of the run.
        split: What is measured; by default test, or else val.
        weights: The backbone's weight file; see `load_bundle`.
        device: Where the recognizer runs.

    Returns:
        The page.

    Raises:
        BundleError: There is no bundle, or it is damaged.
        DatasetError: The labels differ, or the split is empty.
        RunError: There is no dataset or no place for the page, or the run is damaged.
    """
    subject = read_subject(
        Path(place), weights=None if weights is None else Path(weights), device=device
    )
    target = place_for(subject, None if out is None else Path(out))
    found = find(subject, Wanted(dataset=dataset, split=split))
    return write_findings(found, target)


def write_report_of_run(run: Path) -> Path:
    """Write the page of a finished run into its folder, measured on the split val if it has one.

    Args:
        run: Its folder.

    Raises:
        EvloraError: The run is damaged, or its clips cannot be read any more.
    """
    subject = read_subject(run)
    manifest, _ = dataset_of(subject, AT_THE_END)
    if "val" in manifest.splits:
        wanted = Wanted(split="val", clips=AT_THE_END.clips, projection=AT_THE_END.projection)
        found = find(subject, wanted)
    else:
        found = find_without_dataset(subject)
    return write_findings(found, run / PAGE)


def place_for(subject: Subject, out: Path | None) -> Path:
    """Where the page goes, checked before anything is measured.

    Raises:
        RunError: No place is named, and the bundle is not in a run's folder.
        EvloraError: The folder holds other things.
    """
    if out is not None:
        if out.suffix.lower() not in PAGE_SUFFIXES:
            _require_own_folder(out)
        elif out.is_dir():
            raise RunError(f"{out}: expected a page to write, found a folder; name a file in it")
        return out
    if subject.run is None:
        raise RunError(
            f"{subject.name}: expected a place for the report, since the bundle does not lie in "
            "the folder of a run; name one, such as --out report.html"
        )
    return subject.run / PAGE


def write_findings(
    found: Findings, target: Path, *, first: Sequence[Section] = (), title: str | None = None
) -> Path:
    """Write the page, or a folder with the page and its pictures; whole, or not at all.

    Args:
        found: What was measured.
        target: A file, .html, or a folder.
        first: Sections that stand before the others.
        title: Of the page; by default the recognizer's name.

    Returns:
        The page.

    Raises:
        EvloraError: The folder holds other things.
    """
    if target.suffix.lower() in PAGE_SUFFIXES:
        with (
            tempfile.TemporaryDirectory(prefix="evlora-report-") as pictures,
            writing_file(target) as temporary,
        ):
            temporary.write_text(_page(found, first, title, Path(pictures)), encoding="utf-8")
        return target
    _require_own_folder(target)
    with writing_folder(target) as temporary:
        pictures = temporary / PICTURES
        text = _page(found, first, title, pictures)
        (temporary / PAGE).write_text(text, encoding="utf-8")
        if found.measured is not None:
            _draw_for_papers(found.measured, pictures)
    return target / PAGE


def _draw_for_papers(measured: Measured, folder: Path) -> None:
    """Draw as files what the page shows in a way of its own."""
    if measured.answers:
        draw_panel(measured.answers, folder / "panel.png")
    drawn = classes_to_draw(measured.evaluation.confusion)
    counts = part_of(measured.evaluation.confusion, drawn)
    labels = [measured.scored.classes[number] for number in drawn]
    draw_confusion(counts, labels, folder / "confusion.png", groups=confused_groups(counts))
    for number, (clip, its) in enumerate(measured.relevance):
        draw_relevance(clip, its, folder / f"relevance{number}.png")
        animate_relevance(clip, its, folder / f"relevance{number}.gif")


def _page(found: Findings, first: Sequence[Section], title: str | None, pictures: Path) -> str:
    measured = found.measured
    sections = [*first, *sections_of(found, pictures)]
    if measured is None:
        lead = paragraph(
            "Nothing was measured on clips: this run has no val split. `evlora report RUN` "
            "measures the test split."
        )
    else:
        result = measured.evaluation
        about = f"Measured on the split {result.split} of {measured.dataset}."
        extra = [
            *([f"Dataset: {result.protocol.sentence}."] if result.protocol else []),
            *([f"Split by: {result.split_source}."] if result.split_source else []),
            *([f"Each clip is the mean of {result.views} views."] if result.views > 1 else []),
            *([f"Without {result.without}, hidden from the recognizer."] if result.without else []),
        ]
        lead = joined(paragraph(" ".join([about, *extra])), key_figures(measured))
    return page(title or found.subject.name, lead, sections)


def _require_own_folder(folder: Path) -> None:
    if folder.is_file():
        raise EvloraError(
            f"{folder}: expected a page (.html) or a folder for the report, found a file; name "
            "another"
        )
    if folder.is_dir() and any(folder.iterdir()) and not (folder / PAGE).is_file():
        raise EvloraError(
            f"{folder}: expected no folder, an empty one or an earlier report, found other things "
            "in it; name another folder"
        )
