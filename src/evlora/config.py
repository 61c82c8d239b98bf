"""The base of every configuration: strict, frozen, and documented by the sentence under a field."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A part of a recipe: unknown keys are refused, values never change after checking.

    Numbers are finite.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )
