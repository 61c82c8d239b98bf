"""How messages name many things, answer an unknown name, and explain a value that does not fit."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, cast, get_args, get_origin

if TYPE_CHECKING:  # what reads recordings needs no pydantic
    from pydantic import BaseModel, ValidationError

NAMES_SHOWN, FAULTS_SHOWN = 3, 5
FEW = 12
"""The number of known names that an answer to an unknown one still lists in full."""
VALUE_LENGTH = 80
QUOTE = "'"
UNKNOWN = "unknown_"
"""How the kinds of faults begin that a choice between configurations raises: `unknown_network`."""


def listed(names: Iterable[object], *, at_most: int = NAMES_SHOWN, none: str = "none") -> str:
    """Names in a row, the rest counted, such as `a, b, c and 3 more`.

    Args:
        names: What is named.
        at_most: The number of names that are shown.
        none: What is shown where there is no name.
    """
    texts = list(map(str, names))
    rest = f" and {len(texts) - at_most} more" if len(texts) > at_most else ""
    return ", ".join(texts[:at_most]) + rest if texts else none


def itemized(faults: Sequence[str], *, at_most: int = FAULTS_SHOWN) -> str:
    """Faults on a line each, after a line break, the rest counted."""
    rest = [f"… and {len(faults) - at_most} more"] if len(faults) > at_most else []
    return "".join(f"\n  {line}" for line in [*faults[:at_most], *rest])


def shown(value: object) -> str:
    """A value that came from a user, as it is typed in Python, cut where it is long."""
    text = repr(value)
    return text if len(text) <= VALUE_LENGTH else f"{text[: VALUE_LENGTH - 1]}…"


def suggestion(name: str, known: Iterable[str], *, listing: str = "") -> str:
    """What to use in place of an unknown name: the nearest one, or those that there are.

    Args:
        name: The unknown name.
        known: The names that there are.
        listing: A command that lists all of them, where they are many.
    """
    names = list(known)
    by_lower = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    where = f"; {listing} lists all" if listing else ""
    if close:
        return f"did you mean {by_lower[close[0]]}?{where}"
    is_short = len(names) <= FEW or not listing
    return f"there are: {listed(names, at_most=len(names) if is_short else FEW)}{where}"


def explain(error: "ValidationError", model: "type[BaseModel] | None" = None) -> str:
    """What is wrong with values, by the dotted keys that a user types.

    Args:
        error: What the check found.
        model: The configuration that was checked; with it, an unknown key is answered with the
            nearest one, and the keys of a choice between configurations are named as one types
            them.
    """
    reasons: dict[str, list[str]] = {}
    expected: dict[str, list[str]] = {}  # several of one key that may hold this or that
    for fault in map(_of_its_key, error.errors(include_url=False)):
        holder, path = _follow(fault["loc"], model)
        key, kind, limits = ".".join(path), fault["type"], fault.get("ctx", {})
        if kind in EXPECTED:
            expected.setdefault(key, []).append(EXPECTED[kind].format(**limits))
            reason = f"expected {' or '.join(expected[key])}, got {shown(fault['input'])}"
            reasons[key] = [reason]
            continue
        reason = _reason(kind, fault["msg"], fault["input"], limits)
        if kind == "extra_forbidden" and holder is not None:
            reason = f"{reason}; {_key_for(path, holder)}"
        reasons.setdefault(key, []).append(reason)
    return "; ".join(
        f"{key}: {reason}" if key else reason for key, some in reasons.items() for reason in some
    )


def reason_of(error: Exception) -> str:
    """What an error reports, in one line; of values that do not fit, by their keys."""
    from pydantic import ValidationError

    text = explain(error) if isinstance(error, ValidationError) else str(error)
    return " ".join(text.split())


def faulty_keys(error: "ValidationError", model: "type[BaseModel]") -> list[str]:
    """The dotted keys that `explain` names, without those that stand for a whole."""
    faults = map(_of_its_key, error.errors(include_url=False))
    return [".".join(_follow(fault["loc"], model)[1]) for fault in faults]


def _of_its_key(fault: Any) -> Any:
    """A fault of the kind `unknown_KEY`, which is about KEY of a section, as one of that key."""
    section, key = fault["input"], fault["type"].removeprefix(UNKNOWN)
    if not fault["type"].startswith(UNKNOWN) or not isinstance(section, Mapping):
        return fault
    value = cast(Mapping[str, Any], section).get(key)
    return {**fault, "loc": (*fault["loc"], key), "input": value}


EXPECTED = {
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "string_too_short": "text of {min_length} characters or more",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text of the form {pattern}",
    "none_required": "no value",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "too_short": "a list of {min_length} or more",
    "too_long": "a list of at most {max_length}",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "path_type": "a path",
    "union_tag_not_found": "the key {discriminator}",
}
"""Kind of pydantic's fault → what was expected, with pydantic's own names of the limits."""


def _reason(kind: str, message: str, value: object, limits: Mapping[str, Any]) -> str:
    match kind:
        case "value_error" | "assertion_error":  # the configuration's own words
            return str(limits["error"])
        case "extra_forbidden":
            return "unknown key"
        case "missing":
            return "expected a value, got none"
        case "json_invalid":
            return f"is not JSON: {limits['error']}"
        case "union_tag_invalid":
            return (
                f"expected {limits['discriminator'].strip(QUOTE)} to be one of "
                f"{limits['expected_tags'].replace(QUOTE, '')}, got {limits['tag']!r}"
            )
        case _:
            return f"{message[0].lower()}{message[1:]}, got {shown(value)}"


def _follow(
    place: tuple[int | str, ...], model: "type[BaseModel] | None"
) -> "tuple[type[BaseModel] | None, list[str]]":
    """The configuration that holds the last key of a fault's place, and the keys as one types them.

    Where a key may hold one of several configurations, pydantic adds to the place which one it is.
    """
    members: dict[str, type[BaseModel]] = {}
    is_choice = False
    path: list[str] = []
    for part in place:
        if str(part) in members:
            model, members = members[str(part)], {}
            continue
        if is_choice and isinstance(part, str):
            is_choice = False
            continue
        path.append(str(part))
        field = None if model is None else model.model_fields.get(str(part))
        annotation = None if field is None else field.annotation
        if part != place[-1]:
            model, members = _configs_of(annotation)
        is_choice = not members and _is_choice(annotation)
    return model, path


def _key_for(path: Sequence[str], holder: "type[BaseModel]") -> str:
    """What to use in place of an unknown key: its name in a section below, or the nearest one."""
    places = list(_places_of(path[-1], holder))
    if not places:
        return suggestion(path[-1], holder.model_fields)
    return f"did you mean {'.'.join([*path[:-1], *min(places, key=len)])}?"


def _places_of(name: str, config: "type[BaseModel]") -> "Iterator[list[str]]":
    if name in config.model_fields:
        yield [name]
    for section, field in config.model_fields.items():
        one, choice = _configs_of(field.annotation)
        for below in filter(None, (one, *choice.values())):
            for place in _places_of(name, below):
                yield [section, *place]


def _is_choice(annotation: Any) -> bool:
    """Whether a field may hold values of several types, beside none at all."""
    is_union = get_origin(annotation) in (Union, UnionType)
    return is_union and sum(one is not NoneType for one in get_args(annotation)) > 1


def _configs_of(
    annotation: Any,
) -> "tuple[type[BaseModel] | None, dict[str, type[BaseModel]]]":
    """The configuration of a field, or those it may be, by the tag that pydantic names them by."""
    from pydantic import BaseModel, Tag

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, {}
    tagged = [get_args(member) for member in get_args(annotation)]
    return None, {
        mark.tag: member
        for member, *marks in filter(None, tagged)
        for mark in marks
        if isinstance(mark, Tag)
    }
