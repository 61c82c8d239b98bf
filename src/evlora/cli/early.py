"""What a verb refuses before the imports that take seconds: a mistyped key or path."""

from collections.abc import Sequence
from pathlib import Path

from evlora.ranks import alike_on_a_machine


def bundle_that_is_there(bundle: Path) -> Path:
    """The same path.

    Raises:
        BundleError: No bundle lies there, nor a run that has one.
    """
    from evlora.bundle_place import require_bundle

    with alike_on_a_machine():
        require_bundle(bundle)
    return bundle


def require_recipe(recipe: Path, keys: Sequence[str]) -> None:
    """Check a recipe's keys, and that its dataset and its run's folder are named.

    Raises:
        RecipeError: A key is wrong, or one of the two is not named.
        DatasetError: The dataset is not there.
    """
    from evlora.models.adapters.config import keys_alone
    from evlora.recipe import load_recipe
    from evlora.training.folder import require_places

    with alike_on_a_machine(), keys_alone():
        require_places(load_recipe(recipe, keys))
