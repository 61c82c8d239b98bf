import numpy as np
import pytest

from evlora.pretraining.scenes import FACTS, NOTHING, OFF, ON, Views, make_views
from evlora.recordings import EventStream
from evlora.recordings.representations import event_image

EVENT_COLOURS = {ON, OFF, NOTHING}
SHIFT = slice(FACTS.index("shift_x"), FACTS.index("shift_y") + 1)
COLOURS = slice(FACTS.index("red"), None)


def is_event_image(image: np.ndarray) -> bool:
    return {tuple(colour) for colour in image.reshape(-1, 3).tolist()} <= EVENT_COLOURS


@pytest.fixture(scope="module")
def drawn() -> list[Views]:
    return [make_views(0, number, size_px=48) for number in range(60)]


def test_the_same_seed_and_number_give_the_same_views(drawn: list[Views]) -> None:
    again = make_views(0, 17, size_px=48)

    for one, other in zip(drawn[17], again, strict=True):
        assert np.array_equal(one, other, equal_nan=one.dtype == np.float32)


def test_another_seed_gives_other_views(drawn: list[Views]) -> None:
    assert not np.array_equal(make_views(1, 17, size_px=48).glyph, drawn[17].glyph)


def test_views_have_the_shapes_asked_for() -> None:
    views = make_views(0, 0, size_px=40, views=3)

    assert views.images.shape == (3, 40, 40, 3)
    assert views.masks.shape == (3, 40, 40)
    assert views.facts.shape == (3, len(FACTS))


def test_event_images_tell_the_motion_and_pictures_the_colours(drawn: list[Views]) -> None:
    kinds = set[bool]()
    for views in drawn:
        for image, facts in zip(views.images, views.facts, strict=True):
            is_events = is_event_image(image)
            kinds.add(is_events)
            assert np.isnan(facts[COLOURS]).all() == is_events
            assert np.isnan(facts[SHIFT]).any() == (not is_events)
            assert np.isfinite(facts[:4]).all()
    assert kinds == {True, False}


def test_the_column_and_row_of_a_figure_are_where_its_mask_is(drawn: list[Views]) -> None:
    reported, seen = [], []
    for views in drawn:
        for mask, facts in zip(views.masks, views.facts, strict=True):
            if mask.any():
                reported.append(facts[:2])
                seen.append(np.argwhere(mask > 100).mean(axis=0)[::-1])

    for axis in range(2):
        assert np.corrcoef(np.array(reported)[:, axis], np.array(seen)[:, axis])[0, 1] > 0.9


def test_brightness_rises_on_the_side_that_the_shift_points_to(drawn: list[Views]) -> None:
    agreeing = []
    for views in drawn:
        for image, facts in zip(views.images, views.facts, strict=True):
            rises = np.argwhere((image == ON).all(axis=2))
            falls = np.argwhere((image == OFF).all(axis=2))
            if is_event_image(image) and len(rises) > 20 and len(falls) > 20:
                step = (rises.mean(axis=0) - falls.mean(axis=0))[::-1]
                agreeing.append(step @ facts[SHIFT] > 0)

    assert len(agreeing) > 20
    assert np.mean(agreeing) > 0.75


def test_the_colours_of_event_images_are_those_of_recordings() -> None:
    stream = EventStream(
        np.array([0, 1]), np.array([0, 1]), np.array([0, 0]), np.array([True, False]), 3, 1
    )

    image = event_image(stream, np.array([[0, 10]]))[0]

    assert image.transpose(1, 2, 0).tolist() == [[list(ON), list(OFF), list(NOTHING)]]
