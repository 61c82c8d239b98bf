"""What single methods that peft has add to the contract."""

from typing import Any, cast

import pytest
from adapter_networks import base
from peft import C3AConfig, GraloraConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from pydantic import ValidationError

from evlora.errors import AdapterError
from evlora.models.adapters import METHODS, AdapterConfig, adapt
from evlora.models.adapters.from_peft.refused import REFUSED
from evlora.models.adapters.from_peft.row import row_of


@pytest.mark.parametrize("method", ["oft", "boft"])
def test_a_block_that_does_not_divide_a_width_is_refused(method: str) -> None:
    config = AdapterConfig(method=method, options={"block_size": 7})
    words = (
        r"block_size: expected a divisor.*got 7, and .*attn\.qkv takes 24; of use there: 8, 4, 2"
    )
    with pytest.raises(AdapterError, match=words):
        adapt(base("vit"), config, name="vit")


def test_boft_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("tried to compile")

    monkeypatch.setattr("torch.utils.cpp_extension.load", fail)
    adapt(base("vit"), AdapterConfig(method="boft"), name="vit")


def test_ia3_has_a_vector_on_the_hidden_features_of_the_ffn() -> None:
    network = adapt(base("vit"), AdapterConfig(method="ia3"), name="vit")
    vectors = [(n, p) for n, p in network.named_parameters() if "ia3_l" in n and "blocks.0." in n]
    shapes = {name.split("blocks.0.")[1]: tuple(vector.shape) for name, vector in vectors}
    assert shapes == {"attn.qkv.ia3_l.default": (72, 1), "mlp.fc2.ia3_l.default": (1, 96)}


def test_the_first_factor_of_lora_fa_stays_frozen_when_adapters_are_switched() -> None:
    network = cast(Any, adapt(base("vit"), AdapterConfig(method="lora_fa"), name="vit"))
    with network.disable_adapter():
        pass
    network.set_adapter("default")
    trained = [name for name, p in network.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_B" in name for name in trained)


@pytest.mark.parametrize("method", REFUSED)
def test_a_method_for_language_models_is_refused_with_the_reason(method: str) -> None:
    with pytest.raises(AdapterError, match=f"{method} of peft does not suit a vision transformer"):
        AdapterConfig(method=method)


def test_every_method_of_peft_has_a_row_or_a_reason() -> None:
    known = {member.value.lower() for member in PEFT_TYPE_TO_CONFIG_MAPPING}
    assert known <= METHODS.keys() | REFUSED.keys()


def test_a_row_has_the_fields_of_the_dataclass_as_settings_and_options() -> None:
    row = row_of(GraloraConfig, defaults={"rank": 4, "k": 4})
    assert row.settings == {"rank": "r", "alpha": "alpha", "dropout": "gralora_dropout"}
    assert row.default_settings()["rank"] == 4
    assert row.options().model_dump() == {"hybrid_r": 0, "k": 4}


def test_a_row_never_starts_a_method_as_pefts_own_tests_do() -> None:
    options = row_of(C3AConfig).options
    assert options.model_validate({"init": True}).model_dump()["init"] is True
    with pytest.raises(ValidationError, match="init"):
        options.model_validate({"init": False})
    assert "init" not in row_of(GraloraConfig).options.model_fields
