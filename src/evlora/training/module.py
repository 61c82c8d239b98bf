"""One step of learning, for Lightning's Trainer: objective, optimizer, and what is saved."""

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import SGD, AdamW, Optimizer
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
from evlora.recipe.schema import TrainingConfig
from evlora.recognizer import Recognizer
from evlora.training.averaging import MovingAverage
from evlora.training.features import FeatureBatch
from evlora.training.mixup import mix_clips

SGD_MOMENTUM = 0.9
AVERAGE = "average"
"""Under this name checkpoints hold the moving average, where there is one."""


class RecognizerModule(LightningModule):
    """Cross-entropy plus the weighed terms of the network; only what is learned is kept."""

    def __init__(self, recognizer: Recognizer, config: TrainingConfig, *, seed: int) -> None:
        super().__init__()
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

    def on_train_start(self) -> None:
        """Begin the moving average, and tell adapters such as AdaLoRA how long the run is."""
        if self.config.ema:
            learned = self.recognizer.learned_tensors()
            self._average = MovingAverage(learned, decay=self.config.ema)
            if self._resumed_average:
                self._average.load(self._resumed_average)
        steps = int(self.trainer.estimated_stepping_batches)
        begin_training(self.recognizer, total_steps=steps)
        if self._resumed_adapters:
            load_training_state(self.recognizer, self._resumed_adapters)

    def on_fit_start(self) -> None:
        """Fill the caches of features, on the device and in the precision of the run."""
        data: Any = getattr(self.trainer, "datamodule", None)
        if data is not None:
            data.fill_caches(self.recognizer, self.trainer.precision_plugin.forward_context)

    def training_step(self, batch: Batch | FeatureBatch, batch_index: int) -> Tensor:
        """The loss of a batch, a scalar."""
        # Dropout is a function of seed and step, so that a resumed run repeats it.
        step = self.seed * 1_000_003 + self.trainer.global_step
        torch.manual_seed(step * self.trainer.world_size + self.global_rank)
        logits, loss = self._learn_from(batch)
        self.training_accuracy(logits, batch.labels)
        size = len(batch.samples)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=size, prog_bar=True)
        self.log(
            "train/top1", self.training_accuracy, on_step=False, on_epoch=True, batch_size=size
        )
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Make a step, and let the average and adapters that follow a schedule see it."""
        super().optimizer_step(*args, **kwargs)
        after_step(self.recognizer, step=self.trainer.global_step)
        if self._average is not None:
            self._average.follow(steps=self.trainer.global_step + 1)

    def on_validation_start(self) -> None:
        """Validate the average, where there is one."""
        if self._average is not None:
            self._average.exchange()

    def on_validation_end(self) -> None:
        """Go on learning with what was learned last."""
        if self._average is not None:
            self._average.exchange()

    def validation_step(self, batch: Batch | FeatureBatch, batch_index: int) -> None:
        """Add a batch to the validation's figures."""
        if isinstance(batch, FeatureBatch):
            logits, loss = self._from_features(batch)
        else:
            logits, loss = self._answer(*self._images_and_labels(batch))
        self.validation_accuracy(logits, batch.labels)
        size = len(batch.samples)
        self.log("val/loss", loss, batch_size=size, sync_dist=True)
        self.log("val/top1", self.validation_accuracy, batch_size=size, prog_bar=True)

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
        """Add what adapters remember from step to step, and the moving average."""
        checkpoint["adapters"] = training_state(self.recognizer)
        if self._average is not None:
            checkpoint[AVERAGE] = self._average.tensors

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what adapters remembered, and the moving average, until training starts."""
        self._resumed_adapters = checkpoint.get("adapters", {})
        self._resumed_average = checkpoint.get(AVERAGE, {})

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Any]:
        """What is learned, by name; the frozen backbone is not written into checkpoints."""
        return {name: t.detach() for name, t in self.recognizer.learned_tensors().items()}

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
            return self._from_features(batch, label_smoothing=self.config.label_smoothing)
        images, targets = self._images_and_labels(batch)
        if self.config.mixup:
            images, targets = mix_clips(
                images,
                targets,
                strength=self.config.mixup,
                num_classes=len(self.recognizer.labels),
            )
        return self._answer(images, targets, label_smoothing=self.config.label_smoothing)

    def _images_and_labels(self, batch: Batch) -> tuple[list[Tensor | None], Tensor]:
        if batch.labels is None:
            raise DatasetError(f"training: expected a label for each of {batch.samples}")
        normalize = self.recognizer.normalize
        images = [None if x is None else normalize(x) for x in (batch.rgb, batch.events)]
        return images, batch.labels

    def _answer(
        self, images: list[Tensor | None], targets: Tensor, *, label_smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        return self._loss_of(self.recognizer(*images), targets, label_smoothing=label_smoothing)

    def _from_features(
        self, batch: FeatureBatch, *, label_smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        assert batch.labels is not None  # a manifest's samples have labels
        network = cast(MomentwiseNetwork, self.recognizer.network)
        output = network.conclude(batch.encoded)
        return self._loss_of(output, batch.labels, label_smoothing=label_smoothing)

    def _loss_of(
        self, output: Output, targets: Tensor, *, label_smoothing: float
    ) -> tuple[Tensor, Tensor]:
        logits, terms, by_view = output
        loss = cross_entropy(logits, targets, label_smoothing=label_smoothing)
        if self.config.view_weight:
            for scores in by_view.values():
                own = cross_entropy(scores, targets, label_smoothing=label_smoothing)
                loss = loss + self.config.view_weight * own
        weights = {"reconstruction": self.config.reconstruction_weight}
        for name, term in terms.items():
            loss = loss + weights[name] * term
        return logits, loss


def make_optimizer(
    recognizer: Recognizer, config: TrainingConfig, *, world_size: int = 1
) -> Optimizer:
    """The optimizer over what is trained, at its peak learning rate.

    Args:
        recognizer: What is trained.
        config: Which optimizer, and its numbers.
        world_size: Devices that take a step together.
    """
    trained = list(recognizer.trained_tensors().values())
    groups = [
        {"params": [p for p in trained if p.ndim > 1]},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rate = config.learning_rate
    if config.learning_rate_per_256:
        rate *= config.batch_size * world_size / 256
    if config.optimizer == "sgd":
        return SGD(groups, lr=rate, momentum=SGD_MOMENTUM, weight_decay=config.weight_decay)
    return AdamW(groups, lr=rate, weight_decay=config.weight_decay)
