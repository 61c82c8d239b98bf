"""What is wrong with the samples of a manifest, and with their files."""

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from pathlib import Path

from evlora.datasets.plain_lines import PlainSamples
from evlora.datasets.samples import Sample
from evlora.errors import DatasetError, RecordingError
from evlora.messages import itemized
from evlora.recordings.readers import reader_for
from evlora.recordings.readers.table import EVENT_SUFFIXES, OF_FRAMES
from evlora.untrusted import name_faults, plain


class SampleFiles:
    """Looks for the files of samples in their folder, for each file once.

    Args:
        source: The folder.
    """

    def __init__(self, source: Path) -> None:
        self._source, self._folder = source, str(source)
        self._faults: dict[str, str | None] = {}
        self._of_events: dict[str, str | None] = {}

    def faults_of(self, sample: Sample) -> list[str]:
        """What is wrong with the files of a sample."""
        found = [fault for path in sample.paths if (fault := self._fault_of(path))]
        events = sample.events
        if events is not None and self._fault_of(events) is None:
            if events not in self._of_events:
                self._of_events[events] = self._fault_of_events(events)
            found += [fault] if (fault := self._of_events[events]) else []
        return [f"{sample.sample}: {fault}" for fault in found]

    def _fault_of(self, path: str) -> str | None:
        if path not in self._faults:
            fault = None
            try:
                if (
                    not self._lies_there(path)
                    and not plain(self._source / path, DatasetError).exists()
                ):
                    fault = f"no such file: {path}"
                    if "\\" in path:
                        fault += "; write / between folders, as every system reads it"
            except DatasetError as error:
                fault = str(error)
            self._faults[path] = fault
        return self._faults[path]

    def _lies_there(self, path: str) -> bool:
        """Whether a file or folder lies there, by a single look."""
        try:
            mode = os.stat(os.path.join(self._folder, path)).st_mode  # noqa: PTH116, PTH118
        except (OSError, ValueError):
            return False
        return stat.S_ISREG(mode) or stat.S_ISDIR(mode)

    def _fault_of_events(self, events: str) -> str | None:
        if os.path.splitext(events)[1].lower() in EVENT_SUFFIXES:  # noqa: PTH122
            return None  # the header is not looked at: opening every file takes long
        try:
            is_of_events = reader_for(self._source / events).name not in OF_FRAMES
        except RecordingError as error:
            return str(error)
        return None if is_of_events else f"expected a recording as events, got frames: {events}"


def file_faults(samples: PlainSamples, files: SampleFiles | None) -> list[str]:
    """What is wrong with the files of samples, with the numbers of their lines."""
    if files is None:
        return []
    return [
        f"line {number}: {fault}"
        for number, sample in enumerate(samples, start=1)
        for fault in files.faults_of(sample)
    ]


def whole_faults(samples: Sequence[Sample], counts: Mapping[str, int] | None) -> Iterator[str]:
    """What is wrong with all samples together: names, and as many as are stated."""
    texts = ((s.sample, s.label, *s.paths, *chain(*s.columns)) for s in samples)
    yield from name_faults(dict.fromkeys(chain.from_iterable(texts)))
    names = Counter(map(attrgetter("sample"), samples))
    if len(names) < len(samples):
        for name, times in names.items():
            if times > 1:
                yield f"the sample {name!r} stands there {times} times"
    if counts is not None:
        yield from count_faults(Counter(map(attrgetter("split"), samples)), counts, len(samples))


def count_faults(
    found: Mapping[str, int], counts: Mapping[str, int], samples: int
) -> Iterator[str]:
    """What is wrong with how many samples each split has, beside what is stated."""
    if dict(found) != dict(counts):
        yield f"expected {dict(counts)} samples as dataset.json states, got {dict(found)}"
    if not samples:
        yield "expected at least one sample, got none"


def counted(faults: Sequence[str]) -> str:
    """How many faults there are, and the first ones."""
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return f"{count}:{itemized(faults)}"
