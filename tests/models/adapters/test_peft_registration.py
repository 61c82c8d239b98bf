"""What evlora relies on in peft, and teaching it a method.

The first tests fail when a new peft works otherwise than the supported one; their messages say
which of our lines must then be looked at.
"""

import copy
import pickle
from collections.abc import Iterator
from dataclasses import dataclass

import peft
import pytest
from peft import PeftConfig
from peft.mapping import (
    PEFT_TYPE_TO_CONFIG_MAPPING,
    PEFT_TYPE_TO_PREFIX_MAPPING,
    PEFT_TYPE_TO_TUNER_MAPPING,
)
from peft.tuners.tuners_utils import BaseTuner
from peft.utils.peft_types import PeftType

from evlora.errors import AdapterError
from evlora.models.adapters.peft_registration import register

TABLES = (PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING)


@dataclass
class NewConfig(PeftConfig):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType("EVLORA_TEST")


class NewTuner(BaseTuner):
    prefix = "evlora_test_"


@pytest.fixture
def new_method() -> Iterator[None]:
    register("evlora_test", NewConfig, NewTuner, prefix="evlora_test_")
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
    register("evlora_test", NewConfig, NewTuner, prefix="evlora_test_")
    assert list(PeftType) == members
    assert PEFT_TYPE_TO_CONFIG_MAPPING[PeftType("EVLORA_TEST")] is NewConfig
    assert PEFT_TYPE_TO_TUNER_MAPPING[PeftType("EVLORA_TEST")] is NewTuner


def test_a_name_that_peft_has_is_refused() -> None:
    with pytest.raises(AdapterError, match=r"already has a method of that name.*LoraConfig"):
        register("lora", NewConfig, NewTuner, prefix="evlora_test_")
    assert PEFT_TYPE_TO_CONFIG_MAPPING[PeftType.LORA] is peft.LoraConfig
