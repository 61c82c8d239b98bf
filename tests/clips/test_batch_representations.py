"""The torch path: a batch of clips gives what the numpy functions give clip by clip."""

import numpy as np
import pytest
import torch

from evlora.clips import batch_representations as batched
from evlora.errors import DatasetError, ShapeError
from evlora.recordings import EventStream, representations
from evlora.recordings.representations import WindowArray, equal_windows

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
        ],
    ),
]
NAMES = list(representations.REPRESENTATIONS)


def stream(count: int, seed: int, *, width: int = 31, height: int = 17) -> EventStream:
    generator = np.random.default_rng(seed)
    return EventStream.from_arrays(
        np.sort(generator.integers(5_000_000, 5_300_000, count)),
        generator.integers(0, width, count),
        generator.integers(0, height, count),
        generator.random(count) < 0.4,
        width=width,
        height=height,
    )


@pytest.fixture(scope="module")
def clips() -> list[tuple[EventStream, WindowArray]]:
    """Four clips of five windows: dense, sparse, without events, and with overlaps and gaps."""
    dense, sparse, empty, odd = stream(9000, 0), stream(3, 1), stream(0, 2), stream(2000, 3)
    overlapping = np.array(
        [[5_000_000, 5_200_000], [5_100_000, 5_250_000], [0, 0], [5_290_000, 6_000_000], [1, 9]]
    )
    return [
        (dense, equal_windows(dense, 5)),
        (sparse, equal_windows(sparse, 5)),
        (empty, equal_windows(empty, 5)),
        (odd, overlapping),
    ]


def test_every_numpy_representation_has_a_batched_one():
    assert list(batched.BATCH_REPRESENTATIONS) == NAMES


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_equals_its_clips_one_by_one(
    clips: list[tuple[EventStream, WindowArray]], name: str, device: str
):
    batch = batched.gather_events(clips).to(device)
    got = batched.BATCH_REPRESENTATIONS[name](batch).cpu()
    expected = np.stack([representations.REPRESENTATIONS[name](*clip) for clip in clips])
    assert got.shape == expected.shape
    assert got.numpy().dtype == expected.dtype
    # Whole numbers are equal; sums of float32 differ by the order in which they were added.
    tolerance = 1e-5 if expected.dtype == np.float32 else 0
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
def test_rgb_images_of_a_batch_equal_those_of_its_clips(
    clips: list[tuple[EventStream, WindowArray]], name: str, device: str
):
    batch = batched.gather_events(clips).to(device)
    got = batched.as_rgb_images(batch, representation=name).cpu().numpy()
    expected = np.stack(
        [representations.as_rgb_images(*clip, representation=name) for clip in clips]
    )
    assert got.dtype == expected.dtype
    difference = np.abs(got.astype(int) - expected)
    # A value that lies half-way between two bytes may be rounded either way.
    assert difference.max() <= (0 if name in ("event_image", "polarity_counts") else 1)
    assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("bins", [1, 2, 9])
def test_the_number_of_bins_is_passed_on(clips: list[tuple[EventStream, WindowArray]], bins: int):
    got = batched.voxel_grid(batched.gather_events(clips), bins=bins)
    expected = np.stack([representations.voxel_grid(*clip, bins=bins) for clip in clips])
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-5)


def test_the_decay_is_passed_on(clips: list[tuple[EventStream, WindowArray]]):
    got = batched.time_surface(batched.gather_events(clips), decay_us=500)
    expected = np.stack([representations.time_surface(*clip, decay_us=500) for clip in clips])
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5, atol=1e-7)


def test_clips_that_are_not_alike_are_refused():
    one, other = stream(5, 0), stream(5, 0, width=32)
    with pytest.raises(DatasetError, match="got no clip"):
        batched.gather_events([])
    with pytest.raises(DatasetError, match=r"\(31, 17, 2\), \(32, 17, 2\)"):
        batched.gather_events([(one, equal_windows(one, 2)), (other, equal_windows(other, 2))])
    with pytest.raises(DatasetError, match="one number of windows"):
        batched.gather_events([(one, equal_windows(one, 2)), (one, equal_windows(one, 3))])


def test_numbers_out_of_range_are_refused(clips: list[tuple[EventStream, WindowArray]]):
    batch = batched.gather_events(clips)
    with pytest.raises(ShapeError, match="at least 1 bin"):
        batched.voxel_grid(batch, bins=0)
    with pytest.raises(ShapeError, match="above 0 µs"):
        batched.time_surface(batch, decay_us=-1)
    with pytest.raises(ShapeError, match="'picture'; there are: event_image"):
        batched.as_rgb_images(batch, representation="picture")
