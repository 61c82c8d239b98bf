"""The one way to take in YAML that others wrote: bounded, and never deeper than Python's stack.

A name in it can stand for thousands of others, and one line for megabytes.
"""

from collections.abc import Callable
from typing import Any, cast

import yaml

from evlora.limits import limits, raising


def parse_yaml(text: str) -> Any:
    """What YAML holds.

    Raises:
        yaml.YAMLError: It is none, or is longer, deeper or larger than a recipe may be.
    """
    return build_yaml(text, lambda node: None)


def compose_yaml(text: str) -> yaml.Node | None:
    """The tree of YAML before it becomes values; None where it holds nothing.

    Raises:
        yaml.YAMLError: As for `parse_yaml`.
    """
    found: list[yaml.Node] = []
    build_yaml(text, found.append, builds=False)
    return found[0] if found else None


def build_yaml(text: str, prepare: Callable[[yaml.Node], None], *, builds: bool = True) -> Any:
    """What YAML holds, after its tree was looked at and changed.

    Args:
        text: The YAML.
        prepare: Takes the tree, and may change it.
        builds: Whether values are made of the tree; None comes back otherwise.

    Raises:
        yaml.YAMLError: As for `parse_yaml`.
    """
    most = limits().recipe_bytes
    if len(text) > most:
        raise yaml.YAMLError(
            f"expected at most {most:,} characters, got {len(text):,}; {raising('recipe_bytes')}"
        )
    if text.count("[") + text.count("{") > limits().recipe_values:  # PyYAML is slow at them
        raise yaml.YAMLError(f"it has too many brackets; {raising('recipe_values')}")
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _require_bounded(node)
        prepare(node)
        return loader.construct_document(node) if builds else None
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except (ValueError, TypeError, OverflowError, AttributeError, KeyError) as error:
        # PyYAML's own for dates, numbers and bytes that are written as such and are none. Python
        # adds how to lift its limit of digits.
        reason = str(error).partition("; use ")[0]
        raise yaml.YAMLError(f"a value is not what it is written as: {reason}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _require_bounded(root: yaml.Node) -> None:
    """Refuse a tree that would grow beyond the limits, every alias counted as what it names."""
    most, deepest = limits().recipe_values, limits().recipe_depth
    count, level = 1, [root]
    for _ in range(deepest):  # a value that holds itself never ends
        below: list[yaml.Node] = []
        for node in level:
            below += _parts(node)
            if count + len(below) > most:
                raise yaml.YAMLError(
                    f"expected at most {most:,} keys and values, got more once names (*) are "
                    f"replaced by what they stand for; {raising('recipe_values')}"
                )
        if not below:
            return
        count, level = count + len(below), below
    raise yaml.YAMLError(
        f"expected at most {deepest} levels, got more, or a value that holds itself; "
        f"{raising('recipe_depth')}"
    )


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return cast(list[yaml.Node], node.value)
    if isinstance(node, yaml.MappingNode):
        pairs = cast(list[tuple[yaml.Node, yaml.Node]], node.value)
        return [part for pair in pairs for part in pair]
    return []


def fault_in_yaml(error: yaml.YAMLError, *, has_place: bool = True) -> str:
    """What is wrong with YAML, in one line, with its place in the text; PyYAML takes six."""
    problem = getattr(error, "problem", None)
    if problem is None:
        return " ".join(str(error).split())
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark and has_place else ""
    return f"{place}{problem}"
