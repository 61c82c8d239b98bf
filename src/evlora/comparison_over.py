"""The key that a comparison varies, read without what takes seconds to import."""

from dataclasses import dataclass

from evlora.errors import RecipeError


@dataclass(frozen=True, slots=True)
class Over:
    """A key of the recipe, and the values to train every row with."""

    key: str
    values: tuple[str, ...]
    """As they would be typed behind `key=`."""

    @classmethod
    def parse(cls, text: str) -> "Over":
        """The key and values of a text such as `clip.exposure=1,0.5,0.1`.

        Raises:
            RecipeError: It is none.
        """
        key, equals, values = text.partition("=")
        listed = tuple(dict.fromkeys(value.strip() for value in values.split(",")))
        if not key or not equals or not all(listed):
            raise RecipeError(
                f"--over {text!r}: expected a key and its values, such as clip.exposure=1,0.5,0.1"
            )
        return cls(key, listed)

    @property
    def settings(self) -> list[str]:
        """`key=value` for each value."""
        return [f"{self.key}={value}" for value in self.values]
