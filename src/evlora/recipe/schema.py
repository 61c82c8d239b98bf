"""The keys of a recipe: what is learned from, how, and where it is written."""

from pathlib import Path
from typing import Any, Literal, Self, cast

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from evlora.config import Config, UserPath, expanded
from evlora.datasets.bucket import CACHE_GB
from evlora.errors import RecipeError
from evlora.models.config import IDEAS, Checkpointing, Idea, NetworkConfig
from evlora.recipe.rows import keys_of_row
from evlora.recognizer_config import RecognizerConfig


class DataConfig(Config):
    """A prepared dataset and how it is read."""

    root: str | None = None
    """The folder that `evlora prepare` made; a packed one may lie in a bucket:
    s3://BUCKET/FOLDER."""
    source: UserPath | None = None
    """Where the recordings lie now, if they moved since they were prepared."""
    decides: bool = False
    """Whether keys that the recipe does not set follow from the dataset: modalities, frames and
    size of clips; epochs, keep and learning rate of training; and the validation fraction."""
    shots: PositiveInt | None = None
    """Training samples of each class, chosen by the seed; all of them by default."""
    balanced: bool = False
    """Whether an epoch draws clips of every class equally often, those of rare ones repeatedly."""
    validation_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Part of the training split held out to choose the best epoch, where there is no val split;
    0 holds out nothing, for training.keep: last."""
    validation_apart: str | None = None
    """A column of the dataset's table, such as subject, no value of which is both in what is held
    out and in what trains; by default each class gives its part."""
    cache: UserPath | None = None
    """Folder to keep what is fetched from a bucket; a temporary one where none is named."""
    cache_gb: PositiveFloat = CACHE_GB
    """How large the cache may grow, in GB."""
    workers: NonNegativeInt = 0
    """Processes that read and render clips; 0 does it in the training process."""
    memory_mb: NonNegativeFloat = 256.0
    """Megabytes of recordings of each split that such a process keeps once it has read them, so
    that later epochs need not read them again; of videos their index is kept, not the pixels."""

    @field_validator("root", mode="before")
    @classmethod
    def _is_text(cls, root: object) -> object:
        text = str(root) if isinstance(root, Path) else root
        return expanded(text) if isinstance(text, str) else text


class DistillationConfig(Config):
    """Another recognizer whose answers are learned beside the labels (Hinton et al., 2015)."""

    bundle: UserPath | None = None
    """Its bundle, or the folder of its run, with the same labels and clips; by default none."""
    weight: float = Field(default=0.5, gt=0, le=1)
    """Its share in the loss; the labels have the rest."""
    temperature: PositiveFloat = 2.0
    """By which the scores of both are divided before they are compared; larger ones show more of
    what it holds for less probable."""


def _found(key: str, value: float | Literal["auto"]) -> float:
    if value == "auto":
        raise RecipeError(
            f"training.{key}: expected a number here, got auto, which `evlora train` alone finds; "
            f"set training.{key} to what it has found, which stands in its run's recipe.yaml"
        )
    return value


class TrainingConfig(Config):
    """How the trained part learns."""

    epochs: PositiveInt = 50
    """Passes over the training split. A finished run can be resumed with more of them."""
    start_from: UserPath | None = None
    """A bundle, or the folder of a run, whose learned weights this run begins with; the head
    begins anew where the labels differ."""
    batch_size: PositiveInt | Literal["auto"] = 8
    """Clips of each device in a batch; `auto` finds the largest power of two that fits into the
    GPU's memory."""
    accumulate: PositiveInt = 1
    """Batches whose gradients are added up for one step, where a larger one does not fit into the
    device's memory: the effective batch is batch_size times this times the number of devices."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or stochastic gradient descent with a momentum of 0.9."""
    learning_rate: PositiveFloat | Literal["auto"] = 1e-3
    """Peak learning rate; `auto` takes a tenth of the one at which the loss is lowest in a test of
    100 steps."""
    learning_rate_per_256: bool = False
    """Whether `learning_rate` is meant for 256 clips a step, and is scaled to as many as there are
    on all devices together."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """What each block's learning rate is of that of the block above it; the head has the whole
    rate."""
    loraplus_ratio: PositiveFloat = 1.0
    """What the learning rate of the second half of each low-rank pair, which starts at zero, is of
    that of the first half: LoRA+ (Hayou et al., ICML 2024), whose authors take 16."""
    vector_ratio: PositiveFloat = 1.0
    """What the learning rate of an Lv-Adapter's vectors and shifts is of that of its pairs."""
    weight_decay: NonNegativeFloat = 1e-4
    """Weight decay, on matrices only."""
    warmup_epochs: NonNegativeFloat = 1.0
    """Epochs over which the learning rate rises to its peak; then it falls as a cosine to zero."""
    keep: Literal["best", "last"] = "best"
    """Which epoch becomes the bundle: the best one on the val split, ties broken by its loss there
    and then for the latest, or the last one."""
    average_best: PositiveInt = 1
    """Epochs, the best ones on the val split, whose learned weights are averaged when the run ends;
    the mean becomes the bundle if it is at least as good there as the best epoch, which 1 keeps
    alone."""
    patience: NonNegativeInt = 0
    """Epochs in a row without a better accuracy on the val split after which the run ends early;
    0 trains all epochs."""
    checkpoint_minutes: NonNegativeFloat = 10.0
    """Minutes between checkpoints inside an epoch, from which a killed run goes on; 0 writes one
    after every step."""
    gradient_clip: NonNegativeFloat = 1.0
    """Largest norm of the gradient; 0 leaves it alone."""
    skip_batches: NonNegativeInt = 0
    """Batches of a run that may be skipped because their loss or gradients are infinite or NaN; the
    next one ends it."""
    reconstruction_weight: NonNegativeFloat = 1.0
    """Weight of the reconstruction term beside the cross-entropy."""
    view_weight: NonNegativeFloat = 0.0
    """Weight of a cross-entropy of each view's own part of the scores, beside that of their sum:
    every modality learns, although another one might suffice (Wang et al., CVPR 2020); 0 for
    none."""
    view_weight_end: NonNegativeFloat | None = None
    """What `view_weight` becomes by equal steps until the end of the run, such as 0, so that the
    sum has the last word; null leaves it unchanged."""
    joint_weight: NonNegativeFloat = 1.0
    """Weight of the cross-entropy of the views' sum where they have some of their own: with 0 and
    a view weight of 1 each view learns by itself, and the sum of their scores is the answer."""
    mixup: NonNegativeFloat = 0.0
    """Each clip is blended with another one of its batch, both modalities alike, in a proportion
    drawn from Beta(mixup, mixup) (Zhang et al., ICLR 2018); 0 for none."""
    cutmix: NonNegativeFloat = 0.0
    """Each clip gets a box of another one of its batch, the same in both modalities and at each
    moment, of an area drawn from Beta(cutmix, cutmix) (Yun et al., ICCV 2019); 0 for none. With
    mixup as well, one of the two is drawn for each batch."""
    class_weights: Literal["none", "balanced"] = "none"
    """Whether each class weighs as much as any other one in the loss, however few training clips it
    has: balanced."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target spread over all classes."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """What a moving average of all that is learned keeps in each step, such as 0.999; the average
    is what is validated and kept. 0 for none."""
    distillation: DistillationConfig = DistillationConfig()
    """A larger recognizer that is learned from as well."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Lightning's precision."""
    fast: tuple[Idea, ...] = IDEAS
    """Which halves of a block are computed with less time and memory, and the same numbers; [] for
    none. See docs/performance.md."""
    checkpointing: Checkpointing = "none"
    """What is computed again on the way back instead of kept: none, the hidden features of each
    ffn, or all of each block."""
    cache_features: str = "off"
    """Whether features that nothing trained has a part in are computed once and kept: off,
    memory, or a folder, where later runs find them."""
    cache_variants: PositiveInt | None = None
    """How many draws of each clip cached features hold, where training changes clips at random:
    epoch e uses draw e modulo this number."""
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """Where to train; `cuda` is another name for `gpu`, and `mps` is Apple's."""
    devices: PositiveInt | list[NonNegativeInt] | Literal["auto"] = "auto"
    """How many devices, or the numbers of GPUs, such as [0, 2]; `auto` takes all of them."""
    nodes: PositiveInt = 1
    """How many machines. On each of them the same command is started, by torchrun or srun."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """Whether each of several devices holds the whole backbone (ddp), or a part of its frozen
    weights (fsdp), where it does not fit one."""
    standing_minutes: PositiveFloat = 10.0
    """Minutes that the processes of several devices wait for one that stands still, before the run
    ends."""

    @property
    def clips_of_a_batch(self) -> int:
        """`batch_size`, a number.

        Raises:
            RecipeError: It is still to be found.
        """
        return int(_found("batch_size", self.batch_size))

    @property
    def peak_rate(self) -> float:
        """`learning_rate`, a number.

        Raises:
            RecipeError: It is still to be found.
        """
        return float(_found("learning_rate", self.learning_rate))

    @field_validator("accelerator", mode="before")
    @classmethod
    def _as_devices_are_called(cls, accelerator: object) -> object:
        return "gpu" if accelerator == "cuda" else accelerator

    @model_validator(mode="after")
    def _learns_from_labels(self) -> Self:
        if not self.joint_weight and not self.view_weight:
            raise ValueError(
                "expected joint_weight or view_weight above 0, got 0 for both, which learns from "
                "no label; set view_weight to 1, or leave joint_weight out"
            )
        if self.view_weight_end is not None and not self.view_weight:
            raise ValueError(
                "expected view_weight above 0, from which view_weight_end: "
                f"{self.view_weight_end:g} is reached, got 0; set view_weight, or leave "
                "view_weight_end out"
            )
        return self

    @field_validator("devices")
    @classmethod
    def _are_gpus_once(cls, devices: Any, info: ValidationInfo) -> Any:
        if not isinstance(devices, list):
            return devices
        numbers = cast(list[int], devices)
        if not numbers or len(set(numbers)) < len(numbers):
            raise ValueError(f"expected the numbers of GPUs, each once, got {numbers}")
        if (accelerator := info.data.get("accelerator", "auto")) in ("cpu", "mps"):
            raise ValueError(
                f"expected how many devices where training.accelerator is {accelerator}, got "
                f"{numbers}, the numbers of GPUs"
            )
        return numbers


class RunConfig(Config):
    """Where a run lives."""

    dir: UserPath | None = None
    """The folder that the run fills: recipe, logs, checkpoints, bundle, metrics."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Fixes the run: same seed, same data, same machine, same numbers."""
    with_backbone: bool = False
    """Whether the bundle includes the frozen weights, so that it needs no other file."""
    loggers: list[Literal["wandb", "mlflow"]] = Field(default_factory=list)
    """Where numbers are logged beside CSV and TensorBoard."""
    report: bool = True
    """Whether `evlora train` ends with a page on the run, report.html, measured on the val split if
    there is one."""


class Recipe(RecognizerConfig):
    """A whole run: data, recognizer, training, and the folder that it fills."""

    data: DataConfig = DataConfig()
    """What is learned from."""
    training: TrainingConfig = TrainingConfig()
    """How it is learned."""
    run: RunConfig = RunConfig()
    """Where the run lives, and its seed."""
    comparison: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Rows that `evlora compare` and `evlora demo` train: row → keys of the recipe that it changes.
    `like: ROW` among them starts from another row's keys."""

    @field_validator("comparison")
    @classmethod
    def _with_the_keys_of_other_rows(cls, rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
        return {name: keys_of_row(name, rows) for name in rows}

    @field_validator("model")
    @classmethod
    def _can_be_trained(cls, model: NetworkConfig) -> NetworkConfig:
        if model.network == "published":
            raise ValueError(
                "expected a network to train, got published, the released one with its oddities, "
                "which is there to read its checkpoint (evlora import-published); set "
                "model.network: velora"
            )
        return model

    def recognizer(self) -> RecognizerConfig:
        """The part of the recipe that the recognizer is built from."""
        return RecognizerConfig(clip=self.clip, backbone=self.backbone, model=self.model)
