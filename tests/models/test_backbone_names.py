"""A mistyped backbone is refused by timm's files as timm itself refuses it."""

import pytest
import timm

from evlora.errors import BackboneError
from evlora.models import BackboneConfig, build_backbone
from evlora.models.backbone_names import (
    REGISTERED,
    TESTED,
    VITS,
    require_backbone_name,
    texts_of_timm,
)


@pytest.mark.parametrize("module", VITS)
def test_the_vits_of_timms_files_are_those_that_timm_lists(module: str) -> None:
    assert set(REGISTERED.findall(texts_of_timm()[module])) >= set(timm.list_models(module=module))


@pytest.mark.parametrize(
    "name",
    [
        *TESTED,
        "evlora_nano",
        "hf_hub:somebody/something",
        "vit_tiny_patch16_224",
        "vit_base_patch16_224_in21k",  # a former name, which timm still takes
        "resnet50",  # no ViT, which building it reports
    ],
)
def test_a_name_that_timm_may_have_is_no_mistake_yet(name: str) -> None:
    require_backbone_name(name)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_225", "vit_of_nobody", "Resnet5000.a", "lora"])
def test_a_name_that_timm_does_not_have_is_refused_in_the_same_words(name: str) -> None:
    with pytest.raises(BackboneError, match=f"timm has no model '{name}'; ") as early:
        require_backbone_name(name)
    with pytest.raises(BackboneError) as late:
        build_backbone(BackboneConfig(name=name, weights="random"), size=(32, 32))
    assert str(early.value).split("; ")[-1] == str(late.value).split("; ")[-1]
    assert str(early.value).startswith(str(late.value).partition(";")[0])
