"""What a recognizer is built from: keys of a recipe, read without torch."""

from pydantic import Field

from evlora.clips.config import ClipConfig
from evlora.config import Config
from evlora.models.config import BackboneConfig, NetworkConfig, VELoRAConfig


class RecognizerConfig(Config):
    """Everything that a recognizer is built from."""

    clip: ClipConfig = ClipConfig()
    """How a recording becomes what the network eats."""
    backbone: BackboneConfig = BackboneConfig()
    """The frozen network and where its weights come from."""
    model: NetworkConfig = Field(default_factory=VELoRAConfig)
    """The network on it, its adapters and its parts."""
