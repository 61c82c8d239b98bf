"""The command `evlora-run`."""

import argparse
import json
import sys
import warnings
from pathlib import Path

from evlora_runtime import EvloraError, load, open_recording


def run() -> None:
    """Run the command: exit code 0 when done, 2 for a user's mistake, 130 when interrupted."""
    options = _parser().parse_args()
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    try:
        _answer(options)
    except EvloraError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evlora-run", description="Ranked labels of a recording, by what evlora exported."
    )
    parser.add_argument("file", type=Path, help="the exported NAME.onnx")
    parser.add_argument("recording", type=Path, help="a recording, a video or an image")
    parser.add_argument("--frames", type=Path, help="frames that lie apart from the events")
    parser.add_argument("--width", type=int, help="columns of the sensor, if nothing states them")
    parser.add_argument("--height", type=int, help="rows of the sensor")
    parser.add_argument("--top", type=int, default=5, help="labels to print (5)")
    parser.add_argument("--threads", type=int, default=0, help="threads; 0 is all cores")
    parser.add_argument("--live", action="store_true", help="answer after each moment")
    parser.add_argument("--speed", type=float, default=1.0, help="live: times as fast; 0 is most")
    parser.add_argument("--window-ms", type=float, help="live: length of a window")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _answer(options: argparse.Namespace) -> None:
    recording = open_recording(
        options.recording, frames=options.frames, width=options.width, height=options.height
    )
    if options.live:
        from evlora_runtime import predict_live

        window_us = None if options.window_ms is None else max(1, round(1000 * options.window_ms))
        for answer in predict_live(
            options.file,
            recording,
            speed=options.speed,
            window_us=window_us,
            threads=options.threads,
        ):
            fields = {name: getattr(answer, name) for name in answer.__slots__}
            line = f"{answer.elapsed_us / 1e6:8.3f} s  {answer.confidence:6.1%}  {answer.label}"
            print(json.dumps(fields) if options.json else line, flush=True)
        return
    ranked = load(options.file, threads=options.threads).predict(recording)[: options.top]
    if options.json:
        print(json.dumps([row._asdict() for row in ranked], ensure_ascii=False))
        return
    for label, probability in ranked:
        print(f"{probability:6.1%}  {label}")
