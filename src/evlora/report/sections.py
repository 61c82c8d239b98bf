"""The parts of the page: what was found, as text, tables and pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path

import yaml
from PIL import Image

from evlora.evaluation import Evaluation
from evlora.evaluation.figures import cells_of
from evlora.files import writing_file
from evlora.report.adapter_norms import draw_adapter_norms
from evlora.report.calibration import draw_reliability
from evlora.report.conditions import Share, draw_conditions
from evlora.report.confusion import matrix_for_page, most_confused
from evlora.report.curves import draw_curves
from evlora.report.features import draw_features, drawn_places
from evlora.report.findings import Findings, Measured
from evlora.report.page import (
    Cell,
    Section,
    element,
    image,
    joined,
    paragraph,
    picture,
    table,
)
from evlora.report.panels import Answered, clip_picture
from evlora.report.relevance_pictures import relevance_moments
from evlora.report.robustness import faults_section
from evlora.report.text import Html, embedded_json
from evlora.report.tiles import Picture

PROJECTIONS = {"pca": "the two directions in which they vary most (PCA)", "tsne": "t-SNE"}


def sections_of(found: Findings, folder: Path) -> list[Section]:
    """All parts of the page for which there is something to show.

    Args:
        found: What was measured.
        folder: Where pictures are drawn before the page takes them in.
    """
    measured = found.measured
    parts: list[Section | None] = []
    if measured is not None:
        parts += [make(measured, folder) for make in OF_MEASURED]
        parts.append(_relevance(found, measured, folder))
    parts += [make(found, folder) for make in OF_ALL]
    return [part for part in parts if part is not None]


def key_figures(measured: Measured) -> Html:
    """The main figures in large type."""
    result, classes = measured.evaluation, len(measured.scored.classes)
    low, high = whole_share(result).interval
    shown = [
        (f"{result.top1:.1%}", f"top-1 ({100 * low:.1f} to {100 * high:.1f})"),
        *([(f"{result.top5:.1%}", "top-5")] if classes > 5 else []),
        (f"{result.macro:.1%}", "mean of the classes"),
        (f"{result.ece:.3f}", "calibration error"),
        (f"{result.samples:,}", f"clips of {classes} classes"),
    ]
    cells = (element("div", joined(element("b", v), element("span", n))) for v, n in shown)
    return element("div", joined(*cells), class_="figures")


def whole_share(result: Evaluation) -> Share:
    """The share of all clips of an evaluation that is right."""
    return Share(round(result.top1 * result.samples), result.samples)


def _clips(measured: Measured, folder: Path) -> Section | None:
    if not measured.answers:
        return None
    cards = joined(
        *(_card(answer, folder / f"clip{n}.webp") for n, answer in enumerate(measured.answers))
    )
    lead = paragraph(
        "The surest mistakes first, then clips that are right, the least sure of their class. "
        "Frames above event images, time from left to right; below them the five most probable "
        "labels.",
        is_faint=True,
    )
    return Section("Clips", joined(lead, element("div", cards, class_="cards")))


def _card(answer: Answered, path: Path) -> Html:
    save(clip_picture(answer.clip), path)
    mark = "right" if answer.is_right else "wrong"
    rows = joined(
        *(
            element(
                "li",
                joined(
                    element("span", label, class_="right" if label == answer.label else ""),
                    element("span", f"{score:.1%}"),
                    element("i", style=f"width:{100 * score:.1f}%"),
                ),
            )
            for label, score in answer.ranked
        )
    )
    text = joined(
        element("strong", mark, class_=mark), " · true: ", element("strong", answer.label)
    )
    about = f"clip {answer.clip.sample}, true label {answer.label}, predicted {answer.ranked[0][0]}"
    shown = element(
        "div", image(path, about, kind="pixels"), class_="scroll", tabindex=0, role="group"
    )
    name = element("figcaption", answer.clip.sample)
    return element("figure", joined(shown, text, name, element("ol", rows)), class_="card")


def _confusion(measured: Measured, folder: Path) -> Section:
    del folder  # the browser draws it
    counts, labels = measured.evaluation.confusion, measured.scored.classes
    help_text = (
        "Rows are true labels, columns predicted ones; blue is right, red wrong, the stronger the "
        "larger the share of the true class; frames are groups of classes that are confused. Click "
        "or move over a cell to read it; drag to move; with the keyboard: arrow keys, + and −, 0 "
        "for the whole."
    )
    names = {
        "grouped": "classes that are confused together",
        "labels": "in the order of the dataset",
        "wrong": "most mistakes first",
    }
    options = (element("option", text, value=key) for key, text in names.items())
    choice = element("label", joined("order: ", element("select", joined(*options))))
    buttons = (
        element("button", text, type="button", data_zoom=way)
        for way, text in (("in", "zoom in"), ("out", "zoom out"), ("all", "whole"))
    )
    about = "confusion matrix; the table below has its most frequent mistakes"
    matrix = joined(
        element("div", joined(choice, *buttons), class_="controls"),
        element("canvas", "", tabindex=0, role="img", aria_label=about),
        element("output", "", aria_live="polite"),
    )
    matrix_shown = matrix_for_page(counts, labels)
    if (drawn := len(matrix_shown["labels"])) < len(labels):
        help_text += f" Of {len(labels):,} classes, the {drawn:,} of most mistakes are shown."
    data = embedded_json(matrix_shown)
    script = Html(f'<script type="application/json" id="confusion">{data}</script>')
    pairs = table(
        ("true label", "taken for", "clips", "of", "share"),
        [
            (p.label, p.predicted, p.clips, p.of, Cell(f"{p.clips / p.of:.1%}", p.clips / p.of))
            for p in most_confused(counts, labels)
        ],
        caption="The most frequent mistakes",
    )
    whole = element("div", matrix, class_="matrix")
    return Section("Confusion", joined(paragraph(help_text, is_faint=True), whole, script, pairs))


def _classes(measured: Measured, folder: Path) -> Section:
    del folder  # a table
    counts, labels = measured.evaluation.confusion, measured.scored.classes
    rows: list[tuple[int, Sequence[object]]] = []
    cells: dict[int, dict[int, int]] = {}
    for true, predicted, clips in cells_of(counts):
        cells.setdefault(true, {})[predicted] = clips
    for number, label in enumerate(labels):
        of_it = cells.get(number, {})
        clips, right = sum(of_it.values()), of_it.get(number, 0)
        if not clips:
            rows.append((0, (label, 0, 0, Cell("–", -1), Cell("–", -1), "–")))
            continue
        low, high = Share(right, clips).interval
        others = sorted((place, count) for place, count in of_it.items() if place != number)
        place, most = max(others, key=lambda one: one[1], default=(0, 0))
        taken_for = f"{labels[place]} ({most})" if most else "–"
        share = Cell(f"{right / clips:.1%}", right / clips)
        interval = Cell(f"{100 * low:.0f} to {100 * high:.0f}", low)
        rows.append((clips - right, (label, clips, clips - right, share, interval, taken_for)))
    rows.sort(key=lambda row: -row[0])
    header = ("class", "clips", "wrong", "top-1", "95 % interval", "most often taken for")
    return Section(
        "Classes",
        table(
            header,
            [row for _, row in rows],
            caption="The class with most mistakes first; a click on a header sorts by it",
        ),
    )


def _calibration(measured: Measured, folder: Path) -> Section:
    result = measured.evaluation
    draw_reliability(result.bins, result.ece, folder / "reliability.png")
    return Section(
        "Calibration",
        picture(
            folder / "reliability.png",
            f"reliability diagram; expected calibration error {measured.evaluation.ece:.3f}",
            caption="How often the first label is right, over how probable the recognizer holds "
            "it. Bars below the line: surer than right.",
        ),
    )


def _features(measured: Measured, folder: Path) -> Section | None:
    if not measured.points:
        return None
    path = folder / "features.png"
    labels = measured.scored.labels
    places = drawn_places(len(labels))
    draw_features(measured.points, labels[places], measured.scored.classes, path)
    part = "" if len(places) == len(labels) else f"; {len(places):,} of {len(labels):,} clips"
    views = ", ".join(measured.points)
    return Section(
        "Features",
        picture(
            path,
            f"features of the clips in two dimensions: {views}",
            caption=f"What the head gets of each clip, by {PROJECTIONS[measured.projection]}; "
            f"a colour is a class{part}.",
        ),
    )


def _conditions(measured: Measured, folder: Path) -> Section | None:
    if not measured.by_condition:
        return None
    draw_conditions(measured.by_condition, folder / "conditions.png")
    rows = [
        (column, value, share.clips, Cell(f"{share.accuracy:.1%}", share.accuracy))
        for column, values in measured.by_condition.items()
        for value, share in values.items()
    ]
    shown = picture(
        folder / "conditions.png",
        "top-1 accuracy by the values of the dataset's columns",
        caption="Top-1 accuracy by what the dataset states of its clips, with 95 % intervals; in "
        "brackets the clips.",
    )
    return Section("Conditions", joined(shown, table(("column", "value", "clips", "top-1"), rows)))


def _relevance(found: Findings, measured: Measured, folder: Path) -> Section | None:
    if not measured.relevance:
        reason = found.without_relevance
        return None if reason is None else Section("Relevance", paragraph(f"Not shown: {reason}."))
    lead = paragraph(
        "How much each patch counts for the predicted label. Top: the clip. Middle: attention "
        "rollout. Bottom: attention weighted by the gradients of the label's score. Bright is "
        "much, by the most of its view in this clip; a difference is shown over the image that it "
        "leads to, so that the first moment has none.",
        is_faint=True,
    )
    players: list[Html] = []
    for number, (clip, its) in enumerate(measured.relevance):
        images: list[Html] = []
        for moment, shown in enumerate(relevance_moments(clip, its)):
            path = folder / f"relevance{number}-{moment}.webp"
            save(shown, path)
            about = f"relevance for {its.label} at moment {moment + 1} of {clip.sample}"
            images.append(image(path, about, kind="moment"))
        lanes = joined(*(element("span", name) for name in its.by_method["rollout"]))
        controls = joined(
            element("button", "play", type="button"),
            Html(
                f'<input type="range" min="0" max="{len(images) - 1}" value="0" '
                'aria-label="moment of the clip">'
            ),
            element("output", ""),
        )
        caption = element("figcaption", f"{clip.sample}: relevance for {its.label}")
        inside = joined(
            element("div", lanes, class_="lanes"),
            *images,
            element("div", controls, class_="controls"),
            caption,
        )
        players.append(element("figure", inside, class_="card player"))
    return Section("Relevance", joined(lead, element("div", joined(*players), class_="cards")))


def _curves(found: Findings, folder: Path) -> Section | None:
    if not found.curves:
        return None
    draw_curves(found.curves, folder / "curves.png")
    kept = found.subject.metrics.get("epoch")
    return Section(
        "Training",
        picture(
            folder / "curves.png",
            "loss and accuracy over the epochs",
            caption="" if kept is None else f"The bundle holds epoch {kept:.0f}.",
        ),
    )


def _norms(found: Findings, folder: Path) -> Section | None:
    norms = {name: of_it for name, of_it in found.norms.items() if of_it}
    if not norms:
        return None
    draw_adapter_norms(norms, folder / "adapter_norms.png")
    return Section(
        "Adapters",
        picture(
            folder / "adapter_norms.png",
            "norm of what adapters add to the weights, by block and view",
            caption="Norm of what the adapters add to the weights that they adapt, as a share of "
            "the norm of those weights.",
        ),
    )


def _cost(found: Findings, folder: Path) -> Section:
    del folder  # a table
    counts, seconds = found.profile.parameters, found.subject.metrics.get("seconds")
    figures = [
        f"{counts.trained:,} of {counts.total:,} parameters are trained "
        f"({counts.trained_percent:.2f} %), saved as {counts.saved_mb:.2f} MB.",
        f"One clip's forward pass takes {found.profile.flops / 1e9:.2f} GFLOP.",
        *([] if seconds is None else [f"Training took {seconds:,.0f} s."]),
    ]
    rows = [
        (part.part, Cell(f"{part.total:,}", part.total), Cell(f"{part.trained:,}", part.trained))
        for part in counts.by_part
    ]
    parts = table(("part", "parameters", "trained"), rows, caption="Frozen weights are shared")
    return Section("Cost", joined(*map(paragraph, figures), parts))


def _origin(found: Findings, folder: Path) -> Section:
    del folder  # text
    recognizer = found.subject.recognizer
    about = [
        ("network", recognizer.config.model.network),
        ("backbone", recognizer.config.backbone.name),
        ("SHA-256 of its weights", recognizer.backbone_sha256),
        ("modalities", " and ".join(recognizer.clip_config.modalities)),
        ("moments of a clip", recognizer.clip_config.frames),
        ("size of an image, px", "×".join(map(str, recognizer.clip_config.size_px))),
    ]
    content: Html = table(("", ""), about)
    if found.subject.recipe is not None:
        written = yaml.safe_dump(
            found.subject.recipe.model_dump(mode="json", exclude={"comparison"}),
            sort_keys=False,
            allow_unicode=True,
        )
        recipe = element("pre", element("code", written), class_="scroll", tabindex=0)
        content = joined(
            content, element("details", joined(element("summary", "The run's recipe"), recipe))
        )
    return Section("Origin", content)


OF_MEASURED: tuple[Callable[[Measured, Path], Section | None], ...] = (
    _clips,
    _confusion,
    _classes,
    _calibration,
    _features,
    _conditions,
)
OF_ALL: tuple[Callable[[Findings, Path], Section | None], ...] = (
    lambda found, folder: faults_section(found.faults, folder),
    *(_curves, _norms, _cost, _origin),
)


def save(shown: Picture, path: Path) -> None:
    """Write a picture whose pixels are to be seen.

    Args:
        shown: Shape (H, W, 3).
        path: The file, .webp or .png.
    """
    with writing_file(path) as temporary:
        Image.fromarray(shown).save(temporary, quality=90)
