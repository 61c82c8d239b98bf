"""How large packed clips are, how fast they are decoded, and what loss changes in an answer.

    python benchmarks/packing.py VIDEOS            # a folder of videos
    python benchmarks/packing.py FRAMES --frames   # recordings or pictures as a DAVIS wrote them
    python benchmarks/packing.py PHOTOGRAPHS --davis 2   # frames like those of a DAVIS
    python benchmarks/packing.py VIDEOS --weights vit_tiny.safetensors

Each way packs the same recordings; clips of 8 moments of 224 px are then read in turns, each way
once a round, so that a busy machine slows all of them. *Size* is over that of the source, or over
PNG files of the same frames with --frames. --davis makes 8 grey frames of 346×260 of each
photograph, a window that moves over it, with Gaussian noise of this standard deviation; reading
the PNG files is a row more. For videos two more rows stand first: *the video itself*, as
training without packing reads it, and *AV1* in groups of 8 frames, which evlora does not write:
decoding begins at the first frame of a group. The clock is the processor time of this process. With
--weights, a ViT classifies frames of both forms: *same top-1* is the share of equal answers, which
bounds the loss of accuracy from above.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from PIL import Image

from evlora.clips import ClipConfig, make_clip
from evlora.packing.codec import decode, encode
from evlora.recordings import FrameSequence, Recording, open_recording
from evlora.recordings.frames import ImageArray

CLIP = ClipConfig(frames=8, modalities=("rgb",), size=224)
CLASSIFIER = "vit_tiny_patch16_224"
FRAMES_CLASSIFIED = 4
DAVIS_PX, DAVIS_STEP_PX = (346, 260), 2
AV1_GROUP = 8
os.environ.setdefault("SVT_LOG", "1")  # errors alone; the encoder prints its settings otherwise
AV1_OPTIONS = {"crf": "30", "preset": "8", "svtav1-params": "lp=1:pred-struct=1"}


class Way(NamedTuple):
    """How recordings are packed."""

    name: str
    options: dict[str, Any]


WAYS = (
    Way("lossless", {}),
    Way("lossless, 256 px", {"shorter_side_px": 256}),
    Way("jpeg:95, 256 px", {"lossy": "jpeg:95", "shorter_side_px": 256}),
    Way("jpeg:85, 256 px", {"lossy": "jpeg:85", "shorter_side_px": 256}),
    Way(
        "jpeg:85, 256 px, 32 frames", {"lossy": "jpeg:85", "shorter_side_px": 256, "max_frames": 32}
    ),
    Way("webp:80, 256 px", {"lossy": "webp:80", "shorter_side_px": 256}),
    Way(
        "webp:80, 256 px, 32 frames", {"lossy": "webp:80", "shorter_side_px": 256, "max_frames": 32}
    ),
)


def main() -> None:
    """Pack, read and classify, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recordings", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", action="store_true", help="compare with PNG files of frames")
    parser.add_argument("--davis", type=float, metavar="NOISE", help="frames made of photographs")
    parser.add_argument("--weights", type=Path, help=f"of {CLASSIFIER} of timm")
    arguments = parser.parse_args()
    files = sorted(path for path in arguments.folder.rglob("*") if path.is_file())
    files = [path for path in files if path.suffix not in (".md", ".csv")]
    files = files[:: max(1, len(files) // arguments.recordings)][: arguments.recordings]
    if arguments.davis is None:
        measure(files, arguments, is_png=arguments.frames)
        return
    with tempfile.TemporaryDirectory() as folder:
        out, generator = Path(folder), np.random.default_rng(0)
        for number, path in enumerate(files):
            write_frames(path, out / f"{number:03d}", arguments.davis, generator)
        measure(sorted(out.iterdir()), arguments, is_png=True)


def measure(files: Sequence[Path], arguments: argparse.Namespace, *, is_png: bool) -> None:
    """Print the table; sizes are over those of PNG files of all frames, or over the files'."""
    recordings = [open_recording(path) for path in files]
    reference = sum(map(png_bytes, recordings)) if is_png else None
    source = reference or sum(path.stat().st_size for path in files)
    items = {
        way.name: [encode(one, CLIP, sample="a", label=0, **way.options) for one in recordings]
        for way in WAYS
    }
    seconds = dict.fromkeys(items, 0.0)
    reading(items["lossless"])  # the first one loads what all of them need
    for _ in range(arguments.rounds):
        for name, packed in items.items():
            seconds[name] += reading(packed)
    clips = arguments.rounds * len(files)
    over = "PNG" if is_png else "the source"
    print(f"{len(files)} recordings, {source / 1e6:.1f} MB as {over}")
    print(f"| way | size over {over} | clips/s | largest error of a clip | same top-1 |")
    print("|---|---|---|---|---|")
    if not is_png:
        print_videos(files, recordings, source, arguments.rounds)
    elif arguments.davis is not None:
        begun = time.process_time()
        for path in [*files] * arguments.rounds:
            make_clip(open_recording(path), CLIP, sample="a", label=0, generator=None)
        speed = clips / (time.process_time() - begun)
        print(f"| the PNG files themselves | 1.00 | {speed:.1f} | 0.0 | not measured |")
    exact = [answers(item, arguments.weights) for item in items["lossless"]]
    for name, packed in items.items():
        size = sum(item["frames"].nbytes for item in packed) / source
        same = agreement(exact, [answers(item, arguments.weights) for item in packed])
        cells = (name, f"{size:.2f}", f"{clips / seconds[name]:.1f}", error(items, name), same)
        print(f"| {' | '.join(cells)} |")


def write_frames(photograph: Path, out: Path, noise: float, generator: np.random.Generator) -> None:
    """Write a folder of frames: a window that moves over a grey photograph."""
    out.mkdir()
    (width, height), reach = DAVIS_PX, DAVIS_STEP_PX * CLIP.frames
    with Image.open(photograph) as opened:
        grey = opened.convert("L").resize((width + reach, height + reach))
    for number in range(CLIP.frames):
        first = DAVIS_STEP_PX * number
        seen = np.asarray(grey, float)[first : first + height, first : first + width]
        pixels = (seen + generator.normal(0, noise, seen.shape)).round().clip(0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(out / f"{number:03d}.png")


def print_videos(
    files: Sequence[Path], recordings: Sequence[Recording], source: float, rounds: int
) -> None:
    """Print the rows of the videos as they are, and of the same frames as AV1."""
    groups = [av1(recording) for recording in recordings]
    seconds = {"the video itself": 0.0, f"AV1, groups of {AV1_GROUP}": 0.0}
    for _ in range(rounds):
        begun = time.process_time()
        for path in files:
            make_clip(open_recording(path), CLIP, sample="a", label=0, generator=None)
        between = time.process_time()
        for one in groups:
            frames = FrameSequence.from_images(av1_frames(one))
            recording = Recording(None, frames, "av1")
            make_clip(recording, CLIP, sample="a", label=0, generator=None)
        for name, own in zip(
            seconds, (between - begun, time.process_time() - between), strict=True
        ):
            seconds[name] += own
    sizes = (1.0, sum(len(data) for one in groups for data in one) / source)
    for (name, took), size in zip(seconds.items(), sizes, strict=True):
        speed = f"{rounds * len(files) / took:.1f}"
        print(f"| {name} | {size:.2f} | {speed} | not compared | not measured |")


def av1(recording: Recording) -> list[bytes]:
    """The frames of a recording, a stream for each group."""
    assert recording.frames is not None
    images = recording.frames.take(list(range(len(recording.frames))))
    height, width = images.shape[1:3]
    groups: list[bytes] = []
    for first in range(0, len(images), AV1_GROUP):
        target = io.BytesIO()
        with av.open(target, "w", format="matroska") as container:
            stream = container.add_stream("libsvtav1", rate=25, options=AV1_OPTIONS)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for image in images[first : first + AV1_GROUP]:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
        groups.append(target.getvalue())
    return groups


def av1_frames(groups: Sequence[bytes]) -> ImageArray:
    """As many evenly chosen frames as a clip has, each decoded from the beginning of its group."""
    found: list[ImageArray] = []
    count = AV1_GROUP * len(groups)
    for place in ((np.arange(CLIP.frames) + 0.5) / CLIP.frames * count).astype(int).tolist():
        with av.open(io.BytesIO(groups[place // AV1_GROUP]), "r") as container:
            container.streams.video[0].thread_count = 1
            *_, last = islice(container.decode(video=0), place % AV1_GROUP + 1)
            found.append(np.asarray(last.to_ndarray(format="rgb24"), np.uint8))
    return np.stack(found)


def png_bytes(recording: Recording) -> int:
    """The size of a recording's frames as PNG files."""
    assert recording.frames is not None
    size = 0
    for number in range(len(recording.frames)):
        target = io.BytesIO()
        image = recording.frames[number]
        is_grey = bool((image == image[..., :1]).all())
        Image.fromarray(image[..., 0] if is_grey else image).save(target, "PNG")
        size += target.tell()
    return size


def reading(packed: Sequence[dict[str, Any]]) -> float:
    """Seconds of the processor for a clip of each."""
    begun = time.process_time()
    for item in packed:
        make_clip(decode(item), CLIP, sample="a", label=0, generator=None)
    return time.process_time() - begun


def frames_of(item: dict[str, Any]) -> ImageArray:
    """Frames at evenly chosen places of the recording, whatever was kept of it."""
    frames = decode(item).frames
    assert frames is not None
    places = (np.arange(FRAMES_CLASSIFIED) + 0.5) / FRAMES_CLASSIFIED * len(frames)
    return frames.take(places.astype(int).tolist())


def error(items: dict[str, list[dict[str, Any]]], name: str) -> str:
    """The largest mean absolute difference of a clip, of 255, from the lossless one at its size."""
    if name.endswith(" frames"):
        return "other frames"
    exact = items["lossless" if name == "lossless" else "lossless, 256 px"]
    worst = 0.0
    for before, after in zip(exact, items[name], strict=True):
        first, second = (
            make_clip(decode(item), CLIP, sample="a", label=0, generator=None).rgb
            for item in (before, after)
        )
        assert first is not None
        assert second is not None
        worst = max(worst, float((first.float() - second.float()).abs().mean()))
    return f"{worst:.1f}"


def answers(item: dict[str, Any], weights: Path | None) -> list[int]:
    """The classes of frames; none without weights."""
    if weights is None:
        return []
    images = torch.from_numpy(frames_of(item)).permute(0, 3, 1, 2).float() / 255
    scaled = torch.nn.functional.interpolate(images, (224, 224), mode="bilinear", antialias=True)
    with torch.inference_mode():
        return classifier(weights)((scaled - 0.5) / 0.5).argmax(dim=1).tolist()


_CLASSIFIERS: dict[Path, Any] = {}


def classifier(weights: Path) -> Any:
    """The ViT with its ImageNet head."""
    if weights not in _CLASSIFIERS:
        from safetensors.torch import load_file
        from timm import create_model

        model = create_model(CLASSIFIER, num_classes=1000).eval()
        model.load_state_dict({name: value.float() for name, value in load_file(weights).items()})
        _CLASSIFIERS[weights] = model
    return _CLASSIFIERS[weights]


def agreement(first: list[list[int]], second: list[list[int]]) -> str:
    """The share of equal answers."""
    pairs = [
        pair for one, two in zip(first, second, strict=True) for pair in zip(one, two, strict=True)
    ]
    return f"{100 * sum(a == b for a, b in pairs) / len(pairs):.0f} %" if pairs else "not measured"


if __name__ == "__main__":
    main()
