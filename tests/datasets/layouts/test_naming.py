"""Names of splits and the order of classes."""

import pytest

from evlora.datasets.layouts.naming import class_order, split_name


@pytest.mark.parametrize(
    ("word", "split"),
    [("train", "train"), (" Validation", "val"), ("valid", "val"), ("TEST", "test"), ("cat", None)],
)
def test_words_for_splits_are_understood(word, split):
    assert split_name(word) == split


def test_numbers_in_names_are_ordered_by_their_value():
    assert class_order(["10", "9", "1"]) == ("1", "9", "10")
    assert class_order(["action_10 b", "zebra", "action_9", "ape"]) == (
        "action_9",
        "action_10 b",
        "ape",
        "zebra",
    )


def test_the_order_does_not_depend_on_how_the_labels_come():
    labels = ["b1", "²", "01", "1", "a", "", "1a", "b"]
    assert class_order(labels) == class_order(reversed(labels))
