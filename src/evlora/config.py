"""The base of every configuration: strict, frozen, and documented by the sentence under a field.

The sentences are for readers and for the reference. pydantic's `use_attribute_docstrings` would
make descriptions of them, and takes longer for that than all imports together: it looks through
every module there is for every class.
"""

import os.path
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


def expanded(text: str) -> str:
    """A path as it was typed, with the home folder in place of a `~` at its beginning.

    A shell does this only where the path begins a word, and so not in `run.dir=~/x`.
    """
    return os.path.expanduser(text)  # noqa: PTH111 - pathlib raises where there is no such user


UserPath = Annotated[Path, AfterValidator(lambda path: Path(expanded(str(path))))]
"""A path that a user types."""


class Config(BaseModel):
    """A part of a recipe: unknown keys are refused, values never change after checking.

    Numbers are finite.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
