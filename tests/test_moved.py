"""Old import paths, which are answered with the new ones."""

from importlib import import_module

import pytest

import evlora
from evlora import moved

ONE_HOME = {old: new for old, new in moved.MODULES.items() if "," not in new}


@pytest.mark.parametrize("old", moved.MODULES)
def test_an_old_module_is_answered_with_the_new_one(old: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=f"{old} has moved; import from evlora"):
        import_module(old)


@pytest.mark.parametrize(
    "new", sorted({home for homes in moved.MODULES.values() for home in homes.split(", ")})
)
def test_the_new_module_exists(new: str) -> None:
    import_module(new)


@pytest.mark.parametrize(
    ("module", "name", "home"),
    [(module, name, home) for module, names in moved.NAMES.items() for name, home in names.items()],
)
def test_a_name_that_left_a_module_is_answered_with_its_home(
    module: str, name: str, home: str
) -> None:
    where, _, new_name = home.partition(":")
    with pytest.raises(ImportError, match=f"from {where} import {new_name or name}"):
        getattr(import_module(module), name)
    assert hasattr(import_module(where), new_name or name)


def test_a_name_that_never_was_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(import_module("evlora.clips"), "nothing")  # noqa: B009 - the lookup is the test


def test_dir_lists_the_public_names() -> None:
    assert set(dir(evlora)) == {*evlora.__all__, "__version__"}
    assert all(hasattr(evlora, name) for name in dir(evlora))
