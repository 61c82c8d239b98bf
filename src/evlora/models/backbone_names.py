"""The names of timm's models, read from its files: timm itself takes seconds to import.

Files are searched, not understood: a name that stands in none of them belongs to no model of timm.
One that does may still be refused when timm is asked.
"""

import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from evlora.errors import BackboneError
from evlora.messages import suggestion

NANO = "evlora_nano"
HUB_NAMES = ("hf_hub", "hf-hub")
"""What stands before the colon of a name such as `hf_hub:timm/vit_tiny_patch16_224`."""
LISTING = "`python -c \"import timm; print(timm.list_models('vit*'))\"`"
TESTED = (
    "vit_base_patch16_clip_quickgelu_224.openai",
    "vit_base_patch16_224.augreg_in21k",
    "vit_base_patch14_reg4_dinov2.lvd142m",
    "vit_base_patch16_dinov3.lvd1689m",
    "eva02_base_patch14_224.mim_in22k",
    "vit_base_patch16_siglip_224.v2_webli",
)
"""One of each family at base size, with its weights; docs/backbones.md describes them."""
VITS = ("vision_transformer", "eva")
"""The modules of timm that hold the ViTs which evlora takes."""
REGISTERED = re.compile(r"^@register_model\ndef (\w+)\(", re.MULTILINE)


def require_backbone_name(name: str) -> None:
    """Check that a model of this name can be one of timm's.

    Raises:
        BackboneError: The name, without the tag of its weights, stands in none of timm's files.
    """
    architecture = name.partition(".")[0]
    if name.partition(":")[0] in HUB_NAMES or architecture == NANO:
        return
    files = texts_of_timm()
    word = re.compile(rf"\b{re.escape(architecture)}\b")
    if any(word.search(text) for text in files.values()):
        return
    vits = [found for module in VITS for found in sorted(REGISTERED.findall(files[module]))]
    raise unknown_backbone(name, vits)


def unknown_backbone(name: str, vits: Iterable[str]) -> BackboneError:
    """What is answered where timm has no model of this name, but these ViTs."""
    known = [NANO, *TESTED, *vits]  # those that a message shows come first
    nearest = suggestion(name.partition(".")[0], known, listing=LISTING)
    return BackboneError(f"backbone.name: timm has no model {name!r}; {nearest}")


def texts_of_timm() -> dict[str, str]:
    """The text of each module of its models, by the module's name."""
    found = find_spec("timm")  # which imports nothing
    assert found is not None  # one of evlora's requirements
    assert found.origin is not None
    models = Path(found.origin).parent / "models"
    return {path.stem: path.read_text(encoding="utf-8") for path in models.glob("*.py")}
