"""A recipe: one run as a YAML file, checked as a whole before anything starts."""

from evlora import moved
from evlora.recipe.overrides import as_mapping, split_override
from evlora.recipe.reading import (
    FEWEST_CLASSES,
    build,
    load_recipe,
    recipe_of,
    recipes_folder,
    shipped_recipes,
)
from evlora.recipe.schema import DataConfig, Recipe, RunConfig, TrainingConfig

__all__ = [
    "FEWEST_CLASSES",
    "DataConfig",
    "Recipe",
    "RunConfig",
    "TrainingConfig",
    "as_mapping",
    "build",
    "load_recipe",
    "recipe_of",
    "recipes_folder",
    "shipped_recipes",
    "split_override",
]


__getattr__ = moved.names_of("evlora.recipe")
