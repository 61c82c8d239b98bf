"""What layouts share: the names of splits, and the order of classes."""

import re
from collections.abc import Iterable

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def split_name(word: str) -> str | None:
    """train, val or test, as this word means it; None where it means none of them."""
    return SPLIT_NAMES.get(word.strip().lower())


def folders_of_splits(names: Iterable[str]) -> str:
    """What to call a split that these folders give, such as `folders train/, test/`."""
    order = list(SPLIT_NAMES)
    known = sorted(names, key=lambda name: order.index(name.strip().lower()))
    return f"folders {', '.join(f'{name}/' for name in known)}"


def class_order(labels: Iterable[str]) -> tuple[str, ...]:
    """The labels in the order of the alphabet, with numbers in them in the order of their value."""
    return tuple(sorted(set(labels), key=_natural))


def _natural(label: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    parts = re.split(r"(\d+)", label)
    # The label itself comes last: "1" and "01" have the same parts.
    return tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p), label
