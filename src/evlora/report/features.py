"""What the head gets of each clip, in two dimensions: by class, and by view."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor, nn

from evlora.answering import Precision, for_answers
from evlora.escaping import in_figure
from evlora.figures import new_figure, save_figure
from evlora.models.velora import VELoRA
from evlora.recognizer import Recognizer

Projection = Literal["pca", "tsne"]
TOGETHER = "together"
"""Name of the features of all views."""
DIMENSIONS_BEFORE_TSNE = 50
PERPLEXITY = 30.0
ITERATIONS = 500
"""Of t-SNE: half of the usual number keeps as many neighbours together (trustworthiness)."""
MOST_POINTS = 1000
"""Of more clips a part is projected and drawn: t-SNE takes long, and points cover each other."""
FEW_CLASSES = 10
"""Up to which each class has a colour that one can name."""
SIDE_IN = 3.8
"""Of a plot, in inches: three fit a page beside each other with letters that one can read."""
NAMED_CLASSES = 40
"""Up to which each class is named where most of its clips are."""

Points = NDArray[np.float32]


def drawn_places(count: int) -> list[int]:
    """Numbers of the samples whose features are drawn, chosen at random where there are many.

    Every n-th sample would miss classes of a dataset in which they take turns.

    Args:
        count: The samples that there are.
    """
    if count <= MOST_POINTS:
        return list(range(count))
    chosen = np.random.default_rng(0).choice(count, MOST_POINTS, replace=False)
    return sorted(chosen.tolist())


@contextmanager
def collecting_features(
    recognizer: Recognizer, *, precision: Precision = "fp32"
) -> Generator[list[Tensor]]:
    """Collects what the head gets while the recognizer answers inside, shape (clips, D) a call.

    Args:
        recognizer: Whose answers are observed.
        precision: As the answers are asked for; see `for_answers`.
    """
    taken: list[Tensor] = []

    def take(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        taken.append(given[0].detach().float().cpu())

    head = cast(Any, for_answers(recognizer, precision=precision).network).head
    handle = cast(nn.Module, head).register_forward_pre_hook(take)
    try:
        yield taken
    finally:
        handle.remove()


def features_by_view(
    recognizer: Recognizer, taken: Sequence[Tensor], *, views: int
) -> dict[str, Tensor]:
    """The features of samples together, and of each view where the head joins several.

    Args:
        recognizer: That gave them.
        taken: Of `collecting_features`.
        views: Test views of a sample, whose features are averaged.

    Returns:
        Shape (samples, D) each.
    """
    together = torch.cat(list(taken)).unflatten(0, (-1, views)).mean(dim=1)
    network = recognizer.network
    names = network.head_views if isinstance(network, VELoRA) else ()
    if len(names) < 2:
        return {TOGETHER: together}
    parts = together.chunk(len(names), dim=1)
    return {TOGETHER: together, **dict(zip(names, parts, strict=True))}


def projected(features: Tensor, method: Projection, *, seed: int = 0) -> Points:
    """Features in two dimensions.

    Args:
        features: Shape (samples, D).
        method: `pca`, the two directions in which they vary most; or `tsne`, which keeps
            neighbours together and whose distances mean nothing (van der Maaten and Hinton, 2008).
        seed: Of what is random in it.

    Returns:
        Shape (samples, 2).
    """
    values = features.double().numpy()
    if not values.std(axis=0).any():  # one clip, or all the same
        return np.zeros((len(values), 2), np.float32)
    least = min(values.shape)
    if method == "pca" or len(values) <= 3 * PERPLEXITY:
        points = PCA(min(2, least), random_state=seed).fit_transform(values)
        return np.pad(points, ((0, 0), (0, 2 - points.shape[1]))).astype(np.float32)
    few = PCA(min(DIMENSIONS_BEFORE_TSNE, least), random_state=seed).fit_transform(values)
    reducer = TSNE(
        perplexity=PERPLEXITY, max_iter=ITERATIONS, init="pca", random_state=seed, n_jobs=1
    )
    return reducer.fit_transform(few.astype(np.float32))


def draw_features(
    points: Mapping[str, Points], labels: NDArray[np.int64], classes: Sequence[str], path: Path
) -> None:
    """Projected features by class, one plot for each view and one for all together.

    Args:
        points: By view, of `projected`, shape (samples, 2).
        labels: Numbers of the true classes, shape (samples,).
        classes: Names of the classes.
        path: The PNG to write.
    """
    figure = new_figure((max(5.2, SIDE_IN * len(points)), 1.15 * SIDE_IN))
    colours = _colours(len(classes))
    for axes, (name, of_view) in zip(
        figure.subplots(1, len(points), squeeze=False)[0], points.items(), strict=True
    ):
        axes.scatter(of_view[:, 0], of_view[:, 1], s=9, c=colours[labels], linewidths=0)
        axes.set_title(name, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
        if FEW_CLASSES < len(classes) <= NAMED_CLASSES:
            for number in map(int, np.unique(labels)):
                place = np.median(of_view[labels == number], axis=0)
                axes.annotate(
                    in_figure(classes[number], 14),
                    place,
                    ha="center",
                    va="center",
                    fontsize=7,
                    bbox={"boxstyle": "round,pad=0.1", "fc": "white", "alpha": 0.7, "lw": 0},
                )
    if len(classes) <= FEW_CLASSES:
        from matplotlib.lines import Line2D

        marks = [
            Line2D([], [], marker="o", lw=0, color=colours[i], label=in_figure(name, 24))
            for i, name in enumerate(classes)
        ]
        columns = min(5 if len(points) > 1 else 3, len(classes))
        figure.legend(handles=marks, loc="outside lower center", ncols=columns, fontsize=8)
    save_figure(figure, path)


def _colours(count: int) -> NDArray[np.float64]:
    """A colour for each class, shape (K, 4)."""
    if count <= FEW_CLASSES:
        return np.asarray(colormaps["tab10"](np.arange(count)))
    hues = np.asarray(colormaps["hsv"](np.linspace(0, 1, count, endpoint=False)))
    hues[:, :3] *= np.resize([0.95, 0.75, 0.55], count)[:, None]  # neighbours differ in light
    return hues
