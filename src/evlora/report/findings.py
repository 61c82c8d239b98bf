"""What a report shows: everything is measured here, and drawn elsewhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from evlora.answering import Precision
from evlora.bundle import load_bundle
from evlora.bundle_description import read_origin
from evlora.bundle_place import bundle_in
from evlora.clips import Clip, Modality
from evlora.datasets import Manifest, read_manifest
from evlora.errors import DatasetError, RunError
from evlora.evaluation import Answers, Evaluation, evaluate
from evlora.evaluation.robustness import ConditionResult
from evlora.evaluation.robustness_files import read_results
from evlora.files import standing
from evlora.packing import clip_dataset
from evlora.profiling import Profile, profile
from evlora.recipe import Recipe, load_recipe
from evlora.recognizer import Recognizer
from evlora.report.adapter_norms import Change, adapter_norms
from evlora.report.conditions import Share, accuracy_by_condition
from evlora.report.curves import Curves, read_curves
from evlora.report.features import (
    Points,
    Projection,
    collecting_features,
    drawn_places,
    features_by_view,
    projected,
)
from evlora.report.panels import Answered, chosen_places
from evlora.report.relevance import Relevance, relevance, why_not
from evlora.training.folder import METRICS_FILE, RECIPE_FILE, read_metrics
from evlora.training.opening import open_dataset

MOST_RELEVANCE = 3
"""Clips whose relevance is shown, of those that are shown at all."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a report is about."""

    recognizer: Recognizer
    name: str
    run: Path | None
    """The folder of its run, where the bundle lies in one."""
    recipe: Recipe | None
    """Of that run."""
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What a recognizer answers on a split of a dataset."""

    dataset: str
    evaluation: Evaluation
    scored: Answers
    """What it answers for every sample."""
    points: dict[str, Points]
    """Features in two dimensions, by view, of the samples at `drawn_places`; none where the
    evaluation was given."""
    projection: Projection
    by_condition: dict[str, dict[str, Share]]
    answers: list[Answered]
    """Clips to look at."""
    relevance: list[tuple[Clip, Relevance]]
    """Of some of these clips."""


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """Everything that a report shows."""

    subject: Subject
    measured: Measured | None
    profile: Profile
    curves: Curves
    norms: dict[str, dict[str, Change]]
    without_relevance: str | None
    """Why there is no relevance of patches."""
    notes: list[str] = field(default_factory=list[str])
    faults: Sequence[ConditionResult] = ()
    """Accuracies under the faults of sensors, where they were measured before."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much is measured, and on what."""

    dataset: str | Path | None = None
    """The folder of a prepared dataset; by default that of the run."""
    source: Path | None = None
    """Where its recordings lie now, if they were moved."""
    split: str | None = None
    """By default test, or else val."""
    clips: int = 12
    """Clips that are shown."""
    projection: Projection = "tsne"
    batch_size: int | None = None
    workers: int = 0
    without: Modality | None = None
    precision: Precision = "fp32"
    slices: Sequence[str] = ()
    """Columns whose values are scored separately."""
    faults: Path | None = None
    """A folder of `evlora robustness` whose figures are shown as well."""
    evaluation: Evaluation | None = None
    """Of that split, where it was measured before; features of the clips are not shown then."""
    progress: Callable[[int, int], None] | None = None
    """Takes the number of samples scored so far, and of all."""


def read_subject(place: Path, *, weights: Path | None = None, device: str = "cpu") -> Subject:
    """The recognizer in a bundle or a run, and what its run left beside it.

    Args:
        place: The folder of a bundle or a run.
        weights: The backbone's weight file; see `load_bundle`.
        device: Where the recognizer runs.

    Raises:
        BundleError: There is no bundle, or it is damaged.
        RunError: The run's metrics are damaged.
        RecipeError: The run's recipe is.
    """
    bundle = bundle_in(place)
    recognizer = load_bundle(bundle, weights=weights, device=device)
    run = bundle.absolute().parent
    if not (run / RECIPE_FILE).is_file():
        return Subject(
            recognizer, place.name, None, None, read_origin(standing(bundle)).metrics or {}
        )
    is_finished = (run / METRICS_FILE).is_file()
    metrics = read_metrics(run) if is_finished else read_origin(standing(bundle)).metrics or {}
    return Subject(recognizer, run.name, run, load_recipe(run / RECIPE_FILE), metrics)


def find(subject: Subject, wanted: Wanted) -> Findings:
    """Measure what a report shows.

    Args:
        subject: What it is about.
        wanted: How much, and on what.

    Raises:
        DatasetError: The labels differ, or the split is empty.
        RunError: The run's logs are damaged, there is no dataset, or the faults are those of
            another recognizer.
    """
    faults = [] if wanted.faults is None else read_results(wanted.faults, subject.recognizer)
    manifest, name = dataset_of(subject, wanted)
    split = wanted.split or next((s for s in ("test", "val") if s in manifest.splits), None)
    if split is None:
        raise DatasetError(
            f"{name}: expected a split test or val to measure, found only "
            f"{', '.join(manifest.splits)}; name one with --split"
        )
    measured = _measured(subject, manifest, name, split, wanted)
    return replace(find_without_dataset(subject), measured=measured, faults=faults)


def find_without_dataset(subject: Subject) -> Findings:
    """What can be reported without measuring anything on clips.

    Args:
        subject: What it is about.

    Raises:
        RunError: The run's logs are damaged.
    """
    return Findings(
        subject,
        None,
        profile(subject.recognizer),
        {} if subject.run is None else read_curves(subject.run),
        adapter_norms(subject.recognizer),
        why_not(subject.recognizer),
    )


def dataset_of(subject: Subject, wanted: Wanted) -> tuple[Manifest, str]:
    """The dataset to measure on and its name; of a run, with the val split that it held out.

    Raises:
        RunError: None is named, and the recognizer is not in the folder of a run.
        DatasetError: There is none, or it is damaged.
    """
    if wanted.dataset is not None:
        return read_manifest(wanted.dataset, source=wanted.source), str(wanted.dataset)
    if subject.recipe is None:
        raise RunError(
            f"{subject.name}: expected a dataset to measure on: the bundle does not lie in the "
            "folder of a run, whose recipe would name it; give one, such as "
            "`evlora report BUNDLE DATASET`"
        )
    changes = {} if wanted.source is None else {"source": wanted.source}
    data = subject.recipe.data.model_copy(update=changes)
    return open_dataset(data, seed=subject.recipe.run.seed), str(data.root)


def _measured(
    subject: Subject, manifest: Manifest, name: str, split: str, wanted: Wanted
) -> Measured:
    recognizer = subject.recognizer
    evaluation, points = wanted.evaluation, dict[str, Points]()
    if evaluation is None:
        evaluation, points = _evaluated(recognizer, manifest, split, wanted)
    scored = evaluation.answers
    assert scored is not None  # `evaluate` keeps them
    answers = _answers(recognizer, manifest, scored, split, wanted)
    can_show = why_not(recognizer) is None
    return Measured(
        name,
        evaluation,
        scored,
        points,
        wanted.projection,
        accuracy_by_condition(scored, manifest),
        answers,
        [(a.clip, relevance(recognizer, a.clip)) for a in spread(answers) if can_show],
    )


def _evaluated(
    recognizer: Recognizer, manifest: Manifest, split: str, wanted: Wanted
) -> tuple[Evaluation, dict[str, Points]]:
    """The figures of a split, and the features that were met on the way."""
    with collecting_features(recognizer, precision=wanted.precision) as taken:
        evaluation = evaluate(
            recognizer,
            manifest,
            split=split,
            batch_size=wanted.batch_size,
            workers=wanted.workers,
            without=wanted.without,
            precision=wanted.precision,
            slices=wanted.slices,
            progress=wanted.progress,
        )
    features = features_by_view(recognizer, taken, views=evaluation.views)
    places = drawn_places(evaluation.samples)
    drawn = {view: projected(of_it[places], wanted.projection) for view, of_it in features.items()}
    return evaluation, drawn


def _answers(
    recognizer: Recognizer, manifest: Manifest, scored: Answers, split: str, wanted: Wanted
) -> list[Answered]:
    config: Any = recognizer.clip_config.hiding(wanted.without)
    dataset = clip_dataset(manifest, split, config)
    return [
        Answered(
            dataset[place], scored.classes[int(scored.labels[place])], scored.ranked_labels(place)
        )
        for place in chosen_places(scored, wanted.clips)
    ]


def spread(answers: list[Answered]) -> list[Answered]:
    """A few of the clips, mistakes and others."""
    count = min(len(answers), MOST_RELEVANCE)
    places = torch.linspace(0, len(answers) - 1, count).round().int().tolist()
    return [answers[place] for place in dict.fromkeys(places)]
