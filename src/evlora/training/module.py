"""One step of learning, for Lightning's Trainer: objective, optimizer, and what is saved."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics.classification import MulticlassAccuracy

from evlora.clips import Batch
from evlora.errors import DatasetError, RecipeError, RunError
from evlora.messages import listed
from evlora.models.adapters import (
    after_step,
    begin_training,
    load_training_state,
    training_state,
)
from evlora.models.network import MomentwiseNetwork, Output
from evlora.ranks import AllRanksError
from evlora.recipe.schema import TrainingConfig
from evlora.recognizer import Recognizer
from evlora.training.averaging import MovingAverage
from evlora.training.checkpoints import at_another_division
from evlora.training.distillation import Teacher
from evlora.training.features import FeatureBatch
from evlora.training.finiteness import BatchGuard, require_finite
from evlora.training.gradients import GradientGuard
from evlora.training.mixing import mix_clips
from evlora.training.objective import balanced_weights, mean_cross_entropy
from evlora.training.optimizing import make_optimizer

AVERAGE = "average"
"""Under this name checkpoints hold the moving average, where there is one."""
LEARNED = ("state_dict", "optimizer_states", "adapters", AVERAGE)
"""Parts of a checkpoint whose numbers are finite."""


class _Answered(NamedTuple):
    """A batch of training whose gradient has been taken."""

    batch: Batch | FeatureBatch
    batch_index: int
    logits: Tensor
    loss: Tensor


class RecognizerModule(LightningModule):
    """Cross-entropy plus the weighed terms of the network; only what is learned is kept.

    Args:
        recognizer: What is trained.
        config: How.
        seed: Of the run.
        report: Takes a line about a batch that was skipped.
        class_counts: Training clips of each class, shape (K,), for `training.class_weights`.
        teacher: A recognizer that is learned from as well.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        config: TrainingConfig,
        *,
        seed: int,
        report: Callable[[str], None] = lambda line: None,
        class_counts: Tensor | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__()
        self._objective: dict[str, Any] = {"label_smoothing": config.label_smoothing}
        if config.class_weights == "balanced" and class_counts is not None:
            self._objective["weight"] = balanced_weights(class_counts)
        self.report = report
        self.teacher = teacher
        self.recognizer = recognizer
        self.config = config
        self.seed = seed
        classes = len(recognizer.labels)
        self.training_accuracy = MulticlassAccuracy(classes, average="micro")
        self.validation_accuracy = MulticlassAccuracy(classes, average="micro")
        self._resumed_adapters: dict[str, Tensor] = {}
        if config.ema and recognizer.config.model.adapter.method == "adalora":
            raise RecipeError(
                "training.ema: AdaLoRA takes ranks away, which an average of earlier steps would "
                "bring back; set training.ema=0 or choose another method"
            )
        self._average: MovingAverage | None = None
        self._resumed_average: dict[str, Tensor] = {}
        self._guard = BatchGuard(skipped=config.skip_batches)
        self._gradients: GradientGuard | None = GradientGuard(recognizer)
        self._gathered: dict[str, Tensor] = {}
        self.total_steps = 1
        self._answered: list[_Answered] = []
        """The batches since the last step; more than one where gradients are accumulated."""

    def on_train_start(self) -> None:
        """Begin the moving average, and tell adapters such as AdaLoRA how long the run is."""
        if self.config.ema:
            learned = self.recognizer.learned_tensors()
            self._average = MovingAverage(learned, decay=self.config.ema)
            if self._resumed_average:
                self._average.load(self._resumed_average)
        self.total_steps = int(self.trainer.estimated_stepping_batches)
        begin_training(self.recognizer, total_steps=self.total_steps)
        if self._resumed_adapters:
            load_training_state(self.recognizer, self._resumed_adapters)

    def on_fit_start(self) -> None:
        """Fill the caches of features, on the device and in the precision of the run."""
        if self.teacher is not None:
            self.teacher.recognizer.to(self.device)
        data: Any = getattr(self.trainer, "datamodule", None)
        if data is not None:
            data.fill_caches(self.recognizer, self.trainer.precision_plugin.forward_context)

    def training_step(self, batch: Batch | FeatureBatch, batch_index: int) -> Tensor:
        """The loss of a batch, a scalar."""
        # Dropout is a function of seed and step, so that a resumed run repeats it.
        step = self.seed * 1_000_003 + self.trainer.global_step
        place = len(self._answered)  # among the batches of a step
        step = step * self.config.accumulate + place
        torch.manual_seed(step * self.trainer.world_size + self.global_rank)
        # Norms gather statistics of a batch before it is looked at.
        if self.config.skip_batches and not place:
            self._gathered = {n: t.clone() for n, t in self._statistics().items()}
        logits, loss = self._learn_from(batch)
        self._answered.append(_Answered(batch, batch_index, logits.detach(), loss.detach()))
        return loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Skip a step whose loss or gradients are not finite, and log those of the others."""
        answered, self._answered = self._answered, []
        loss = torch.stack([one.loss for one in answered]).mean()
        gradients = [p.grad for p in self.recognizer.parameters() if p.grad is not None]
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        overflows = scaler is not None and scaler.get_scale() > 1  # then it skips, and lowers it
        if not self._guard.is_sound(loss, gradients, overflows=overflows):
            optimizer.zero_grad(set_to_none=True)  # parameters without a gradient are not changed
            line = self._guard.skip(
                loss=loss,
                samples=[name for one in answered for name in one.batch.samples],
                step=self.trainer.global_step + 1,
                epoch=self.trainer.current_epoch + 1,
                batch=answered[-1].batch_index + 1,
            )
            for name, tensor in self._statistics().items():
                tensor.copy_(self._gathered[name])
            self.report(f"warning: {line}")
            return
        if self._gradients is not None:
            self._gradients.look()
        self._log_of(answered)

    def _log_of(self, answered: list[_Answered]) -> None:
        """Log the figures of the batches of a step."""
        size = sum(len(one.batch.samples) for one in answered)
        weighed = [one.loss * len(one.batch.samples) for one in answered]
        for one in answered:
            assert one.batch.labels is not None  # otherwise there is no loss
            self.training_accuracy.update(one.logits, one.batch.labels)
        log = partial(self.log, on_step=False, on_epoch=True, batch_size=size)
        log("train/loss", torch.stack(weighed).sum() / size, prog_bar=True, sync_dist=True)
        log("train/top1", self.training_accuracy)

    def on_train_epoch_end(self) -> None:
        """Report, after the first epoch, what was trained without a gradient."""
        if self._gradients is not None and (line := self._gradients.unreached()):
            self.report(f"warning: {line}")
        self._gradients = None

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Make a step, and let the average and adapters that follow a schedule see it.

        Raises:
            AllRanksError: The loss, a gradient or the learning rate is too large.
        """
        try:
            super().optimizer_step(*args, **kwargs)
        except RuntimeError as error:  # what AdamW raises for a rate such as 1e38
            if "without overflow" not in str(error):
                raise
            raise AllRanksError(
                f"step {self.trainer.global_step + 1}: training.learning_rate: expected one that "
                f"single precision can hold, got {self.config.peak_rate:g}; lower it"
            ) from error
        after_step(self.recognizer, step=self.trainer.global_step)
        if self._average is not None:
            self._average.follow(steps=self.trainer.global_step + 1)

    def on_validation_start(self) -> None:
        """Validate the average, where there is one, of weights that are finite."""
        learned = self.recognizer.learned_tensors()
        require_finite(learned, f"weights after step {self.trainer.global_step}")
        if self._average is not None:
            self._average.exchange()

    def on_validation_end(self) -> None:
        """Go on learning with what was learned last, if the validation's loss is finite."""
        if self._average is not None:
            self._average.exchange()
        if self.trainer.state.fn != TrainerFn.FITTING:  # a mean of epochs, which may be worse
            return
        losses = {k: v for k, v in self.trainer.callback_metrics.items() if k == "val/loss"}
        require_finite(losses, f"validation of epoch {self.trainer.current_epoch + 1}")

    def _statistics(self) -> dict[str, Tensor]:
        """What norms gather, by name."""
        learned = self.recognizer.learned_tensors()
        return {n: t for n, t in learned.items() if not isinstance(t, Parameter)}

    def validation_step(self, batch: Batch | FeatureBatch, batch_index: int) -> None:
        """Add a batch to the validation's figures."""
        counted = self._counted_of(batch, batch_index)
        # Of a batch that is only there to wait for other ranks a loss is logged that weighs 0.
        batch = first_of(batch, counted or len(batch.samples))
        if isinstance(batch, FeatureBatch):
            logits, loss = self._from_features(batch)
        else:
            logits, loss = self._answer(*self._images_and_labels(batch))
        if counted and batch.labels is not None:
            self.validation_accuracy.update(logits, batch.labels)
        self.log("val/loss", loss, batch_size=counted, sync_dist=True)
        self.log("val/top1", self.validation_accuracy, batch_size=counted, prog_bar=True)

    def _counted_of(self, batch: Batch | FeatureBatch, batch_index: int) -> int:
        """The clips of a batch of validation that no other rank counts."""
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        size = len(batch.samples)
        before = batch_index * data.options["batch_size"]
        return max(0, min(size, data.counted_in_validation - before))

    def configure_optimizers(self) -> Any:
        """The optimizer, with a warm-up and a cosine by step."""
        optimizer = make_optimizer(self.recognizer, self.config, world_size=self.trainer.world_size)
        steps = int(self.trainer.estimated_stepping_batches)
        warmup = min(steps - 1, round(steps * self.config.warmup_epochs / self.config.epochs))

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / (warmup + 1)
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what adapters remember from step to step, and the moving average.

        Raises:
            AllRanksError: Something that was learned is not finite.
        """
        checkpoint["adapters"] = training_state(self.recognizer)
        if self._average is not None:
            checkpoint[AVERAGE] = self._average.tensors
        checkpoint["skipped_batches"] = self._guard.skipped
        parts = {name: checkpoint[name] for name in LEARNED if name in checkpoint}
        require_finite(parts, f"checkpoint after step {self.trainer.global_step}")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what adapters remembered, and the moving average, until training starts."""
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        at_another_division(checkpoint, batches=data.batches_of_an_epoch)
        self._resumed_adapters = checkpoint.get("adapters", {})
        self._resumed_average = checkpoint.get(AVERAGE, {})
        self._guard.skipped = checkpoint.get("skipped_batches", 0)

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Any]:
        """What is learned, by name; the frozen backbone is not written into checkpoints."""
        return {name: t.detach() for name, t in self.recognizer.learned_tensors().items()}

    def validated_tensors(self) -> dict[str, Tensor]:
        """What is learned, by name, as it is validated and kept: the average where there is one."""
        return self.state_dict() if self._average is None else self._average.tensors

    def become(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what training has ended with; what it averaged on the way is over."""
        self._average = None
        self.load_state_dict(tensors)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Take over what was learned.

        Raises:
            RunError: The checkpoint holds other tensors than this network learns.
        """
        learned = self.recognizer.learned_tensors()
        differing = sorted(
            name
            for name in learned.keys() | state_dict.keys()
            if name not in learned
            or name not in state_dict
            or learned[name].shape != state_dict[name].shape
        )
        if differing:
            raise RunError(
                f"checkpoint: expected the {len(learned)} learned tensors of this recipe, "
                f"{len(differing)} differ ({listed(differing)}); "
                "resume with the recipe that the run was started with"
            )
        with torch.no_grad():
            for name, tensor in learned.items():
                tensor.copy_(state_dict[name])

    def loss(self, batch: Batch) -> Tensor:
        """What training takes the gradient of, a scalar."""
        return self._learn_from(batch)[1]

    def _learn_from(self, batch: Batch | FeatureBatch) -> tuple[Tensor, Tensor]:
        if isinstance(batch, FeatureBatch):
            return self._from_features(batch, **self._objective)
        images, targets = self._images_and_labels(batch)
        if self.config.mixup or self.config.cutmix:
            images, targets = mix_clips(
                images,
                targets,
                mixup=self.config.mixup,
                cutmix=self.config.cutmix,
                num_classes=len(self.recognizer.labels),
            )
        logits, loss = self._answer(images, targets, **self._objective)
        return logits, loss if self.teacher is None else self.teacher.blended(loss, logits, batch)

    def _images_and_labels(self, batch: Batch) -> tuple[list[Tensor | None], Tensor]:
        if batch.labels is None:
            raise DatasetError(f"training: expected a label for each of {batch.samples}")
        normalize = self.recognizer.normalize
        images = [None if x is None else normalize(x) for x in (batch.rgb, batch.events)]
        return images, batch.labels

    def _answer(
        self, images: list[Tensor | None], targets: Tensor, **objective: Any
    ) -> tuple[Tensor, Tensor]:
        return self._loss_of(self.recognizer(*images), targets, objective)

    def _from_features(self, batch: FeatureBatch, **objective: Any) -> tuple[Tensor, Tensor]:
        assert batch.labels is not None  # a manifest's samples have labels
        network = cast(MomentwiseNetwork, self.recognizer.network)
        output = network.conclude(batch.encoded)
        return self._loss_of(output, batch.labels, objective)

    def _loss_of(
        self, output: Output, targets: Tensor, objective: Mapping[str, Any]
    ) -> tuple[Tensor, Tensor]:
        """Scores, and the loss of them; `objective` is what `cross_entropy` takes in training."""
        logits, terms, by_view = output
        objective = {
            name: value.to(logits) if isinstance(value, Tensor) else value
            for name, value in objective.items()
        }
        loss = mean_cross_entropy(logits, targets, objective)
        view_weight = self.view_weight(self.global_step)
        if view_weight and by_view:
            loss = self.config.joint_weight * loss
            for scores in by_view.values():
                own = mean_cross_entropy(scores, targets, objective)
                loss = loss + view_weight * own
        weights = {"reconstruction": self.config.reconstruction_weight}
        for name, term in terms.items():
            loss = loss + weights[name] * term
        return logits, loss

    def view_weight(self, step: int) -> float:
        """The weight of the views' own cross-entropies after this number of steps."""
        first, last = self.config.view_weight, self.config.view_weight_end
        return first if last is None else first + (last - first) * step / self.total_steps


def first_of(batch: Batch | FeatureBatch, count: int) -> Batch | FeatureBatch:
    """The first clips of a batch."""
    labels = None if batch.labels is None else batch.labels[:count]
    samples = batch.samples[:count]
    if isinstance(batch, FeatureBatch):
        encoded = {name: features[:count] for name, features in batch.encoded.items()}
        return FeatureBatch(encoded, labels, samples)
    rgb, events = (
        None if images is None else images[:count] for images in (batch.rgb, batch.events)
    )
    return Batch(rgb, events, labels, samples)
