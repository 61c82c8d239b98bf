"""A method's settings and options are those of peft's dataclass, with one place for a default."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from peft import LoraConfig, PeftConfig, VeraConfig, get_peft_model
from pydantic import ValidationError
from torch import nn

from evlora.config import Config
from evlora.models.adapters import METHODS, AdapterConfig
from evlora.models.adapters.method import Method, Settings, options_of
from evlora.models.adapters.methods import lora, vera


@dataclass
class ExampleConfig(PeftConfig):
    size: int = field(default=3, metadata={"help": "How large."})
    kind: Literal["a", "b"] = "b"
    names: list[str] = field(default_factory=lambda: ["x"])


class Further(Config):
    half: float = 0.5
    """No field of the dataclass."""


def test_options_have_type_default_and_description_of_the_fields() -> None:
    options = options_of(ExampleConfig, "kind", "names", width="size", more=Further)
    assert options().model_dump() == {"half": 0.5, "kind": "b", "names": ["x"], "width": 3}
    assert options.model_fields["width"].description == "How large."
    with pytest.raises(ValidationError, match=r"Input should be 'a' or 'b'"):
        options.model_validate({"kind": "c"})
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        options.model_validate({"size": 4})  # its name here is width


def test_an_option_has_a_lower_bound_where_one_is_given() -> None:
    options = options_of(ExampleConfig, "size", at_least={"size": 2})
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        options.model_validate({"size": 1})


def test_the_peft_configuration_has_what_is_set_fixed_and_computed() -> None:
    method = Method(
        ExampleConfig,
        settings={"rank": "size"},
        options=options_of(ExampleConfig, "kind"),
        computed=lambda settings: {"names": ["y"] * settings.rank},
    )
    assert method.default_settings() == {"rank": 3}
    options = method.options.model_validate({"kind": "a"})
    config = method.peft_config(Settings(None, 2, 0.0, 0.0, options))
    assert isinstance(config, ExampleConfig)
    assert (config.size, config.kind, config.names) == (2, "a", ["y", "y"])


def test_a_default_is_pefts_unless_the_row_has_another() -> None:
    assert vera.METHOD.default_settings()["rank"] == VeraConfig().r
    assert lora.METHOD.default_settings()["alpha"] == LoraConfig().lora_alpha
    assert lora.METHOD.default_settings()["rank"] == 4 != LoraConfig().r


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if row.config])
def test_no_row_repeats_a_default_of_peft(method: str) -> None:
    row = METHODS[method]
    bare: Any = row.peft_config(AdapterConfig(method=method).settings())
    names = {row.settings[name]: value for name, value in row.defaults.items()}
    fields = type(bare).__dataclass_fields__
    assert [name for name, value in names.items() if fields[name].default == value] == []


@pytest.mark.parametrize("method", METHODS)
def test_every_option_that_is_a_field_of_peft_has_its_description(method: str) -> None:
    options = METHODS[method].options
    own = getattr(options.__base__, "model_fields", {})  # a sentence stands under these
    fields = {name: option for name, option in options.model_fields.items() if name not in own}
    assert [name for name, option in fields.items() if not option.description] == []


def test_an_option_of_lora_is_one_word_in_its_row(tmp_path: Path) -> None:
    stable = Method(
        LoraConfig,
        sites="linear",
        settings=lora.METHOD.settings,
        options=options_of(LoraConfig, rslora="use_rslora", init="init_lora_weights"),
    )
    network = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    options = stable.options.model_validate({"rslora": True, "init": "pissa"})
    config = stable.peft_config(Settings("linear", 4, 8.0, 0.0, options), network)
    get_peft_model(network, config).save_pretrained(str(tmp_path))
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (saved["use_rslora"], saved["init_lora_weights"], saved["r"]) == (True, "pissa", 4)
    with pytest.raises(ValidationError, match="init"):
        stable.options.model_validate({"init": "piza"})
