"""What a verb refuses before the imports that take seconds: a mistyped key, name or path."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evlora.ranks import alike_on_a_machine

if TYPE_CHECKING:
    from evlora.recipe import Recipe


def bundle_that_is_there(bundle: Path) -> Path:
    """The same path.

    Raises:
        BundleError: No bundle lies there, nor a run that has one.
    """
    from evlora.bundle_place import require_bundle

    with alike_on_a_machine():
        require_bundle(bundle)
    return bundle


def named_recipe(recipe: Path, keys: Sequence[str]) -> "Recipe":
    """The recipe with its keys, of which those of an adapter are not compared with its method.

    Raises:
        RecipeError: A key is wrong.
        AdapterError: No method is called like this.
        BackboneError: No backbone is called like this.
    """
    from evlora.models.adapters.config import keys_alone
    from evlora.models.backbone_names import require_backbone_name
    from evlora.recipe import load_recipe

    with keys_alone():
        found = load_recipe(recipe, keys)
    require_backbone_name(found.backbone.name)
    return found


def require_recipe(recipe: Path, keys: Sequence[str]) -> None:
    """Check a recipe's keys and names, and that its dataset and its run's folder are named.

    Raises:
        RecipeError: A key is wrong, or one of the two is not named.
        AdapterError: No method is called like this.
        BackboneError: No backbone is called like this.
        DatasetError: The dataset is not there.
    """
    from evlora.training.folder import require_places

    with alike_on_a_machine():
        require_places(named_recipe(recipe, keys))
