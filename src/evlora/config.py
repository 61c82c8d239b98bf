"""The base of every configuration: strict, frozen, and documented by the sentence under a field.

The sentences are for readers and for the reference. pydantic's `use_attribute_docstrings` would
make descriptions of them, and takes longer for that than all imports together: it looks through
every module there is for every class.
"""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A part of a recipe: unknown keys are refused, values never change after checking."""

    model_config = ConfigDict(extra="forbid", frozen=True)
