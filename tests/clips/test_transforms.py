"""The same geometry for both modalities, and what training changes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evlora.clips.transforms import (
    Augmentation,
    change_colours,
    change_events,
    drop_events,
    flip_polarities,
    jitter_times,
    place,
    through_box,
)
from evlora.recordings import EventStream

PLAIN = Augmentation(crop=1, colour=0, event_drop=0)


def picture_with_a_spot(size, *, row, column):
    """A black picture with a white spot whose place is given as shares of the size."""
    image = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    reach = size // 8
    top, left = round(row * size), round(column * size)
    image[..., top - reach : top + reach, left - reach : left + reach] = 255
    return image


def centre_of(image):
    weight = image[0, 0].double()
    rows, columns = torch.meshgrid(*(torch.arange(n) + 0.5 for n in weight.shape), indexing="ij")
    return [float((weight * axis).sum() / weight.sum()) for axis in (rows, columns)]


@pytest.mark.parametrize("seed", range(8))
def test_pictures_of_different_sizes_stay_aligned_to_half_a_pixel(seed):
    augmentation = Augmentation(crop=0.7, flip=True)
    geometry = place(
        28,
        28,
        size=(96, 96),
        fit="crop",
        augmentation=augmentation,
        generator=np.random.default_rng(seed),
    )
    small = through_box(geometry, picture_with_a_spot(32, row=0.5, column=0.375), fill=[0, 0, 0])
    large = through_box(geometry, picture_with_a_spot(64, row=0.5, column=0.375), fill=[0, 0, 0])
    assert centre_of(small) == pytest.approx(centre_of(large), abs=0.5)


@given(
    height=st.integers(3, 60),
    width=st.integers(3, 60),
    fit=st.sampled_from(["crop", "pad", "stretch"]),
    crop=st.floats(0.3, 1),
    aspect=st.floats(1, 3),
    seed=st.one_of(st.none(), st.integers(0, 99)),
)
def test_whatever_is_seen_comes_out_in_the_size_of_the_model(
    *, height, width, fit, crop, aspect, seed
):
    geometry = place(
        height,
        width,
        size=(20, 30),
        fit=fit,
        augmentation=Augmentation(crop=crop, aspect=aspect, erase=0.3),
        generator=None if seed is None else np.random.default_rng(seed),
    )
    images = through_box(
        geometry, torch.zeros(2, 3, height, width, dtype=torch.uint8), fill=[0, 0, 0]
    )
    assert images.shape == (2, 3, 20, 30)
    assert images.dtype == torch.uint8
    assert images.is_contiguous()
    assert type(images) is torch.Tensor


def test_crop_cuts_the_longer_side_off_evenly():
    image = torch.full((1, 3, 10, 30), 9, dtype=torch.uint8)
    image[..., 10:20] = 200
    geometry = place(10, 30, size=(10, 10), fit="crop", augmentation=PLAIN)
    assert (through_box(geometry, image, fill=[0, 0, 0]) == 200).all()


def test_pad_keeps_everything_and_fills_the_rest_with_the_background():
    image = torch.full((1, 3, 10, 20), 9, dtype=torch.uint8)
    padded = through_box(
        place(10, 20, size=(20, 20), fit="pad", augmentation=PLAIN), image, fill=[1, 2, 3]
    )
    assert (padded[:, :, 5:15] == 9).all()
    assert padded[0, :, 0, 0].tolist() == [1, 2, 3]
    assert padded[0, :, -1, -1].tolist() == [1, 2, 3]


def test_stretch_shows_the_whole_in_another_shape():
    image = torch.zeros(1, 3, 10, 20, dtype=torch.uint8)
    image[..., 10:] = 255
    stretched = through_box(
        place(10, 20, size=(20, 20), fit="stretch", augmentation=PLAIN), image, fill=[0, 0, 0]
    )
    assert (stretched[..., :9] == 0).all()
    assert (stretched[..., 11:] == 255).all()


def test_shrinking_averages_rather_than_skips():
    stripes = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    stripes[..., ::2] = 255
    shrunk = through_box(
        place(64, 64, size=(8, 8), fit="crop", augmentation=PLAIN), stripes, fill=[0, 0, 0]
    )
    assert shrunk.float().sub(127.5).abs().max() < 32


def test_a_flip_mirrors_half_of_the_clips_and_only_when_it_is_on():
    def flips(is_on):
        generator = np.random.default_rng(0)
        augmentation = Augmentation(flip=is_on)
        return sum(
            place(
                9, 9, size=(9, 9), fit="crop", augmentation=augmentation, generator=generator
            ).is_flipped
            for _ in range(200)
        )

    assert 70 < flips(is_on=True) < 130
    assert flips(is_on=False) == 0


def test_random_crops_reach_both_ends_of_a_wide_view():
    generator = np.random.default_rng(0)
    lefts = [
        place(10, 30, size=(10, 10), fit="crop", augmentation=PLAIN, generator=generator).left
        for _ in range(200)
    ]
    assert min(lefts) == 0
    assert max(lefts) == 20


def test_colours_change_alike_in_every_frame_of_a_clip():
    image = torch.randint(60, 190, (1, 3, 8, 8), dtype=torch.uint8)
    changed = change_colours(image.repeat(3, 1, 1, 1), 0.4, np.random.default_rng(0))
    assert not torch.equal(changed[0], image[0])
    assert torch.equal(changed[0], changed[1])
    assert torch.equal(changed[0], changed[2])


def test_dropped_events_are_at_most_the_share_and_the_rest_keeps_its_order():
    count = 4000
    stream = EventStream.from_arrays(
        np.arange(count), np.arange(count) % 7, np.zeros(count, int), np.ones(count, bool),
        width=7, height=1,
    )  # fmt: skip
    left = [drop_events(stream, 0.5, np.random.default_rng(seed)) for seed in range(20)]
    assert all(0.45 * count < len(events) <= count for events in left)
    assert len({len(events) for events in left}) > 10
    assert all((np.diff(events.t_us) > 0).all() for events in left)
    assert all((events.x == events.t_us % 7).all() for events in left)


def stream_of(count):
    return EventStream.from_arrays(
        10 * np.arange(count), np.arange(count) % 7, np.zeros(count, int), np.ones(count, bool),
        width=7, height=1,
    )  # fmt: skip


def test_events_moved_in_time_stay_near_and_in_order():
    stream = stream_of(500)
    moved = jitter_times(stream, 25, np.random.default_rng(0))
    assert (np.diff(moved.t_us) >= 0).all()
    assert len(moved) == len(stream)
    assert np.bincount(moved.x).tolist() == np.bincount(stream.x).tolist()
    assert (moved.x != stream.x).any()  # neighbours 10 µs apart overtake each other
    assert np.abs(moved.t_us - stream.t_us).max() <= 25


def test_polarities_turn_round_up_to_the_share_and_nothing_else_changes():
    stream = stream_of(4000)
    turned = [flip_polarities(stream, 0.4, np.random.default_rng(seed)) for seed in range(20)]
    shares = [1 - events.polarity.mean() for events in turned]
    assert max(shares) < 0.45
    assert len(set(shares)) > 10
    assert all(events.t_us is stream.t_us for events in turned)


def test_events_are_moved_into_the_moments_as_well_as_out_of_them():
    times = 10 * np.arange(100)
    stream = EventStream.from_arrays(
        times, np.arange(100), np.zeros(100, int), np.ones(100, bool), width=100, height=1
    )
    augmentation = Augmentation(event_drop=0, event_time_jitter_us=30)
    moved_in, moved_out = set(), set()
    for seed in range(20):
        changed = change_events(
            stream, augmentation, np.random.default_rng(seed), start_us=200, end_us=400
        )
        inside = set(changed.between(200, 400).x.tolist())
        moved_in |= inside - set(range(20, 40))
        moved_out |= set(range(20, 40)) - inside
    assert {18, 19, 40, 41} <= moved_in <= {17, 18, 19, 40, 41, 42}
    assert {20, 21, 38, 39} <= moved_out <= {20, 21, 22, 23, 37, 38, 39}


@pytest.mark.parametrize("change", [jitter_times, flip_polarities, drop_events])
def test_no_events_stay_no_events(change):
    nothing = EventStream.empty(width=3, height=2)
    assert len(change(nothing, 1, np.random.default_rng(0))) == 0


def test_an_aspect_changes_the_shape_within_its_bounds_either_way():
    generator = np.random.default_rng(0)
    shapes = []
    for _ in range(200):
        canvas = place(
            100,
            100,
            size=(100, 100),
            fit="crop",
            augmentation=Augmentation(crop=0.5, aspect=1.5),
            generator=generator,
        ).canvas
        shapes.append(canvas[1] / canvas[0])
    assert 0.64 < min(shapes) < 0.8
    assert 1.25 < max(shapes) < 1.52


def test_nothing_random_comes_from_the_global_state():
    def draw():
        generator = np.random.default_rng(3)
        geometry = place(
            9,
            12,
            size=(8, 8),
            fit="crop",
            augmentation=Augmentation(flip=True),
            generator=generator,
        )
        image = torch.arange(9 * 12 * 3, dtype=torch.uint8).reshape(1, 3, 9, 12)
        return geometry, change_colours(image, 0.3, generator)

    torch.manual_seed(0)
    first_geometry, first_image = draw()
    torch.manual_seed(1)
    second_geometry, second_image = draw()
    assert first_geometry == second_geometry
    assert torch.equal(first_image, second_image)
