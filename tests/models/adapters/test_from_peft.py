"""What single methods that peft has add to the contract."""

from typing import Any, cast

import pytest
from adapter_networks import base

from evlora.errors import AdapterError
from evlora.models.adapters import AdapterConfig, adapt


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
