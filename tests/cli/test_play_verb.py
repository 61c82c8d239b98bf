"""`evlora play`: in a terminal, and into a file."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Command
from PIL import Image

from evlora.cli import playing

SHOWN_CURSOR, HIDDEN_CURSOR = "\x1b[?25h", "\x1b[?25l"


@pytest.fixture
def recording(tiny_dataset: Path) -> Path:
    """Events and three frames within 60 ms."""
    return min((tiny_dataset / "recordings" / "test").glob("*.npz"))


@pytest.fixture
def as_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, standard output is taken for a terminal, in which no time passes."""

    def take() -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setattr(playing.time, "sleep", lambda _: None)
        monkeypatch.setattr(playing.time, "monotonic", lambda: 0.0)

    return take


def test_a_file_shows_the_part_that_is_asked_for(
    evlora: Command, recording: Path, tmp_path: Path
) -> None:
    out = tmp_path / "play.webp"
    played = evlora("play", recording, "--out", out, "--fps", "100", "--slow", "2", "--to", "30ms")
    assert played.returncode == 0, played.stderr
    with Image.open(out) as pictures:
        assert getattr(pictures, "n_frames", 1) == 6


def test_a_terminal_shows_each_picture_with_its_time_and_label(
    evlora: Command, recording: Path, tiny_bundle: Path, as_in_a_terminal: Callable[[], None]
) -> None:
    as_in_a_terminal()
    played = evlora("play", recording, "--bundle", tiny_bundle, "--fps", "100")
    assert played.returncode == 0, played.stderr
    assert played.stdout.startswith(HIDDEN_CURSOR)
    assert played.stdout.rstrip("\n").endswith(SHOWN_CURSOR)
    assert [f"{time:.3f} s" in played.stdout for time in (0.01, 0.03, 0.06)] == [True] * 3
    last = played.stdout.rsplit("0.060 s", 1)[1]
    assert last.split()[0] in {"0", "1", "2"}
    assert "%" in last


def test_an_interruption_gives_the_cursor_back(
    evlora: Command,
    recording: Path,
    monkeypatch: pytest.MonkeyPatch,
    as_in_a_terminal: Callable[[], None],
) -> None:
    as_in_a_terminal()

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(playing.time, "sleep", interrupted)
    played = evlora("play", recording)
    assert played.returncode == 130
    assert played.stdout.rstrip("\n").endswith(SHOWN_CURSOR)
    assert "Traceback" not in played.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected a terminal to play in"),
        (["--out", "play.txt"], ".mp4"),
        (["--out", "play.gif", "--fps", "1000"], "--fps: expected at most 240"),
        (["--out", "play.gif", "--from", "5s"], "expected a part within"),
    ],
)
def test_what_cannot_be_played_is_refused(
    evlora: Command, recording: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    given = [str(tmp_path / word) if word.startswith("play.") else word for word in words]
    refused = evlora("play", recording, *given)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert not list(tmp_path.iterdir())
