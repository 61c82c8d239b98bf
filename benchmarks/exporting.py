"""Exported files beside PyTorch: time of an answer, size, difference; and accuracy on a dataset.

    python benchmarks/exporting.py
    python benchmarks/exporting.py --backbone vit_small_patch16_224 --rounds 5
    python benchmarks/exporting.py --bundle run/bundle --dataset dataset    # accuracy of each
    python benchmarks/exporting.py --families                               # every family and kind
    python benchmarks/exporting.py --short       # families and times in minutes, on a quiet machine

PyTorch is the recognizer as `evlora.predict` uses it, adapters folded. All variants take turns in
one process with as many threads each, and a ratio is the median over the rounds. There are two
clocks: the time that passes, and the processor time of this process, in which other work on the
machine counts less; with several threads the latter includes how long they wait for each other.
"""

import argparse
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import torch

import evlora
from evlora.answering import for_answers
from evlora.clips import collate
from evlora.datasets import read_manifest
from evlora.exporting.formats import FORMATS, FormatName
from evlora.exporting.onnx_files import OnnxSession
from evlora.packing import clip_dataset
from evlora.recognizer import Recognizer

CLASSES = 114
KINDS: dict[str, dict[str, Any]] = {
    "image": {"clip.frames": 1, "clip.modalities": ["rgb"], "model.network": "single_stream"},
    "video, 8 frames": {"clip.modalities": ["rgb"], "model.network": "single_stream"},
    "VELoRA, 8 moments": {},
}
FORMS: tuple[FormatName, ...] = tuple(form for form in FORMATS if form.startswith("onnx"))
Answer = Callable[[list[torch.Tensor]], Any]
SHORT_KINDS = ("image", "VELoRA, 8 moments")
SHORT_FORMS: tuple[FormatName, ...] = ("onnx", "onnx-int8")
SHORT_ROUNDS = 5


class Spent(NamedTuple):
    """How long an answer takes."""

    passed: float
    """Seconds by the clock on the wall."""
    worked: float
    """Seconds of the processors."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--backbone", default="vit_tiny_patch16_224", help="a ViT of timm")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bundle", type=Path, help="with --dataset: accuracy instead of time")
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--families", action="store_true", help="differences of small networks")
    parser.add_argument("--short", action="store_true", help="what a release is checked with")
    options = parser.parse_args()
    print(
        f"{date.today()}, {platform.machine()}, {torch.get_num_threads()} thread(s), torch "
        f"{torch.__version__}, onnxruntime {onnxruntime.__version__}, "
        f"{torch.backends.cpu.get_cpu_capability()}\n"
    )
    if options.short:
        print_families(kinds=("velora", "image", "video"), live_kinds=("velora",))
        print()
        print_times(options.backbone, SHORT_KINDS, SHORT_ROUNDS, forms=SHORT_FORMS)
    elif options.families:
        print_families()
    elif options.bundle is not None:
        print_accuracy(options.bundle, options.dataset)
    else:
        print_times(options.backbone, options.kinds, options.rounds)


def print_times(
    backbone: str, kinds: Sequence[str], rounds: int, *, forms: Sequence[FormatName] = FORMS
) -> None:
    """Time of one clip, batch 1."""
    print("| recognizer | variant | file | one clip | × | processors | × | largest difference |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for kind in kinds:
        recognizer = built(backbone, kind)
        with tempfile.TemporaryDirectory() as folder:
            answers: dict[str, Answer] = {"PyTorch": of_torch(for_answers(recognizer))}
            notes: dict[str, tuple[str, str]] = {"PyTorch": ("–", "–")}
            for form in forms:
                made = evlora.export(recognizer, Path(folder) / f"{form}.onnx", format=form)
                answers[form] = of_onnx(made.files[0])
                size = made.files[0].stat().st_size / 1e6
                notes[form] = (f"{size:.1f} MB", f"{made.check.largest_difference:.1e}")
            spent = interleaved(answers, images_of(recognizer, 1), rounds)
        for name, times in spent.items():
            file, difference = notes[name]
            cells: list[str] = []
            for clock in Spent._fields:
                theirs = [getattr(one, clock) for one in spent["PyTorch"]]
                ours = [getattr(one, clock) for one in times]
                ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
                median = 1e3 * statistics.median(ours)
                cells += [f"{median:.1f} ms", f"{statistics.median(ratios):.2f} ×"]
            print(f"| {kind} | {name} | {file} | {' | '.join(cells)} | {difference} |", flush=True)


def print_accuracy(bundle: Path, dataset: Path) -> None:
    """Top-1 of the test split, one test view, in each format."""
    recognizer = evlora.load_bundle(bundle)
    manifest = read_manifest(dataset)
    clips = clip_dataset(manifest, "test", recognizer.clip_config)
    samples = [clips[number] for number in range(len(clips))]
    print(f"| variant | top-1 of {len(samples)} | first label as PyTorch's | seconds |")
    print("|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        answers: dict[str, Answer] = {"PyTorch": of_torch(for_answers(recognizer))}
        for form in FORMS:
            made = evlora.export(recognizer, Path(folder) / f"{form}.onnx", format=form)
            answers[form] = of_onnx(made.files[0])
        theirs = None
        for name, answer in answers.items():
            began = time.process_time()
            first: list[int] = []
            for start in range(0, len(samples), 10):
                batch = collate(samples[start : start + 10])
                images = [x for x in (batch.rgb, batch.events) if x is not None]
                first += np.asarray(answer(images)).argmax(axis=1).tolist()
            seconds = time.process_time() - began
            theirs = theirs or first
            right = np.mean([a == clip.label for a, clip in zip(first, samples, strict=True)])
            same = np.mean(np.array(first) == np.array(theirs))
            print(f"| {name} | {right:.1%} | {same:.1%} | {seconds:.1f} |", flush=True)


def print_families(
    kinds: Sequence[str] | None = None, live_kinds: Sequence[str] | None = None
) -> None:
    """The largest difference of every family and kind of network, whole and live."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
    from backbone_families import FAMILIES  # pyright: ignore[reportMissingImports]
    from exportable import KINDS as SMALL  # pyright: ignore[reportMissingImports]
    from exportable import exportable  # pyright: ignore[reportMissingImports]

    print("| backbone | network | one graph | encode and decide |")
    print("|---|---|---:|---:|")
    for family in FAMILIES:
        for kind in SMALL if kinds is None else kinds:
            torch.manual_seed(0)
            recognizer = exportable(kind, family)
            cells: list[str] = []
            for live in (False, True):
                if live and live_kinds is not None and kind not in live_kinds:
                    cells.append("–")
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    made = evlora.export(recognizer, Path(folder) / "x.onnx", live=live)
                    cells.append(f"{made.check.largest_difference:.1e}")
            print(f"| {family} | {kind} | {' | '.join(cells)} |", flush=True)


def built(backbone: str, kind: str) -> Recognizer:
    """A recognizer with random weights whose adapters have left their start."""
    torch.manual_seed(0)
    keys = {"backbone.name": backbone, "backbone.weights": "random", **KINDS[kind]}
    recognizer = evlora.build("velora_vitb16_clip", num_classes=CLASSES, overrides=keys)
    with torch.no_grad():
        for parameter in recognizer.trained_tensors().values():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return recognizer.eval()


def images_of(recognizer: Recognizer, clips: int) -> list[torch.Tensor]:
    config = recognizer.clip_config
    shape = (clips, config.frames, 3, *config.size_px)
    return [torch.randint(0, 256, shape, dtype=torch.uint8) for _ in config.modalities]


def of_torch(recognizer: Recognizer) -> Answer:
    modalities = recognizer.clip_config.modalities

    def answer(images: list[torch.Tensor]) -> Any:
        given = dict(zip(modalities, images, strict=True))
        with torch.inference_mode():
            return recognizer.answer(given.get("rgb"), given.get("event")).numpy()

    return answer


def of_onnx(file: Path) -> Answer:
    session = OnnxSession(file, threads=torch.get_num_threads())
    return lambda images: session([image.numpy() for image in images])[0]


def interleaved(
    answers: dict[str, Answer], images: list[torch.Tensor], rounds: int
) -> dict[str, list[Spent]]:
    """What each answer takes in each round but the first, in which all of them warm up."""
    spent: dict[str, list[Spent]] = {name: [] for name in answers}
    for number in range(rounds + 1):
        for name, answer in answers.items():
            began, began_work = time.perf_counter(), time.process_time()
            answer(images)
            if number:
                worked = time.process_time() - began_work
                spent[name].append(Spent(time.perf_counter() - began, worked))
    return spent


if __name__ == "__main__":
    main()
