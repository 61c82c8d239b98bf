"""`evlora predict --live`: what a person sees, and what a script reads."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from command import Command
from rich.console import Console

from evlora import live
from evlora.cli.live_view import LiveView
from evlora.recordings import open_recording, write_recording


@pytest.fixture
def recording(tiny_dataset: Path) -> Path:
    """Events and three frames within 60 ms."""
    return next((tiny_dataset / "recordings" / "test").glob("*.npz"))


def test_each_answer_is_a_line_with_time_label_confidence_and_latency(
    predict: Command, recording: Path
) -> None:
    shown = predict(recording, "--live")
    assert shown.returncode == 0, shown.stderr
    header, *lines = shown.stdout.splitlines()
    assert header.split() == ["time", "label", "confidence", "latency", "moments"]
    assert lines
    seconds, _, label, confidence, latency, _, moments = lines[-1].split()[:7]
    assert 0 < float(seconds) < 0.1
    assert label in {"0", "1", "2"}
    assert 0 <= float(confidence.removesuffix("%")) <= 100
    assert float(latency) >= 0
    assert moments == "2"
    assert f"{len(lines)} answers" in shown.stderr


def test_for_scripts_each_line_is_an_object(predict: Command, recording: Path) -> None:
    shown = predict(recording, "--live", "--speed", "0", "--window-ms", "5", "--json")
    assert shown.returncode == 0, shown.stderr
    answers = [json.loads(line) for line in shown.stdout.splitlines()]
    assert len(answers) >= 10
    assert all(
        list(answer)
        == ["time_us", "elapsed_us", "label", "confidence", "latency_ms", "moments", "dropped"]
        for answer in answers
    )
    times = [answer["time_us"] for answer in answers]
    assert times == sorted(times)


def test_what_was_skipped_is_reported(
    predict: Command, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = live.LiveAnswer(5000, 5000, "1", 0.5, 70.0, 2, dropped=4)
    monkeypatch.setattr(live, "predict_live", lambda *_, **__: iter([answer]))
    shown = predict(recording, "--live")
    assert shown.stdout.splitlines()[-1].endswith("4 skipped")
    assert "1 answers, 4 moments skipped, median latency 70 ms" in shown.stderr
    assert "--speed" in shown.stderr


def test_an_interruption_ends_it_with_what_there_was(
    predict: Command, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object):
        yield live.LiveAnswer(5000, 5000, "1", 0.5, 7.0, 2, dropped=0)
        raise KeyboardInterrupt

    monkeypatch.setattr(live, "predict_live", interrupted)
    shown = predict(recording, "--live")
    assert shown.returncode == 130
    assert "1 answers" in shown.stderr
    assert "interrupted" in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--speed", "2"], "expected --live with them"),
        (["--window-ms", "20"], "expected --live with them"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    predict: Command, recording: Path, words: list[str], message: str
) -> None:
    given = [str(recording) if word == "RECORDING" else word for word in words]
    shown = predict(recording, *given)
    assert shown.returncode == 2
    assert message in shown.stderr


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_recording_that_does_not_state_its_sensor_is_answered_with_its_size(
    predict: Command, recording: Path, tmp_path: Path, is_folder: bool
) -> None:
    events = open_recording(recording).events
    assert events is not None
    folder = tmp_path / "recordings"
    folder.mkdir()
    path = folder / "sizeless.npz"
    np.savez(path, t=events.t_us, x=events.x, y=events.y, p=events.polarity)
    given = path
    frames: tuple[str | Path, ...] = ("--frames", recording)
    if is_folder:
        (folder / "with_size.npz").write_bytes(recording.read_bytes())
        (folder / "._with_size.npz").write_bytes(b"\0\5\x16\7")
        with np.load(recording) as arrays:
            parts = {name: arrays[name] for name in arrays if name not in ("width", "height")}
            np.savez(path, **parts)
        given, frames = folder, ()

    refused = predict(given, *frames)
    answered = predict(given, *frames, "--width", str(events.width), "--height", str(events.height))

    assert refused.returncode == 2
    assert "--width and --height to inspect, convert and predict" in refused.stderr
    assert answered.returncode == 0, answered.stderr
    assert ("with_size.npz" if is_folder else "label") in answered.stdout
    if is_folder:
        assert "predicted 1 of 2" in refused.stderr
        assert "predicted 2 of 2" in answered.stderr


def test_standard_input_is_answered_as_the_file(
    predict: Command, recording: Path, tmp_path: Path
) -> None:
    path = tmp_path / "recording.aedat4"
    write_recording(open_recording(recording), path)
    options = ("--live", "--speed", "0", "--json")
    from_file = predict(path, *options)
    with path.open("rb") as file:
        before = os.dup(0)
        os.dup2(file.fileno(), 0)
        try:
            from_pipe = predict("-", *options)
        finally:
            os.dup2(before, 0)
            os.close(before)
    assert from_pipe.returncode == 0, from_pipe.stderr
    answers = [json.loads(line) for line in from_pipe.stdout.splitlines()]
    wanted = [json.loads(line) for line in from_file.stdout.splitlines()]
    assert len(answers) == len(wanted) > 0
    for got, want in zip(answers, wanted, strict=True):
        assert (got["time_us"], got["label"]) == (want["time_us"], want["label"])
        assert got["confidence"] == pytest.approx(want["confidence"], abs=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-"], "expected --live"),
        (["-", "--live", "--speed", "2"], "expected 1, or 0 to skip nothing"),
        (["RECORDING", "--live", "--stride", "2"], "expected what is still being recorded"),
        (["tcp://127.0.0.1:1", "--live"], "nothing answers there"),
    ],
)
def test_a_source_that_goes_on_is_refused_where_it_cannot_be_taken(
    predict: Command, recording: Path, words: list[str], message: str
) -> None:
    shown = predict(*(str(recording) if word == "RECORDING" else word for word in words))
    assert shown.returncode == 2
    assert message in shown.stderr


def test_the_view_of_a_terminal_shows_bars_rate_latency_and_what_was_dropped() -> None:
    console = Console(width=100, force_terminal=True, file=io.StringIO(), color_system=None)
    view = LiveView("tcp://camera\x1b[2J", ["cat\x1b", "dog"], console)
    ranked = (("cat\x1b", 0.75), ("dog", 0.25))
    with view as show:
        for number in range(1, 4):
            show(
                live.LiveAnswer(
                    *(33_000 * number, 33_000 * number, "cat\x1b", 0.75, 12.0 + number, 2),
                    **{"dropped": number, "ranked": ranked, "rate_hz": 1.5e6},
                )
            )
    with console.capture() as capture:
        console.print(view.picture(live.LiveAnswer(1, 1, "", 0, 14.0, 2, 0, ranked, 1.5e6)))
    head, first, second, foot = capture.get().splitlines()
    assert head.startswith(r"tcp://camera\u001b[2J")
    assert first.startswith(r"cat\u001b  ██████████████████████████████ ")
    assert first.rstrip().endswith("75.0%")
    assert second.rstrip().endswith("25.0%")
    assert "1.50 M/s" in foot
    assert "latency 14 ms" in foot
    assert "dropped 6" in foot
