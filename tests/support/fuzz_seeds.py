"""Sound inputs of every border by which something comes in, for the fuzz to damage."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from exportable import exportable
from packed_form import pack
from PIL import Image
from recording_samples import HEIGHT, SAMPLES, VARIANTS, WIDTH
from served import moments_of, opening, recording_of
from small_recordings import write_recording
from table_samples import TABLE_VARIANTS
from video_samples import CODINGS, moving_images, write_video

from evlora.bundle import save_bundle
from evlora.clips import ClipConfig
from evlora.datasets import prepare
from evlora.exporting import export
from evlora.models import BackboneConfig
from evlora.models.backbone import build_backbone
from evlora.recipe import build

REAL_SAMPLE_BYTES = 300_000
"""Longer samples are cut to this, so that a damage is near what is read."""
REAL_FORMATS = {".aedat4": "aedat4", ".es": "es", ".dat": "dat", ".bin": "nmnist"}
VIDEOS = ("mpeg4.avi", "h264.ts", "mpeg2.mpg", "vp9.webm", "hevc.mp4", "mjpeg.avi", "wmv2.wmv")


class Seed(NamedTuple):
    """A sound input, and the files in it that are damaged."""

    border: str
    """What opens it: one of the worker's `BORDERS`."""
    kind: str
    """Under which it is counted: the format of a recording, otherwise the border."""
    path: Path
    files: tuple[str, ...] = ("",)
    """Below the path; the path itself by default."""
    is_text: bool = False
    """Whether marks of text are put in as well."""
    asked: dict[str, Any] = {}  # noqa: RUF012 (a NamedTuple's default, which nobody changes)
    """What the worker is given beside the path."""


def recordings(folder: Path, data_root: Path) -> list[Seed]:
    """Small generated files of every format, and the beginnings of the real ones."""
    folder.mkdir()
    paths = [(name, make(folder / name.replace(".", "_"))) for name, make in SAMPLES.items()]
    for name, (form, make) in {**TABLE_VARIANTS, **VARIANTS}.items():
        paths.append((form, make(folder / name)))
    for path in sorted((data_root / "recordings").iterdir()):
        form = REAL_FORMATS.get(path.suffix) or path.name.split("_")[1].removesuffix(".raw")
        copy = folder / path.name
        copy.write_bytes(path.read_bytes()[:REAL_SAMPLE_BYTES])
        paths.append((form, copy))
    sizes = {"width": WIDTH, "height": HEIGHT}
    return [
        Seed("recording", form, path, asked=sizes if form == "npy" else {}) for form, path in paths
    ]


def more_recordings(folder: Path, data_root: Path) -> list[Seed]:
    """Further kinds of videos and pictures, and a real DVS128."""
    folder.mkdir()
    made: list[tuple[str, Path]] = []
    for name in VIDEOS:
        coding = CODINGS[name.partition(".")[0]]
        made.append(("video", write_video(folder / name, coding, b_frames=coding.has_b_frames)))
    image = Image.fromarray(moving_images(1)[0])
    turned = Image.Exif()
    turned[0x0112] = 6  # the orientation
    image.save(folder / "turned.jpg", exif=turned)
    for name in ("picture.bmp", "picture.ppm", "picture.gif"):
        image.save(folder / name)
    names = ("turned.jpg", "picture.bmp", "picture.ppm", "picture.gif")
    made += [("images", folder / name) for name in names]
    real = next((data_root / "dvs128_objects").rglob("*.aedat"))
    copy = folder / "real.aedat"
    copy.write_bytes(real.read_bytes()[:REAL_SAMPLE_BYTES])
    return [Seed("recording", form, path) for form, path in [*made, ("aedat2", copy)]]


def documents(folder: Path, root: Path, settings: dict[str, Any]) -> list[Seed]:
    """A recipe, a bundle, a table, a prepared dataset, and a checkpoint."""
    folder.mkdir()
    recipe = folder / "recipe.yaml"
    shutil.copy(root / "recipes" / "demo.yaml", recipe)
    bundle = bundle_without_hashes(folder, settings)
    names = {file.relative_to(bundle).as_posix() for file in bundle.rglob("*") if file.is_file()}
    damaged_names = ("config.json", *sorted(names - {"README.md", "backbone.safetensors"}))
    table(folder / "of")
    prepare("csv", folder / "of", folder / "dataset")
    shutil.copytree(folder / "of", folder / "table")
    return [
        Seed("recipe", "recipe", recipe, is_text=True),
        Seed("bundle", "bundle", bundle, damaged_names, is_text=True),
        Seed("table", "table", folder / "table" / "index.csv", is_text=True),
        Seed(
            "dataset",
            "dataset",
            folder / "dataset",
            ("dataset.json", "manifest.jsonl"),
            is_text=True,
        ),
        Seed("checkpoint", "checkpoint", checkpoint(folder / "last.ckpt"), is_text=True),
    ]


def bundle_without_hashes(folder: Path, settings: dict[str, Any]) -> Path:
    """A bundle; its hashes would refuse every damage before anything looks at it."""
    path = save_bundle(build("demo", num_classes=3, overrides=settings), folder / "bundle")
    description = path / "config.json"
    head, _, tail = description.read_text().partition('"sha256": {')
    description.write_text(head.rstrip().rstrip(",") + tail.partition("}")[2])
    return path


def table(folder: Path) -> None:
    folder.mkdir()
    for number in range(4):
        write_recording(folder / f"{number}.npz", number)
    rows = [f"{('train', 'test')[n % 2]},{n}.npz,{'ab'[n // 2]},0,1" for n in range(4)]
    header = "split,events,label,start_us,end_us"
    (folder / "index.csv").write_text("\n".join([header, *rows, ""]))


def checkpoint(path: Path) -> Path:
    content = {"epoch": 0, "global_step": 0, "loops": {}, "callbacks": {}, "lr_schedulers": []}
    content |= {"state_dict": {"a": torch.zeros(9)}, "optimizer_states": [{"state": {}}]}
    torch.save(content, path)
    return path


def models(folder: Path, dataset: Path) -> list[Seed]:
    """Packed clips, an exported file, and weight files of both kinds."""
    from safetensors.torch import save_file

    from evlora.datasets import read_manifest

    folder.mkdir()
    packed = folder / "packed"
    pack(read_manifest(dataset), ClipConfig(frames=2, size=32), packed)
    chunks = sorted(path.relative_to(packed).as_posix() for path in packed.rglob("*/*"))
    exported = folder / "image.onnx"
    export(exportable("image"), exported)
    options: dict[str, Any] = {"patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 2}
    config = BackboneConfig(name="vit_tiny_patch16_224", weights="random", options=options)
    tensors = build_backbone(config, size=(32, 32)).state_dict()
    save_file(tensors, folder / "weights.safetensors")
    torch.save(tensors, folder / "weights.pth")
    return [
        Seed("packed", "packed", packed, tuple(chunks)),
        Seed("exported", "exported", exported),
        *(Seed("weights", "weights", folder / f"weights.{s}") for s in ("safetensors", "pth")),
    ]


def service(folder: Path, bundle: Path, uploads: Sequence[Seed]) -> list[Seed]:
    """Recordings that are uploaded, and the messages of a camera."""
    folder.mkdir()
    asked = {"bundle": str(bundle)}
    camera = folder / "camera.bin"
    messages = [opening(pictures=True).encode()]
    for moment in moments_of(recording_of(moments=3)):
        messages += moment
    framed = [len(message).to_bytes(4, "little") + message for message in messages]
    camera.write_bytes(b"".join(framed))
    hidden = [
        "event" if seed.kind in ("images", "video") else ("rgb", "")[number % 2]
        for number, seed in enumerate(uploads)
    ]
    return [
        *(
            Seed("service", "service", seed.path, asked={**asked, "without": without})
            for seed, without in zip(uploads, hidden, strict=True)
        ),
        *[Seed("camera", "camera", camera, asked=asked, is_text=True)] * 4,
    ]
