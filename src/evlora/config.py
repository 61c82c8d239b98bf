"""The base of every configuration: strict, frozen, and documented by the sentence under a field."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A part of a recipe: unknown keys are refused, values never change after checking."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
