"""How fast clips are loaded: from recordings, from folders of pictures, and packed.

    python benchmarks/loading.py
    python benchmarks/loading.py --steps vit_tiny_patch16_224 vit_base_patch16_clip_224

The clips are made for it: a cloud of colours with the spectrum of natural pictures drifts over
346×260 pixels, and the simulator tells which events a DAVIS346 would have seen. The three forms
hold the same clips, which is checked. Each worker of a loader does what is measured here, one clip
after the other on one core; the clock is the processor time of this process, so what else the
machine does counts less. Every form is gone through once to warm up and then `--repeats` times,
the forms in turn, and the medians are compared. All files are in the system's cache.

The last table sets the loader beside a training step of VELoRA on this processor: its share of the
work is what a loader in the training process costs, and no worker would.
"""

import argparse
import os
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from evlora.clips import ClipConfig
from evlora.clips.sampling import choose_moments
from evlora.clips.transforms import Augmentation
from evlora.datasets import ClipDataset, Manifest, prepare, read_manifest
from evlora.packing import clip_dataset, pack
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.frames import ImageArray
from evlora.recordings.representations import event_image
from evlora.recordings.simulator import EventSimulator
from evlora.recordings.writers import write_recording
from recordings import measure

WIDTH, HEIGHT = 346, 260
FRAME_US = 33_333
PICTURES = "PNG folders"
# Dropping events is left out: only the recordings hold any.
CONFIG = ClipConfig(frames=8, size=224, augmentation=Augmentation(event_drop=0))


def main() -> None:
    """Make the clips, then measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=32, help="of each recording")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", nargs="*", default=["vit_tiny_patch16_224"], help="backbones")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},")
    print(f"torch {torch.__version__}; one thread")
    with tempfile.TemporaryDirectory() as folder:
        manifests = make(Path(folder), options.clips, options.frames)
        seconds = load(manifests, options.repeats)
        for backbone in options.steps:
            step(backbone, seconds)


def load(manifests: Mapping[str, Manifest], repeats: int) -> dict[str, float]:
    """Print clips a second of each form; returns the seconds of a training clip of each."""
    print("\nClips a second of one worker; 8 frames and 8 event pictures of 224 px\n")
    print("| from | evaluation, × PNG folders | clips/s | training, × PNG folders | clips/s |")
    print("|---|---|---|---|---|")
    results: dict[str, dict[str, float]] = {}
    for name, is_training in (("evaluation", False), ("training", True)):
        datasets = {
            form: clip_dataset(manifest, "train", CONFIG, is_training=is_training)
            for form, manifest in manifests.items()
        }
        require_same(list(datasets.values()))
        functions: dict[str, Callable[[], object]] = {
            form: lambda dataset=dataset: [dataset[i] for i in range(len(dataset))]
            for form, dataset in datasets.items()
        }
        count = len(next(iter(datasets.values())))
        medians = measure(functions, repeats)
        results[name] = {form: seconds / count for form, seconds in medians.items()}
    for form in manifests:
        cells = [form]
        for figures in results.values():
            cells += [f"{figures[PICTURES] / figures[form]:.1f}", f"{1 / figures[form]:.1f}"]
        print(f"| {' | '.join(cells)} |", flush=True)
    return results["training"]


def step(backbone: str, loading: Mapping[str, float]) -> None:
    """Print the loader's share of a training step of VELoRA on this backbone, random weights."""
    from torch.nn.functional import cross_entropy

    from evlora.recipe import build

    keys = {"backbone.name": backbone, "backbone.weights": "random"}
    recognizer = build("velora_vitb16_clip", num_classes=100, overrides=keys).train()
    pictures = torch.rand(1, 8, 3, 224, 224)

    def learn() -> None:
        logits = recognizer.recognize(pictures, pictures).logits
        cross_entropy(logits, torch.zeros(1, dtype=torch.int64)).backward()

    seconds = measure({backbone: learn}, 1)[backbone]
    print(f"\n| VELoRA on {backbone}: {seconds:.2f} s a clip | the loader's share of a step |")
    print("|---|---|")
    for form, clip in loading.items():
        print(f"| {form} | {clip / (clip + seconds):.1%} |", flush=True)


def make(folder: Path, clips: int, frames: int) -> dict[str, Manifest]:
    """The same clips as recordings, as folders of pictures, and packed."""
    events_in_all = 0
    raw, drawn = (folder / name / "train" / "all" for name in ("raw", "drawn"))
    raw.mkdir(parents=True)
    for number in range(clips):
        recording = simulated(moving_cloud(frames, seed=number))
        assert recording.events is not None
        assert recording.frames is not None
        events_in_all += len(recording.events)
        write_recording(recording, raw / f"{number:03d}.npz")
        windows = choose_moments(recording, frames).windows_us
        save(recording.frames.take(range(frames)), drawn / f"{number:03d}" / "rgb")
        pictures = event_image(recording.events, windows).transpose(0, 2, 3, 1)
        save(pictures, drawn / f"{number:03d}" / "event")
    prepare("class_tree", folder / "raw", folder / "raw_index")
    prepare("class_tree", folder / "drawn", folder / "drawn_index")
    pack(folder / "raw_index", folder / "packed", CONFIG)
    megabytes = {
        name: sum(path.stat().st_size for path in folder.glob(pattern)) / clips / 1e6
        for name, pattern in {
            "npz with frames": "raw/**/*.npz",
            "frames as PNG": "drawn/**/rgb/*",
            "event pictures as PNG": "drawn/**/event/*",
            "packed": "packed/*/*.bin",
        }.items()
    }
    print(
        f"\n{clips} recordings of {frames} frames, {events_in_all / clips / frames:,.0f} events a "
        f"frame; MB each: {', '.join(f'{name} {size:.1f}' for name, size in megabytes.items())}"
    )
    return {
        "recordings (npz)": read_manifest(folder / "raw_index"),
        PICTURES: read_manifest(folder / "drawn_index"),
        "packed": read_manifest(folder / "packed"),
    }


def moving_cloud(frames: int, *, seed: int) -> ImageArray:
    """Three clouds, 1/f like natural pictures and much alike, that drift; (T, H, W, 3)."""
    size = 512
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = np.inf
    clouds: list[ImageArray] = []
    for _ in range(4):
        phase = np.exp(2j * np.pi * random.random(frequency.shape))
        cloud = np.fft.irfft2(phase / frequency, s=(size, size))
        clouds.append(cloud / cloud.std())
    colours = np.stack([clouds[0] + 0.3 * cloud for cloud in clouds[1:]], axis=-1)
    picture = np.clip(128 + 45 * colours, 0, 255).astype(np.uint8)
    steps = [(n // 2 % (size - HEIGHT), n % (size - WIDTH)) for n in range(frames)]
    images = np.stack([picture[y : y + HEIGHT, x : x + WIDTH] for y, x in steps])
    noise = random.normal(0, 1, images.shape)  # of the sensor
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def simulated(images: ImageArray) -> Recording:
    """The recording of a camera that saw these pictures."""
    simulator = EventSimulator(width=WIDTH, height=HEIGHT)
    grey = (images @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
    parts = [simulator.push(frame, FRAME_US * number) for number, frame in enumerate(grey)]
    fields = [
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("t_us", "x", "y", "polarity")
    ]
    times = FRAME_US * np.arange(len(images))
    return Recording(
        EventStream.from_arrays(*fields, width=WIDTH, height=HEIGHT),
        FrameSequence.from_images(images, start_us=times),
        "simulated",
    )


def save(images: ImageArray, folder: Path) -> None:
    """Write pictures as PNG, numbered from 0."""
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:08d}.png")


def require_same(datasets: Sequence[ClipDataset]) -> None:
    """Check that the forms give the same clips."""
    first, *others = (dataset[0] for dataset in datasets)
    for clip in others:
        for one, other in ((first.rgb, clip.rgb), (first.events, clip.events)):
            assert one is not None
            assert other is not None
            assert torch.equal(one, other)


if __name__ == "__main__":
    main()
