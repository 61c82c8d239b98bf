"""The one place where methods that peft does not have are registered with it.

peft checks a method's name against its `PeftType` enumeration, and offers no way to add to it; the
rest goes through peft's own `register_peft_method`. What is relied on here is pinned by
`tests/models/adapters/test_peft_registration.py`, so that a peft that works otherwise is noticed
before a user notices it.
"""

from enum import EnumType
from typing import Any, cast

from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.tuners_utils import BaseTuner
from peft.utils import register_peft_method
from peft.utils.peft_types import PeftType

from evlora.errors import AdapterError
from evlora.models.adapters.tuners import TunerConfig


def register(config_class: type[TunerConfig], tuner_class: type[BaseTuner]) -> None:
    """Makes a method known to peft; a second call with the same classes changes nothing.

    Args:
        config_class: Its configuration. `PeftType(config_class.method_name.upper())` exists
            afterwards.
        tuner_class: What `get_peft_model` builds from it. Its `prefix` is in the names of its
            parameters, and of no others.

    Raises:
        AdapterError: peft has another method of this name, or no longer takes new ones.
    """
    name = config_class.method_name
    value = name.upper()
    there = PEFT_TYPE_TO_CONFIG_MAPPING.get(cast(PeftType, value))  # its members are strings
    if there is config_class:
        return
    if there is not None:
        raise AdapterError(
            f"cannot register {name} with peft: it already has a method of that name, "
            f"{there.__module__}.{there.__name__}; use that one, or a peft without it"
        )
    if value not in PeftType.__members__:
        _add_member(PeftType, value)
    register_peft_method(
        name=name, config_cls=config_class, model_cls=tuner_class, prefix=tuner_class.prefix
    )


def _add_member(enumeration: Any, value: str) -> None:
    # An enumeration is closed once it is made; its members live in these three tables (and, from
    # Python 3.12 on, among the attributes of the class, which a plain `setattr` serves as well).
    member = str.__new__(enumeration, value)
    member._name_ = member._value_ = value
    setattr(enumeration, value, member)
    enumeration._member_map_[value] = member
    enumeration._member_names_.append(value)
    enumeration._value2member_map_[value] = member
    if not (
        isinstance(enumeration, EnumType)
        and enumeration(value) is member
        and member in list(enumeration)
    ):
        import peft

        raise AdapterError(
            f"cannot register {value} with peft {peft.__version__}: its table of methods works "
            "otherwise than that of peft 0.21, which evlora was written for; install that one"
        )
