"""What networks are built from: keys of a recipe, read without torch."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import Discriminator, Field, PositiveInt, Tag, field_validator

from evlora.config import Config
from evlora.limits import limits, raising, require_bounded_options
from evlora.models.adapters.config import AdapterConfig

PRETRAINED, RANDOM = "pretrained", "random"

PARAMETERS_OF_A_BLOCK, USUAL_DEPTH, USUAL_WIDTH = 12, 12, 768
"""Parameters of a block over its squared width; depth and width of a ViT-B."""

Modality = Literal["rgb", "event"]
Pool = Literal["token", "mean", "map"]
Checkpointing = Literal["none", "ffn", "block"]
Idea = Literal["ffn", "attention", "convolution"]
IDEAS: tuple[Idea, ...] = ("ffn", "attention", "convolution")
"""Parts of a network that `evlora.models.fast` computes."""
Temporal = Literal["mean", "attention", "transformer"]
BesideMean = Literal["trend", "change"]


class BackboneConfig(Config):
    """Which frozen network, and where its weights come from."""

    name: str = "vit_base_patch16_clip_quickgelu_224.openai"
    """A ViT of timm, with or without the tag of its weights, or on the hub as hf_hub:USER/NAME; or
    evlora_nano, evlora's own."""
    weights: str = PRETRAINED
    """`pretrained` (from the hub; evlora_nano's ship with evlora), `random`, or a weight
    file: .safetensors, or .pt of tensors."""
    prefix: str = ""
    """What stands before the backbone's names in a weight file that holds several networks, such
    as event_encoder; the only one is found without it."""
    options: dict[str, int | float | str | bool] = Field(default_factory=dict)
    """More arguments of timm's constructor, such as depth and embed_dim, for a ViT of your own."""

    @field_validator("options")
    @classmethod
    def _are_bounded(cls, options: dict[str, Any]) -> dict[str, Any]:
        require_bounded_options(options)
        depth, width = (float(options.get(key, 0)) for key in ("depth", "embed_dim"))
        parameters = PARAMETERS_OF_A_BLOCK * (depth or USUAL_DEPTH) * (width or USUAL_WIDTH) ** 2
        if parameters > limits().parameters:
            raise ValueError(
                f"expected a backbone of at most {limits().parameters:,} parameters, got about "
                f"{parameters:,.0f}; {raising('parameters')}"
            )
        return options


class VELoRAConfig(Config):
    """The adapters of the network, and which stages it has."""

    network: Literal["velora"] = "velora"
    """Which network this is."""
    adapter: AdapterConfig = Field(default_factory=AdapterConfig)
    """The modality-specific adapter."""
    adapter_per_view: bool = True
    """Whether every view has a set of adapters of its own; if not, all views share one."""
    shared_adapter: AdapterConfig = Field(default_factory=lambda: AdapterConfig(rank=8, alpha=16))
    """The LoRA of the modality-shared stage."""
    difference: bool = True
    """Whether the frame difference is a view of its own."""
    reconstruction: bool = True
    """Whether each modality's tokens must predict the other's."""
    shared_stage: bool = True
    """Whether the views are fused by the modality-shared stage; if not, the head sees them all."""
    high_blocks: int = 1
    """How many of the backbone's last blocks come after the fusion."""
    pool: Pool = "token"
    """What stands for an image: its class token, the mean of its patches, or `map`, what the
    backbone's own attention pooling makes of them (SigLIP)."""
    fixed_targets: bool = False
    """Whether the tokens that reconstruction predicts get no gradient from it: then a modality
    that shows little cannot blunt the other one."""
    beside_mean: tuple[BesideMean, ...] = ()
    """What each view keeps of its moments beside their mean: `trend`, the slope of its tokens from
    the first moment to the last, which knows their order, and `change`, how much they differ from
    one moment to the next; each through a pair of low rank that starts at zero."""
    beside_mean_rank: int = Field(default=8, gt=0, le=1 << 12)
    """The rank of these pairs."""
    active_patches: PositiveInt | None = None
    """How many patches of an event image and of a difference the low-level blocks see by
    themselves: the most active ones, all others as one; null, or as many as there are, is all."""
    active_difference_patches: PositiveInt | None = None
    """How many of a difference, which bears fewer; null is as many as of an event image."""
    thin_answers: bool = True
    """Whether answers too see those patches only; if not, training alone does, and costs less
    accuracy."""


class SingleStreamConfig(Config):
    """One adapted backbone over the moments of a clip, and what joins them."""

    network: Literal["single_stream"] = "single_stream"
    """Which network this is."""
    adapter: AdapterConfig = Field(default_factory=AdapterConfig)
    """The adapter of the backbone."""
    pool: Pool = "token"
    """What stands for an image: its class token, the mean of its patches, or `map`, what the
    backbone's own attention pooling makes of them (SigLIP)."""
    temporal: Temporal = "mean"
    """How the moments are joined: their mean, attention with a learned query, or a transformer of
    one block, the only one of the three that knows their order."""
    head: Literal["linear", "norm_linear"] = "linear"
    """The classifier: a linear layer, or one behind a batch norm without weights."""


class PublishedConfig(Config):
    """What the released checkpoint states, and one thing that it does not."""

    network: Literal["published"] = "published"
    """Which network this is."""
    adapter: AdapterConfig = Field(
        default_factory=lambda: AdapterConfig(method="lora", sites="ffn", rank=4, alpha=8)
    )
    """The LoRA of each vision tower."""
    projected_width: int = Field(default=512, gt=0, le=1 << 14)
    """Width of CLIP's image embeddings, to which the towers' tokens are projected."""
    normalization: Literal["clip", "half"] = "clip"
    """How images become the network's input: by CLIP's mean and standard deviation, or by a half
    for both."""


def _network_of(config: Any) -> str:
    if isinstance(config, Mapping):
        return str(cast(Mapping[str, Any], config).get("network", "velora"))
    return str(getattr(config, "network", config))


NetworkConfig = Annotated[
    Annotated[VELoRAConfig, Tag("velora")]
    | Annotated[SingleStreamConfig, Tag("single_stream")]
    | Annotated[PublishedConfig, Tag("published")],
    Discriminator(
        _network_of,
        custom_error_type="unknown_network",
        custom_error_message="expected velora or single_stream",
    ),
]
"""The configuration of a network; the key `network` picks the kind, `velora` by default.
A recipe may name velora or single_stream; published stands in the bundles of that checkpoint."""
