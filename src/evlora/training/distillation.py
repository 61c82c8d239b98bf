"""Learning from another recognizer's answers as well (Hinton, Vinyals and Dean, 2015)."""

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from evlora.bundle import load_bundle
from evlora.clips import Batch
from evlora.errors import RecipeError
from evlora.messages import listed
from evlora.recipe import Recipe
from evlora.recognizer import Recognizer
from evlora.training.features import OFF
from evlora.training.starting import SAME_CLIP


class Teacher:
    """A recognizer whose answers are learned from; it learns nothing itself.

    Args:
        recognizer: With the labels of the run, for clips of the same shape.
        weight: Its share in the loss.
        temperature: By which both recognizers' scores are divided before they are compared.
    """

    def __init__(self, recognizer: Recognizer, *, weight: float, temperature: float) -> None:
        self.recognizer = recognizer.eval()
        self._weight = weight
        self._temperature = temperature

    def blended(self, loss: Tensor, logits: Tensor, batch: Batch) -> Tensor:
        """The loss of a batch with the teacher's share in it.

        That share is the divergence of both answers at the temperature, times its square, so that
        its gradient has the same size at any temperature.

        Args:
            loss: Of the labels, a scalar.
            logits: Of the recognizer that learns, shape (B, K).
            batch: The clips.
        """
        with torch.no_grad():
            known = self.recognizer.recognize(batch.rgb, batch.events).logits
        ours, theirs = (
            log_softmax(scores.float() / self._temperature, dim=1) for scores in (logits, known)
        )
        divergence = kl_div(ours, theirs, reduction="batchmean", log_target=True)
        share = divergence * self._temperature**2
        return (1 - self._weight) * loss + self._weight * share


def teacher_of(recipe: Recipe, labels: tuple[str, ...]) -> Teacher | None:
    """The teacher that a recipe names; None where it names none.

    Raises:
        BundleError: There is no such bundle, or it is damaged.
        RecipeError: Its labels or its clips are others, or clips are mixed or computed before.
    """
    asked = recipe.training.distillation
    if asked.bundle is None:
        return None
    where = "training.distillation.bundle"
    training = recipe.training
    if training.mixup or training.cutmix or training.cache_features != OFF:
        raise RecipeError(
            f"{where}: expected clips as they are, which the other recognizer answers as well; set "
            "training.mixup=0, training.cutmix=0 and training.cache_features=off"
        )
    recognizer = load_bundle(asked.bundle)
    if recognizer.labels != labels:
        raise RecipeError(
            f"{where}: {asked.bundle} has other labels than the dataset: "
            f"{listed(recognizer.labels)}; train it on this dataset first"
        )
    ours, theirs = recipe.clip, recognizer.clip_config
    differing = [
        f"clip.{name} is {getattr(theirs, name)} there, {getattr(ours, name)} here"
        for name in SAME_CLIP
        if getattr(theirs, name) != getattr(ours, name)
    ]
    if differing:
        raise RecipeError(
            f"{where}: {asked.bundle} answers other clips: {listed(differing)}; set the same"
        )
    return Teacher(recognizer, weight=asked.weight, temperature=asked.temperature)
