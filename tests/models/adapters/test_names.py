"""The names of methods that are read without peft are those of the catalogue."""

import pytest

from evlora.comparison_rows import WITHOUT_ADAPTER
from evlora.errors import AdapterError
from evlora.models.adapters import METHODS
from evlora.models.adapters.from_peft.refused import REFUSED
from evlora.models.adapters.names import method_names, require_method


def test_the_names_are_those_of_the_catalogue_in_its_order() -> None:
    assert method_names() == tuple(METHODS)


def test_a_name_is_refused_unless_it_is_one_of_them() -> None:
    for name in METHODS:
        require_method(name)
    with pytest.raises(AdapterError, match=r"no adapter is called 'lorra'; did you mean lora\?"):
        require_method("lorra")
    for name, reason in REFUSED.items():
        with pytest.raises(AdapterError, match=f"{name} of peft does not suit .*: {reason[:20]}"):
            require_method(name)


def test_the_methods_that_add_nothing_are_named() -> None:
    assert [name for name, row in METHODS.items() if row.config is None] == list(WITHOUT_ADAPTER)
