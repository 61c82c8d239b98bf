"""The packed form gives the clips that the recording gives, bit for bit."""

import numpy as np
import pytest
import torch

from evlora.clips import Clip, ClipConfig, make_clip
from evlora.clips.transforms import Augmentation
from evlora.datasets.rendering import PackedAbout, Rendering
from evlora.errors import DatasetError, RecordingError
from evlora.packing.codec import decode, encode, name_of
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.representations import REPRESENTATIONS

NO_DROP = Augmentation(event_drop=0)


def recording_of(
    *, frames: int = 12, events: int = 2_000, is_grey: bool = False, seed: int = 0
) -> Recording:
    """120 ms of noise on 40×30 pixels, with smaller frames that were exposed for 5 ms each."""
    random = np.random.default_rng(seed)
    t_us = np.sort(random.integers(0, 120_000, events))
    x, y = random.integers(0, 40, events), random.integers(0, 30, events)
    stream = EventStream(t_us, x, y, random.random(events) < 0.5, 40, 30) if events else None
    if not frames:
        return Recording(stream, None, "test")
    shape = (frames, 24, 32) if is_grey else (frames, 24, 32, 3)
    pixels = random.integers(0, 256, shape, dtype=np.uint8)
    start_us = 120_000 * np.arange(frames) // frames
    sequence = FrameSequence.from_images(pixels, start_us=start_us, end_us=start_us + 5_000)
    return Recording(stream, sequence, "test")


def with_pictures(recording: Recording, *, keeps_events: bool) -> Recording:
    assert recording.frames is not None
    pixels = np.random.default_rng(5).integers(0, 256, (len(recording.frames), 30, 40, 3), np.uint8)
    return Recording(
        recording.events if keeps_events else None,
        recording.frames,
        "test",
        event_images=FrameSequence.from_images(pixels),
    )


def packed(recording: Recording, config: ClipConfig, **options: int) -> Recording:
    return decode(encode(recording, config, sample="left/3", label=1, **options))


def assert_same(first: Clip, second: Clip) -> None:
    for a, b in ((first.rgb, second.rgb), (first.events, second.events)):
        assert (a is None) == (b is None)
        assert a is None or b is None or torch.equal(a, b)


RECORDINGS = {
    "many frames": recording_of(),
    "grey frames": recording_of(is_grey=True),
    "as many frames as moments": recording_of(frames=8),
    "few frames": recording_of(frames=3),
    "one frame": recording_of(frames=1),
    "few frames and no events in them": Recording(
        EventStream.empty(width=40, height=30), recording_of(frames=3).frames, "test"
    ),
    "event images": with_pictures(recording_of(), keeps_events=False),
    "event images beside events": with_pictures(recording_of(), keeps_events=True),
    "few event images": with_pictures(recording_of(frames=3), keeps_events=False),
}


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_clip_of_the_packed_form_is_the_clip_of_the_recording(
    name: str, seed: int | None
) -> None:
    recording = RECORDINGS[name]
    # Where a recording has fewer frames than moments its windows are fixed when it is packed.
    has_all_moments = recording.frames is not None and len(recording.frames) >= 8
    config = ClipConfig(size=(20, 28), jitter=has_all_moments, augmentation=NO_DROP)
    clips = [
        make_clip(one, config, generator=None if seed is None else np.random.default_rng(seed))
        for one in (recording, packed(recording, config))
    ]
    assert_same(*clips)


@pytest.mark.parametrize("window", ["frame", "exposure"])
@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_every_representation_and_window_is_packed_exactly(
    representation: str, window: str
) -> None:
    recording = recording_of(frames=40)  # more than are drawn in one go
    config = ClipConfig.model_validate(
        {
            "size": 20,
            "representation": representation,
            "window": window,
            "augmentation": NO_DROP,
        }
    )
    for seed in range(3):
        clips = [
            make_clip(one, config, generator=np.random.default_rng(seed))
            for one in (recording, packed(recording, config))
        ]
        assert_same(*clips)


@pytest.mark.parametrize(
    ("modality", "frames"), [("rgb", 3), ("rgb", 12), ("event", 0), ("event", 3), ("event", 12)]
)
def test_one_modality_is_packed_without_the_other(modality: str, frames: int) -> None:
    recording = recording_of(frames=frames)
    config = ClipConfig.model_validate({"size": 20, "modalities": [modality]})
    unpacked = packed(recording, config)
    assert (unpacked.frames is None) == (modality == "event")
    assert (unpacked.event_images is None) == (modality == "rgb")
    assert_same(make_clip(recording, config), make_clip(unpacked, config))


def test_clips_of_fewer_moments_come_from_all_the_frames() -> None:
    recording, config = recording_of(frames=12), ClipConfig(frames=8, size=20)
    shorter = config.model_copy(update={"frames": 5, "augmentation": NO_DROP})
    for seed in range(3):
        clips = [
            make_clip(one, shorter, generator=np.random.default_rng(seed))
            for one in (recording, packed(recording, config))
        ]
        assert_same(*clips)


def test_an_item_holds_what_it_was_packed_as() -> None:
    item = encode(recording_of(), ClipConfig(), sample="left/3", label=1)
    assert list(item) == ["sample", "label", "frames", "event_images"]
    assert (name_of(item), item["label"]) == ("left/3", 1)


def test_a_picture_that_several_moments_show_is_stored_once() -> None:
    config = ClipConfig(modalities=("rgb",), size=20)
    one, many = (
        encode(recording_of(frames=frames), config, sample="a", label=0)["frames"].nbytes
        for frames in (1, 8)
    )
    assert many > 6 * one


def test_grey_frames_are_stored_once_not_in_three_channels() -> None:
    config = ClipConfig(modalities=("rgb",), size=20)
    grey, colour = (
        encode(recording_of(is_grey=is_grey), config, sample="a", label=0)["frames"].nbytes
        for is_grey in (True, False)
    )
    assert colour > 2.5 * grey


def test_pictures_are_scaled_to_the_shorter_side_and_never_enlarged() -> None:
    scaled = packed(recording_of(), ClipConfig(), shorter_side_px=12)
    assert scaled.frames is not None
    assert scaled.event_images is not None
    assert (scaled.frames.height, scaled.frames.width) == (12, 16)
    assert (scaled.event_images.height, scaled.event_images.width) == (12, 16)
    kept = packed(recording_of(), ClipConfig(), shorter_side_px=24)
    assert kept.frames is not None
    assert kept.event_images is not None
    assert (kept.frames.height, kept.event_images.height) == (24, 24)
    assert packed(recording_of(), ClipConfig(), shorter_side_px=500).frames is not None


def test_only_the_pictures_that_are_asked_for_are_decompressed() -> None:
    item = encode(recording_of(), ClipConfig(), sample="a", label=0)
    damaged = item["frames"].copy()
    damaged[-20:] = 0  # in the last picture
    item["frames"] = damaged
    frames = decode(item).frames
    assert frames is not None
    assert frames.take([0, 10]).shape == (2, 24, 32, 3)
    with pytest.raises(RecordingError, match=r"packed frames: .* damaged data .picture 11"):
        frames.take([11])


@pytest.mark.parametrize("place", range(0, 16, 4))
def test_a_damaged_header_is_an_error(place: int) -> None:
    item = encode(recording_of(), ClipConfig(), sample="left/3", label=0)
    damaged = item["event_images"].copy()
    damaged[place + 1] ^= 0xFF
    item["event_images"] = damaged
    with pytest.raises(RecordingError, match=r"left/3: packed event images: .*damaged data"):
        make_clip(decode(item), ClipConfig(size=20))


@pytest.mark.parametrize("length", [1, 10, 17, 100, 400])
def test_a_cut_item_is_an_error(length: int) -> None:
    item = encode(recording_of(), ClipConfig(), sample="a", label=0)
    item["frames"] = item["frames"][:length]
    with pytest.raises(RecordingError, match="damaged data"):
        decode(item)


def test_an_item_may_come_as_bytes() -> None:
    item = encode(recording_of(), ClipConfig(), sample="a", label=0)
    as_bytes = {**item, "frames": item["frames"].tobytes(), "event_images": b""}
    assert decode(as_bytes).event_images is None
    assert np.array_equal(decode(as_bytes).frames[3], decode(item).frames[3])


def test_windows_that_depend_on_the_draw_cannot_be_packed() -> None:
    with pytest.raises(DatasetError, match="set window: frame or exposure"):
        packed(recording_of(), ClipConfig(window="segment"))


def test_a_missing_modality_is_named() -> None:
    events, frames = recording_of(frames=0), Recording(None, recording_of().frames, "test")
    with pytest.raises(DatasetError, match="found no frames"):
        packed(events, ClipConfig())
    with pytest.raises(DatasetError, match="found no events"):
        packed(frames, ClipConfig())


def test_the_entry_of_the_dataset_survives_writing() -> None:
    about = PackedAbout(
        codec=1,
        rendering=Rendering.of(ClipConfig(frames=4), shorter_side_px=256),
        items={"train": 7},
        compression="zstd",
        rejected=2,
        evlora="0.1.0",
    )
    assert PackedAbout.model_validate_json(about.model_dump_json()) == about
