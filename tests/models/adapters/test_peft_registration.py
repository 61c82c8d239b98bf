"""What evlora relies on in peft, and registering a method with it.

What is pinned here is peft's own business and no promise of it. When a new peft works otherwise,
these tests fail first, and name the file of ours to look at.
"""

import copy
import inspect
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import EnumType
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft.mapping import (
    PEFT_TYPE_TO_CONFIG_MAPPING,
    PEFT_TYPE_TO_PREFIX_MAPPING,
    PEFT_TYPE_TO_TUNER_MAPPING,
)
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer, check_adapters_to_merge
from peft.utils import register_peft_method
from peft.utils.peft_types import PeftType
from torch import nn

import evlora
from evlora.errors import AdapterError
from evlora.models.adapters.peft_registration import register
from evlora.models.adapters.tuners import TunerConfig

TABLES = (PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING)


RELIED_ON: list[tuple[Any, str, str]] = [
    (register_peft_method, "name config_cls model_cls prefix", "peft_registration.py"),
    (check_adapters_to_merge, "module adapter_names", "lv_adapter/layer.py"),
    (BaseTuner._prepare_adapter_config, "self peft_config model_config", "tuners.py"),
    (BaseTuner._prepare_model, "self peft_config model", "tuners.py"),
    (BaseTuner._check_merge_allowed, "self", "tuners.py"),
    (
        BaseTuner._create_and_replace,
        "self peft_config adapter_name target target_name parent current_key parameter_name",
        "model.py of each tuner",
    ),
    (
        BaseTuner._replace_module,
        "self parent child_name new_module child",
        "adaptformer/model.py",
    ),
    (
        BaseTuner._unload_and_optionally_merge,
        "self merge progressbar safe_merge adapter_names",
        "lv_adapter/model.py",
    ),
    (BaseTuner.merge_adapter, "self adapter_names safe_merge", "lv_adapter/model.py"),
    (BaseTunerLayer.merge, "self safe_merge adapter_names", "lv_adapter/layer.py"),
    (BaseTunerLayer.unmerge, "self", "lv_adapter/layer.py"),
    (BaseTunerLayer.set_adapter, "self adapter_names inference_mode", "layer.py of each tuner"),
    (BaseTunerLayer.get_base_layer, "self", "layer.py of each tuner"),
    (
        BaseTunerLayer._move_adapter_to_device_of_base_layer,
        "self adapter_name device",
        "layer.py of each tuner",
    ),
    (
        BaseTunerLayer._get_base_layer_device_and_dtype,
        "self base_layer",
        "adaptformer/layer.py",
    ),
    (BaseTunerLayer._cast_input_dtype, "self x dtype", "layer.py of each tuner"),
]
"""A function of peft, the parameters that we give or take, and where."""


@pytest.mark.parametrize(
    ("function", "parameters", "file"), RELIED_ON, ids=[row[0].__name__ for row in RELIED_ON]
)
def test_peft_takes_the_parameters_that_are_relied_on(
    function: Any, parameters: str, file: str
) -> None:
    now = list(inspect.signature(function).parameters)
    extra_is_allowed = function is register_peft_method
    assert now[: len(parameters.split())] == parameters.split(), (
        f"peft {peft.__version__}: {function.__qualname__} takes {' '.join(now)} and no longer "
        f"{parameters}; src/evlora/models/adapters/{file} was written for peft 0.21"
    )
    assert extra_is_allowed or len(now) == len(parameters.split()), (
        f"peft {peft.__version__}: {function.__qualname__} takes {' '.join(now)}, more than "
        f"{parameters}; src/evlora/models/adapters/{file} was written for peft 0.21"
    )


def test_pefts_methods_are_an_enumeration_of_strings() -> None:
    words = f"peft {peft.__version__}: see src/evlora/models/adapters/peft_registration.py"
    assert isinstance(PeftType, EnumType), words
    assert issubclass(PeftType, str), words
    assert all(member.value == member.name for member in PeftType), words
    assert list(PeftType._member_map_) == PeftType._member_names_, words
    assert set(PeftType._value2member_map_) == set(PeftType._member_map_), words


def test_a_layers_state_is_what_peft_asks_for_by_name() -> None:
    words = f"peft {peft.__version__}: see layer.py of each tuner in src/evlora/models/adapters"
    attributes = ("adapter_layer_names", "other_param_names", "merged_adapters")
    for name in (*attributes, "_disable_adapters", "_active_adapter"):
        assert hasattr(BaseTunerLayer, name), f"{words}: no {name}"
    for name in ("active_adapters", "disable_adapters", "merged"):
        assert isinstance(vars(BaseTunerLayer)[name], property), f"{words}: {name}"


def test_our_methods_are_known_to_peft() -> None:
    import evlora.models.adapters  # noqa: F401 - whose import registers them

    prefixes = list(PEFT_TYPE_TO_PREFIX_MAPPING.values())
    for name in ("LV_ADAPTER", "ADAPTFORMER", "SSF", "ADAPTER_PLUS", "VPT", "ST_ADAPTER"):
        member = PeftType(name)
        config_class = PEFT_TYPE_TO_CONFIG_MAPPING[member]
        assert config_class().peft_type == member
        assert PEFT_TYPE_TO_TUNER_MAPPING[member].prefix == PEFT_TYPE_TO_PREFIX_MAPPING[member]
        assert prefixes.count(PEFT_TYPE_TO_PREFIX_MAPPING[member]) == 1


@pytest.mark.slow
def test_an_adapter_of_ours_is_loaded_by_pefts_own_classes_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = evlora.LvAdapterConfig(target_modules=["0"])
    model = peft.get_peft_model(nn.Sequential(nn.Linear(4, 4)), config)
    nn.init.ones_(model.base_model.model[0].lv_adapter_up["default"].weight)
    model.save_pretrained(tmp_path)
    program = (
        "import torch, evlora; from peft import PeftModel; from torch import nn; "
        "torch.manual_seed(0); model = nn.Sequential(nn.Linear(4, 4)); evlora.LvAdapterConfig; "
        f"adapted = PeftModel.from_pretrained(model, {str(tmp_path)!r}); "
        "print(adapted(torch.ones(1, 4)).tolist())"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(model(torch.ones(1, 4)).tolist())


@dataclass
class NewConfig(TunerConfig):
    method_name = "evlora_test"


@dataclass
class TakenConfig(TunerConfig):
    method_name = "lora"


class NewTuner(BaseTuner):
    prefix = "evlora_test_"


@pytest.fixture
def new_method() -> Iterator[None]:
    register(NewConfig, NewTuner)
    yield
    # So that a registered method of the tests is in no other test's tables.
    member = PeftType("EVLORA_TEST")
    for table in TABLES:
        del table[member]


@pytest.mark.usefixtures("new_method")
def test_a_registered_method_is_a_member_of_pefts_enumeration() -> None:
    member = PeftType("EVLORA_TEST")
    assert member is PeftType["EVLORA_TEST"]
    assert member is PeftType.EVLORA_TEST  # type: ignore[attr-defined]
    assert member == "EVLORA_TEST"
    assert member in list(PeftType)
    assert member.value == "EVLORA_TEST"
    assert copy.deepcopy(member) is member
    assert pickle.loads(pickle.dumps(member)) is member
    assert NewConfig().to_dict()["peft_type"] is member


@pytest.mark.usefixtures("new_method")
def test_registering_again_changes_nothing() -> None:
    members = list(PeftType)
    register(NewConfig, NewTuner)
    assert list(PeftType) == members
    assert PEFT_TYPE_TO_CONFIG_MAPPING[PeftType("EVLORA_TEST")] is NewConfig
    assert PEFT_TYPE_TO_TUNER_MAPPING[PeftType("EVLORA_TEST")] is NewTuner


def test_a_name_that_peft_has_is_refused() -> None:
    with pytest.raises(AdapterError, match=r"already has a method of that name.*LoraConfig"):
        register(TakenConfig, NewTuner)
    assert PEFT_TYPE_TO_CONFIG_MAPPING[PeftType.LORA] is peft.LoraConfig
