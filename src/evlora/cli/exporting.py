"""The verb that makes files that run without evlora."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evlora.cli.arguments import AsJson, Bundle, Weights
from evlora.cli.printing import table

if TYPE_CHECKING:
    from evlora.clips import ClipConfig
    from evlora.recordings import Recording

FEW_RECORDINGS = 64
"""Of a dataset or a folder, the recordings that an exported file is compared on by default."""


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(export)


def export(
    bundle: Bundle,
    out: Annotated[Path, typer.Argument(help="The file to write: NAME.onnx, .pt2 or .xml.")],
    form: Annotated[
        Literal["onnx", "onnx-fp16", "onnx-int8", "openvino", "pt2"] | None,
        typer.Option(
            "--format",
            help="onnx, openvino and pt2 in float32; onnx-fp16 for GPUs; onnx-int8, "
            "with matrices of 8 bits, for CPUs; by default what the suffix names.",
        ),
    ] = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Two files for live use: NAME.encode.onnx and NAME.decide.onnx."
        ),
    ] = False,
    on: Annotated[
        list[Path] | None,
        typer.Option(
            help="What to compare with PyTorch on: a prepared dataset's test split, a recording "
            "or a folder of them; by default generated clips."
        ),
    ] = None,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            help="For onnx-int8, what the range of activations is measured on: a prepared "
            "dataset's train split, a recording or a folder; by default each call has its own."
        ),
    ] = None,
    clips: Annotated[
        int, typer.Option(min=1, help="Recordings taken of each --on and --calibrate at most.")
    ] = FEW_RECORDINGS,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Write a bundle as ONNX, OpenVINO or .pt2 of PyTorch.

    What is written is compared with PyTorch.

    The file takes uint8 images; labels and clip settings are in its metadata. A file whose
    answers differ is not kept.
    """
    import evlora

    recognizer = evlora.load_bundle(bundle, weights=weights)
    config = recognizer.clip_config
    made = evlora.export(
        recognizer,
        out,
        format=form,
        live=live,
        recordings=[one for place in on or () for one in _recordings(place, config, clips)],
        calibration=[
            one for place in calibrate or () for one in _recordings(place, config, clips, "train")
        ],
    )
    check = made.check
    if as_json:
        found = {"files": [str(path) for path in made.files], "check": check.as_dict()}
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for path in made.files:
        typer.echo(f"exported: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    rows = [
        ("largest difference of a score", f"{check.largest_difference:.2g}"),
        ("allowed", f"{check.tolerance:.2g}"),
        ("same first label", f"{check.top1_agreement:.1%} of {check.clips} {check.clips_from}"),
    ]
    table(("compared with PyTorch", made.check_file.name), rows)


def _recordings(
    place: Path, config: "ClipConfig", most: int, split: str = "test"
) -> "list[Recording]":
    """Recordings of a dataset's split, evenly over all of it, or of a file or folder."""
    from evlora.datasets import read_manifest
    from evlora.datasets.opening import open_sample
    from evlora.errors import ExportError
    from evlora.prediction import open_with_frames, recordings_in
    from evlora.recordings import open_recording

    if (place / "dataset.json").is_file():
        manifest = read_manifest(place)
        if manifest.packed is not None:
            raise ExportError(
                f"export: expected recordings, got the packed dataset {place}, whose clips are "
                "drawn already; name the prepared dataset that it was packed from"
            )
        samples = manifest.split(split)
        step = max(1, len(samples) // most)  # samples may be sorted by class
        return [open_sample(one, manifest.source) for one in samples[::step][:most]]
    found = recordings_in(place, config)[:most]
    return [
        open_recording(one.recording, frames=one.frames)
        if one.frames is not None
        else open_with_frames(one.recording, config)[0]
        for one in found
    ]
