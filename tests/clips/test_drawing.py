"""From a recording to a clip, and from clips to a batch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evlora.clips import Clip, ClipConfig, collate, make_clip, make_test_views
from evlora.clips.config import TestViews
from evlora.clips.transforms import Augmentation
from evlora.errors import DatasetError, RecordingError
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.representations import REPRESENTATIONS, event_image

FRAME_US = 100


@pytest.fixture
def moving_dot():
    """Eight frames of 12×16 in which a dot moves right, one column a frame, with its events."""
    frames = np.zeros((8, 12, 16, 3), np.uint8)
    for number in range(8):
        frames[number, 6, number + 4] = 255
    ends = FRAME_US * np.arange(1, 9)
    events = EventStream.from_arrays(
        ends - 50, np.arange(8) + 4, np.full(8, 6), np.ones(8, bool), width=16, height=12
    )
    return Recording(
        events,
        FrameSequence.from_images(frames, start_us=ends - FRAME_US, end_us=ends),
        "test",
    )


def test_frames_and_events_show_the_same_moments_at_the_same_places(moving_dot):
    clip = make_clip(moving_dot, ClipConfig(frames=4, size=(12, 16)), sample="dot", label=2)
    dots = (clip.rgb[:, 0] == 255).nonzero()
    events = (clip.events[:, 2] < 255).nonzero()
    assert dots.tolist() == [[0, 6, 4], [1, 6, 6], [2, 6, 8], [3, 6, 10]]
    assert events.tolist() == dots.tolist()
    assert (clip.label, clip.sample) == (2, "dot")


def test_without_resizing_the_event_images_are_those_of_the_representation(moving_dot):
    clip = make_clip(moving_dot, ClipConfig(size=(12, 16)))
    windows = np.stack([FRAME_US * np.arange(8), FRAME_US * np.arange(1, 9)], axis=1)
    assert np.array_equal(clip.events.numpy(), event_image(moving_dot.events, windows))


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_every_representation_gives_pictures(moving_dot, representation):
    clip = make_clip(moving_dot, ClipConfig(size=24, representation=representation))
    assert clip.events.shape == (8, 3, 24, 24)
    assert clip.events.dtype == torch.uint8


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_padding_looks_like_a_place_without_events(moving_dot, representation):
    config = ClipConfig(size=16, fit="pad", representation=representation)
    corner = make_clip(moving_dot, config).events[:, :, 0, 0]
    unpadded = make_clip(moving_dot, config.model_copy(update={"fit": "stretch"})).events
    assert torch.equal(corner, unpadded[:, :, 0, 0])


def test_evaluation_gives_the_same_clip_every_time(moving_dot):
    config = ClipConfig(size=20)
    first, second = make_clip(moving_dot, config), make_clip(moving_dot, config)
    assert torch.equal(first.rgb, second.rgb)
    assert torch.equal(first.events, second.events)


def test_a_training_clip_depends_on_its_generator_alone(moving_dot):
    def clip(seed):
        return make_clip(
            moving_dot, ClipConfig(frames=3, size=20), generator=np.random.default_rng(seed)
        )

    assert torch.equal(clip(1).rgb, clip(1).rgb)
    assert torch.equal(clip(1).events, clip(1).events)
    assert not torch.equal(clip(1).rgb, clip(2).rgb)
    assert not torch.equal(clip(1).events, clip(2).events)


def test_with_everything_random_turned_off_training_sees_what_evaluation_sees(moving_dot):
    config = ClipConfig(
        frames=3,
        size=(12, 16),
        jitter=False,
        augmentation=Augmentation(crop=1, colour=0, event_drop=0),
    )
    trained = make_clip(moving_dot, config, generator=np.random.default_rng(0))
    evaluated = make_clip(moving_dot, config)
    assert torch.equal(trained.rgb, evaluated.rgb)
    assert torch.equal(trained.events, evaluated.events)


def test_one_frame_serves_every_moment(moving_dot):
    frame = FrameSequence.from_images(moving_dot.frames.take([0]))
    recording = Recording(moving_dot.events, None, "test").with_frames(frame)
    clip = make_clip(recording, ClipConfig(size=(12, 16)))
    assert torch.equal(clip.rgb, clip.rgb[:1].expand(8, -1, -1, -1))
    assert not torch.equal(clip.events[0], clip.events[-1])


@pytest.mark.parametrize(("modality", "other"), [("rgb", "events"), ("event", "rgb")])
def test_a_modality_that_is_not_asked_for_is_none_and_need_not_be_there(
    moving_dot, modality, other
):
    parts = (None, moving_dot.frames) if modality == "rgb" else (moving_dot.events, None)
    clip = make_clip(Recording(*parts, "test"), ClipConfig(size=20, modalities=(modality,)))
    assert getattr(clip, other) is None
    assert sum(images is not None for images in (clip.rgb, clip.events)) == 1


def test_a_modality_that_is_missing_is_named(moving_dot):
    with pytest.raises(DatasetError, match=r"found no frames; .*set clip\.modalities=\[event\]"):
        make_clip(Recording(moving_dot.events, None, "test"), ClipConfig())
    with pytest.raises(DatasetError, match=r"found no events; .*set clip\.modalities=\[rgb\]"):
        make_clip(Recording(None, moving_dot.frames, "test"), ClipConfig())
    with pytest.raises(DatasetError, match=r"or, to train, set clip\.modalities=\[event\]"):
        make_clip(Recording(moving_dot.events, None, "test"), ClipConfig(modalities=("rgb",)))


def test_a_recording_without_any_event_is_refused_when_only_events_are_asked_for():
    recording = Recording(EventStream.empty(width=4, height=4), None, "test")
    with pytest.raises(RecordingError, match="leave this recording out"):
        make_clip(recording, ClipConfig(modalities=("event",)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("representation", "event_imge"),
        ("modalities", ()),
        ("modalities", ("rgb", "rgb")),
        ("modalities", ("depth",)),
        ("frames", 0),
        ("size", (224, 0)),
        ("window", "all"),
        ("augmentation", {"crop": 0}),
        ("augmentation", {"aspect": 0.5}),
        ("augmentation", {"event_time_jitter_us": -1}),
        ("sampling", "sparse"),
        ("stride", 0),
        ("test_views", {"crops": 2}),
        ("augmentation", {"rotation": 3}),
    ],
)
def test_a_wrong_setting_is_refused(key, value):
    with pytest.raises(ValidationError):
        ClipConfig(**{key: value})


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ValidationError, match="set crops: 1 or fit: crop"):
        ClipConfig(fit="pad", test_views=TestViews(crops=3))
    with pytest.raises(ValidationError, match="all events before the stretch"):
        ClipConfig(sampling="dense", window="segment")


@pytest.fixture
def drawn_before(moving_dot):
    """The moving dot with the event images, and other events besides."""
    pictures = event_image(moving_dot.events, make_windows(8)).transpose(0, 2, 3, 1)
    return Recording(
        EventStream.from_arrays([5], [0], [0], [0], width=16, height=12),
        moving_dot.frames,
        "test",
        event_images=FrameSequence.from_images(pictures),
    )


def make_windows(count):
    return FRAME_US * np.stack([np.arange(count), np.arange(1, count + 1)], axis=1)


def test_event_images_drawn_before_are_taken_at_the_moments_of_the_frames(moving_dot, drawn_before):
    config = ClipConfig(frames=4, size=(12, 16))
    drawn, taken = make_clip(moving_dot, config), make_clip(drawn_before, config)
    assert torch.equal(taken.rgb, drawn.rgb)
    assert torch.equal(taken.events, drawn.events)


def test_event_images_of_another_size_are_cut_as_the_frames_are(drawn_before):
    small = drawn_before.event_images.take(range(8))
    large = FrameSequence.from_images(small.repeat(2, axis=1).repeat(2, axis=2))
    recording = Recording(None, drawn_before.frames, "test", event_images=large)
    config = ClipConfig(frames=1, size=8, augmentation=Augmentation(crop=0.6, flip=True, colour=0))
    for seed in range(8):
        clip = make_clip(recording, config, generator=np.random.default_rng(seed))
        dot, event = clip.rgb[0, 0].float(), 255 - clip.events[0, 2].float()
        if dot.max() > 60:  # the box holds the dot
            assert dot.flatten().argmax() == event.flatten().argmax()


def test_dropping_events_leaves_pictures_drawn_before_alone(drawn_before):
    plain = Augmentation(crop=1, colour=0, event_drop=0)
    config = ClipConfig(frames=8, size=(12, 16), augmentation=plain)
    dropping = config.model_copy(
        update={"augmentation": plain.model_copy(update={"event_drop": 0.9})}
    )
    clips = [
        make_clip(drawn_before, each, generator=np.random.default_rng(0))
        for each in (config, dropping)
    ]
    assert torch.equal(clips[0].events, clips[1].events)


def test_beyond_event_images_drawn_before_it_is_white(drawn_before):
    clip = make_clip(drawn_before, ClipConfig(size=16, fit="pad"))
    assert (clip.events[:, :, 0] == 255).all()
    assert (clip.rgb[:, :, 0] == 0).all()


@pytest.mark.parametrize("count", [2, 8, 11])
def test_event_images_alone_make_a_clip_of_events(drawn_before, count):
    alone = Recording(None, None, "test", event_images=drawn_before.event_images)
    config = ClipConfig(frames=count, size=(12, 16))
    clip = make_clip(alone, config.model_copy(update={"modalities": ("event",)}))
    assert torch.equal(clip.events, make_clip(drawn_before, config).events)
    assert clip.rgb is None


@pytest.mark.parametrize("sampling", ["segments", "dense"])
def test_a_single_view_is_the_clip_of_the_recording(moving_dot, sampling):
    config = ClipConfig(frames=3, size=(8, 6), sampling=sampling, stride=2)
    (view,) = make_test_views(moving_dot, config, sample="dot", label=1)
    clip = make_clip(moving_dot, config)
    assert torch.equal(view.rgb, clip.rgb)
    assert torch.equal(view.events, clip.events)
    assert (view.sample, view.label) == ("dot", 1)


def test_views_are_crops_along_the_longer_side_of_each_choice_of_moments(moving_dot):
    config = ClipConfig(
        frames=2,
        size=12,
        sampling="dense",
        stride=1,
        test_views=TestViews(segments=2, crops=3),
    )
    views = make_test_views(moving_dot, config)
    dots = [(view.rgb[0, 0] == 255).nonzero().tolist() for view in views]
    # The dot is in column 4 of the first frame and 10 of the seventh; crops start at 0, 2 and 4.
    assert dots == [[[6, 4]], [[6, 2]], [[6, 0]], [[6, 10]], [[6, 8]], [[6, 6]]]
    events = [(view.events[0, 2] < 255).nonzero().tolist() for view in views]
    assert events == dots


def test_three_crops_of_a_high_view_go_from_top_to_bottom(moving_dot):
    pixels = np.zeros((1, 30, 10, 3), np.uint8)
    pixels[:, 10:20], pixels[:, 20:] = 100, 200
    high = Recording(None, FrameSequence.from_images(pixels), "test")
    config = ClipConfig(frames=1, size=10, modalities=("rgb",), test_views=TestViews(crops=3))
    assert [view.rgb.unique().tolist() for view in make_test_views(high, config)] == [
        [0],
        [100],
        [200],
    ]


def test_training_draws_nothing_from_the_settings_of_the_test(moving_dot):
    config = ClipConfig(frames=2, size=12)
    several = config.model_copy(update={"test_views": TestViews(segments=4, crops=3)})
    clips = [
        make_clip(moving_dot, each, generator=np.random.default_rng(3))
        for each in (config, several)
    ]
    assert torch.equal(clips[0].rgb, clips[1].rgb)
    assert torch.equal(clips[0].events, clips[1].events)


@given(
    length=st.integers(1, 24),
    count=st.integers(1, 8),
    sampling=st.sampled_from(["segments", "dense"]),
    stride=st.integers(1, 4),
    views=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_differences_of_neighbours_are_of_the_same_moments_in_both_modalities(
    *, length, count, sampling, stride, views, seed
):
    """Every picture is its own number, so differences show which moments were taken."""
    pictures = np.arange(length, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(2, 2)
    frames = FrameSequence.from_images(pictures)
    whole = Recording(None, frames, "test", event_images=frames)
    config = ClipConfig(
        frames=count,
        size=2,
        sampling=sampling,
        stride=stride,
        test_views=TestViews(segments=views),
        augmentation=Augmentation(crop=1, colour=0),
    )
    clips = [*make_test_views(whole, config)]
    clips.append(make_clip(whole, config, generator=np.random.default_rng(seed)))
    for clip in clips:
        steps = clip.rgb[:, 0, 0, 0].long().diff()
        assert torch.equal(clip.rgb, clip.events)
        assert (steps > 0 if length >= count else steps >= 0).all()


@pytest.mark.parametrize("generator", [None, np.random.default_rng(0)])
def test_less_light_darkens_the_frames_alone_and_what_is_too_faint_is_lost(moving_dot, generator):
    plain = Augmentation(crop=1, colour=0, event_drop=0)
    full, faint, night = (
        make_clip(
            moving_dot,
            ClipConfig(size=(12, 16), exposure=exposure, augmentation=plain, jitter=False),
            generator=generator,
        )
        for exposure in (1, 1 / 100, 1 / 1000)
    )
    assert full.rgb.max() == 255
    assert torch.equal(faint.rgb, 3 * (full.rgb // 255))  # 2.55
    assert night.rgb.max() == 0
    assert torch.equal(night.events, full.events)


def test_colours_change_in_the_frames_alone(moving_dot):
    def events(colour):
        augmentation = Augmentation(crop=1, colour=colour, event_drop=0)
        config = ClipConfig(size=(12, 16), augmentation=augmentation)
        return make_clip(moving_dot, config, generator=np.random.default_rng(0)).events

    assert torch.equal(events(0), events(0.9))


def test_an_erased_box_is_empty_at_the_same_place_in_both_modalities(moving_dot):
    seen = Recording(
        moving_dot.events,
        FrameSequence.from_images(np.full((8, 12, 16, 3), 90, np.uint8)),
        "test",
        event_images=FrameSequence.from_images(np.full((8, 12, 16, 3), 90, np.uint8)),
    )
    augmentation = Augmentation(crop=1, colour=0, erase=0.5)
    config = ClipConfig(size=(12, 16), augmentation=augmentation)
    shares = []
    for seed in range(20):
        clip = make_clip(seen, config, generator=np.random.default_rng(seed))
        assert torch.equal(clip.rgb == 0, clip.events == 255)
        assert ((clip.rgb == 90) | (clip.rgb == 0)).all()
        assert (clip.rgb == clip.rgb[:1]).all()
        shares.append(float((clip.rgb == 0).float().mean()))
    assert max(shares) <= 0.55
    assert len(set(shares)) > 5


def clip_of(*, label=1, size=4, has_events=True, sample="a"):
    images = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    return Clip(images, images if has_events else None, label, sample)


def test_a_batch_stacks_clips_in_their_order():
    batch = collate([clip_of(label=3, sample="a"), clip_of(label=0, sample="b")])
    assert batch.rgb.shape == batch.events.shape == (2, 2, 3, 4, 4)
    assert batch.labels.tolist() == [3, 0]
    assert batch.labels.dtype == torch.int64
    assert batch.samples == ["a", "b"]


def test_several_clips_of_a_sample_follow_each_other_in_a_batch():
    batch = collate([[clip_of(sample="a"), clip_of(sample="a")], [clip_of(sample="b")]])
    assert batch.samples == ["a", "a", "b"]
    assert len(batch.rgb) == len(batch.labels) == 3


def test_a_batch_lacks_what_its_clips_lack():
    batch = collate([clip_of(has_events=False), clip_of(label=None, has_events=False)])
    assert batch.events is None
    assert batch.labels is None


@pytest.mark.parametrize("other", [clip_of(size=5, sample="b"), clip_of(has_events=False)])
def test_clips_that_differ_make_no_batch(other):
    with pytest.raises(DatasetError, match="with one configuration"):
        collate([clip_of(), other])


def test_no_clips_make_no_batch():
    with pytest.raises(DatasetError, match="at least one clip"):
        collate([])


def test_a_batch_goes_to_a_device_as_a_whole(moving_dot):
    config = ClipConfig(frames=2, size=4, modalities=("rgb",))
    batch = collate([make_clip(moving_dot, config, sample="dot", label=3)])
    there = batch.to("meta")
    assert there.rgb.device.type == there.labels.device.type == "meta"
    assert there.rgb.shape == batch.rgb.shape
    assert there.events is None
    assert there.samples == ["dot"]
