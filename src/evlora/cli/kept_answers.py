"""Answers that are kept while `predict --out` works, so that an interrupted command is resumed.

Beside the file that is asked for, `.NAME.unfinished` has a line of JSON for each answer, after a
first one that identifies the recognizer and the options. It goes when the file has its name.
"""

import hashlib
import json
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError

from evlora.cli.printing import echo
from evlora.config import Config
from evlora.errors import RunError
from evlora.escaping import printable
from evlora.files import writing_file
from evlora.locking import holding
from evlora.prediction import Prediction
from evlora.recognizer import Recognizer


class Head(Config):
    """What the answers are of."""

    made_by: str
    """The recognizer, the options and the version, as one hash."""


class Line(Config):
    """An answer."""

    recording: str
    """Its file or folder."""
    fingerprint: str
    """Of its files, and of the frames beside it."""
    ranked: list[tuple[str, Annotated[float, Field(ge=0, le=1)]]]
    """Labels with their probabilities."""


class KeptAnswers:
    """The answers that a file of answers will have; they are in a file of their own until then."""

    def __init__(self, out: Path, path: Path, *, made_by: str) -> None:
        """Open the file, or begin one.

        Raises:
            OSError: It cannot be written.
        """
        self._out, self._path = out, path
        self._kept = _read(path, made_by)
        lines = [Line(recording=r, fingerprint=f, ranked=a) for (r, f), a in self._kept.items()]
        with writing_file(path) as temporary:  # without what was cut short or is another's
            text = [one.model_dump_json() for one in (Head(made_by=made_by), *lines)]
            temporary.write_text("\n".join([*text, ""]), encoding="utf-8")
        self._lines = path.open("a", encoding="utf-8")
        self.count = len(self._kept)
        """Answers in the file."""

    @classmethod
    @contextmanager
    def beside(cls, out: Path, recognizer: Recognizer, *, asked: str) -> Generator[Self]:
        """The answers kept beside a file, which this process alone may write to meanwhile.

        Args:
            out: The file of all answers that will be.
            recognizer: What answers.
            asked: What else an answer depends on.

        Raises:
            RunError: Another process works on this file, or it cannot be written.
        """
        refusal = RunError(f"--out: another process writes {out}; wait for it, or name another")
        path = out.with_name(f".{out.name}.unfinished")
        with ExitStack() as stack:
            with _reporting(out):
                lock = out.with_name(f".{out.name}.lock")
                stack.enter_context(holding(lock, refusal=refusal))
                kept = cls(out, path, made_by=_maker(recognizer, asked))
            stack.callback(kept.close)
            try:
                yield kept
            except KeyboardInterrupt:
                if kept.count:
                    echo(f"{kept.count} answers are kept; the same command resumes", err=True)
                raise

    def of(self, recording: str, fingerprint: str) -> list[Prediction] | None:
        """What was answered for a recording, if its files have not changed since."""
        ranked = self._kept.get((printable(recording), fingerprint))
        return None if ranked is None else [Prediction(*one) for one in ranked]

    def add(self, recording: str, fingerprint: str, ranked: Sequence[Prediction]) -> None:
        """Keep an answer.

        Raises:
            RunError: The file cannot be written.
        """
        pairs = [(one.label, one.probability) for one in ranked]
        line = Line(recording=printable(recording), fingerprint=fingerprint, ranked=pairs)
        with _reporting(self._out):
            self._lines.write(line.model_dump_json() + "\n")
            self._lines.flush()
        self.count += 1

    def drop(self) -> None:
        """Forget all answers, since what they were kept for is written."""
        self.count = 0

    def close(self) -> None:
        """Close the file; it goes where it holds no answer."""
        with suppress(OSError):  # what could not be written was reported when it was
            self._lines.close()
        if not self.count:
            self._path.unlink(missing_ok=True)


@contextmanager
def _reporting(out: Path) -> Generator[None]:
    """Make an error of what cannot be written.

    Raises:
        RunError: A file could not be.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise RunError(f"--out: {out} cannot be written: {reason}; name another file") from error


def _maker(recognizer: Recognizer, asked: str) -> str:
    """A digest of the recognizer and of what it is asked."""
    digest = hashlib.blake2b(digest_size=16)
    facts = (
        version("evlora"),
        asked,
        recognizer.config.model_dump_json(),
        json.dumps([recognizer.labels, recognizer.temperature, recognizer.backbone_sha256]),
    )
    digest.update("\0".join(facts).encode())
    for name, tensor in recognizer.learned_tensors().items():
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read(path: Path, made_by: str) -> dict[tuple[str, str], list[tuple[str, float]]]:
    """The answers in a file up to the first damaged line; none where it is another's."""
    if not path.exists():
        return {}
    first, *lines = path.read_bytes().splitlines(keepends=True) or [b""]
    kept: dict[tuple[str, str], list[tuple[str, float]]] = {}
    try:
        if Head.model_validate_json(first).made_by != made_by:
            echo(f"{path}: holds answers to another command, which are dropped", err=True)
            return {}
        for text in lines:
            if not text.endswith(b"\n"):
                break
            line = Line.model_validate_json(text)
            kept[line.recording, line.fingerprint] = line.ranked
    except ValidationError:  # cut short, as by a full disk
        pass
    return kept
