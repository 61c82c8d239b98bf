"""`export`: a recognizer becomes one file, or two for live use, once they answer as it does."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from evlora.bundle import load_bundle
from evlora.clips import Clip, ClipConfig, make_clip
from evlora.errors import ExportError
from evlora.exporting.checking import Check, Session, compare, generated_clips, inputs_of
from evlora.exporting.description import description_of
from evlora.exporting.formats import FORMATS, FormatName
from evlora.exporting.graphs import Graph, clip_graph, live_graphs
from evlora.exporting.onnx_files import OnnxSession, require_onnx, write_onnx
from evlora.exporting.openvino_files import (
    OpenVinoSession,
    require_openvino,
    write_openvino,
)
from evlora.exporting.programs import ProgramSession, write_program
from evlora.exporting.quantizing import Feed
from evlora.files import writing_file
from evlora.messages import listed, suggestion
from evlora.recognizer import Recognizer
from evlora.recordings.opening import Input, as_recording

CHECK_SUFFIX = ".check.json"
OF_EXECUTORCH = ".pte"
PLAIN = ("cpu", torch.float32)
"""Device and type of a recognizer that is exported."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how it compares with PyTorch."""

    files: tuple[Path, ...]
    """One file, or those of `encode` and `decide`."""
    check: Check
    check_file: Path
    """The same figures as JSON, beside the file."""


def export(
    recognizer: Recognizer | str | Path,
    out: str | Path,
    *,
    format: FormatName | None = None,
    live: bool = False,
    recordings: Sequence[Input] = (),
    calibration: Sequence[Input] = (),
    weights: str | Path | None = None,
) -> Exported:
    """Write a recognizer as a file that runs without evlora; it is checked before it has its name.

    The graph takes uint8 images, shape (B, T, 3, H, W) for each modality and any B, and gives
    scores, shape (B, K). Adapters are folded into the weights where their method can be; others
    stay in the graph as layers. Labels and how clips are made are in the file's metadata, under
    the key `evlora`. The answers for some clips are compared with PyTorch's; a file that differs
    by more than its format may is not left behind. The figures are written beside it.

    Args:
        recognizer: What to export, or its bundle.
        out: The file: NAME.onnx, NAME.pt2, or NAME.xml, which has its weights beside it in
            NAME.bin. Live use has two, such as NAME.encode.onnx and NAME.decide.onnx.
        format: onnx, onnx-fp16, onnx-int8, openvino or pt2; by default what the suffix names.
        live: Whether to write two graphs: one encodes a moment, shape (B, 3, H, W) for each
            modality and those of the moment before where there is a difference; one decides on
            what the last T moments left.
        recordings: What to compare with; by default clips that are generated.
        calibration: For onnx-int8, recordings on which the range of activations is measured, such
            as some of those that it was trained with; 32 or more. Without any, each call cuts
            activations by its own range.
        weights: The backbone's weight file; see `load_bundle`.

    Returns:
        The files and the comparison.

    Raises:
        ExportError: A format is unknown or takes no calibration, what writes it is not installed,
            the exporter cannot take the network, or the file's answers differ.
        BundleError: The bundle cannot be read.
        DatasetError: A recording lacks a modality.
        RecordingError: A recording cannot be read.
    """
    out = Path(out)
    form = _format(out, format)
    if calibration and form != "onnx-int8":
        raise ExportError(
            f"{out}: expected the format onnx-int8 for calibration, got {form}, which has no range "
            "to measure; export it without"
        )
    if form != "pt2":
        require_onnx()
    if form == "openvino":
        require_openvino()
    if not isinstance(recognizer, Recognizer):
        recognizer = load_bundle(recognizer, weights=weights)
    _require_plain(recognizer, out)
    clips = _clips(recordings, recognizer.clip_config)
    graphs = live_graphs(recognizer) if live else (clip_graph(recognizer),)
    feeds = _feeds(recognizer, graphs, calibration)
    paths = [out.with_suffix(f".{graph.part}{out.suffix}") if live else out for graph in graphs]
    with ExitStack() as stack:
        sessions: list[Session] = []
        files: list[Path] = []
        for graph, path, calls in zip(graphs, paths, feeds, strict=True):
            of_graph = (path,) if form != "openvino" else (path, path.with_suffix(".bin"))
            written = [stack.enter_context(writing_file(file)) for file in of_graph]
            text = description_of(recognizer, graph, form, is_calibrated=bool(calls))
            sessions.append(_write(graph, written, text, form, calls))
            files += of_graph
        check = compare(recognizer, graphs, sessions, clips, form=form, are_given=bool(recordings))
        check_file = out.with_suffix(f".live{CHECK_SUFFIX}" if live else CHECK_SUFFIX)
        stack.enter_context(writing_file(check_file)).write_text(
            json.dumps(check.as_dict(), indent=2) + "\n", encoding="utf-8"
        )
    return Exported(tuple(files), check, check_file)


def _require_plain(recognizer: Recognizer, out: Path) -> None:
    """Check that the recognizer is as a bundle gives it.

    Raises:
        ExportError: Its adapters are folded already, or it is on another device or was cast.
    """
    if recognizer.only_answers:
        raise ExportError(
            f"{out}: expected a recognizer with its adapters, which the file is compared with, got "
            "a copy made by for_answers; export the one that the copy was made from"
        )
    kinds = {(p.device.type, p.dtype) for p in recognizer.parameters()}
    if other := sorted(f"{dtype} on {device}" for device, dtype in kinds - {PLAIN}):
        raise ExportError(
            f"{out}: expected weights of {PLAIN[1]} on {PLAIN[0]}, got {listed(other)}; export "
            "its bundle"
        )


def _format(out: Path, given: FormatName | None) -> FormatName:
    """The format that is given, or that the file's suffix names.

    Raises:
        ExportError: There is none, or the suffix is another format's.
    """
    if given is not None and given not in FORMATS:
        raise ExportError(f"format: none is called {given!r}; {suggestion(given, FORMATS)}")
    of_suffix: list[FormatName] = [
        name for name, row in FORMATS.items() if row.suffix == out.suffix
    ]
    form = given or (of_suffix[0] if of_suffix else None)
    if out.suffix == OF_EXECUTORCH:
        raise ExportError(
            f"{out}: ExecuTorch's own exporter makes such a file, of a program of torch.export; "
            "name a .pt2 and give it that"
        )
    if form is None or form not in of_suffix:
        suffixes = dict.fromkeys(row.suffix for row in FORMATS.values())
        wanted = " or ".join(suffixes) if form is None else FORMATS[form].suffix
        raise ExportError(f"{out}: expected a file that ends in {wanted}; name it so")
    if out.is_dir():
        raise ExportError(f"{out}: expected a file, found a folder; name a file in it")
    return form


def _clips(recordings: Sequence[Input], config: ClipConfig) -> list[Clip]:
    if not recordings:
        return generated_clips(config)
    opened = [as_recording(one) for one in recordings]
    return [make_clip(one, config, sample=str(one.path or "recording")) for one in opened]


def _feeds(
    recognizer: Recognizer, graphs: Sequence[Graph], calibration: Sequence[Input]
) -> Sequence[Sequence[Feed]]:
    """The calls of each graph in which its activations are measured; none without recordings."""
    if not calibration:
        return [()] * len(graphs)
    return inputs_of(recognizer, graphs, _clips(calibration, recognizer.clip_config))


def _write(
    graph: Graph, files: Sequence[Path], description: str, form: FormatName, feeds: Sequence[Feed]
) -> Session:
    if form == "openvino":
        path, weights = files
        write_openvino(graph, path, weights, description)
        return OpenVinoSession(path, weights)
    (path,) = files
    if form == "pt2":
        write_program(graph, path, description)
        return ProgramSession(path)
    write_onnx(graph, path, description, form=form, feeds=feeds)
    return OnnxSession(path)
