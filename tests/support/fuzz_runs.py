"""A fuzz run: inputs damaged one by one, what became of them, and going on where one stopped."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fuzz_seeds import Seed
from fuzzing import Outcome, Worker, damaged, damaged_text

INPUTS_BETWEEN_NOTES = 100


@dataclass
class Tally:
    """What became of the inputs of one kind."""

    results: Counter[str] = field(default_factory=Counter[str])
    slowest_s: float = 0
    most_bytes: int = 0

    def add(self, outcome: Outcome) -> None:
        self.results[outcome.result] += 1
        self.slowest_s = max(self.slowest_s, outcome.seconds)
        self.most_bytes = max(self.most_bytes, outcome.taken_bytes)


@dataclass
class Run:
    """Inputs `number` and on are still to come; each follows from the seed and its number."""

    seed: int
    number: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict[str, Tally])
    broken: list[str] = field(default_factory=list[str])
    """Which rule was broken by which input, a copy of which is kept."""

    def write(self, path: Path) -> None:
        beside = path.with_suffix(".new")
        content = vars(self) | {"tallies": {kind: vars(one) for kind, one in self.tallies.items()}}
        beside.write_text(json.dumps(content, indent=1))
        beside.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Run":
        content = json.loads(path.read_text())
        tallies = {
            kind: Tally(Counter(one["results"]), one["slowest_s"], one["most_bytes"])
            for kind, one in content.pop("tallies").items()
        }
        return cls(**content, tallies=tallies)

    def table(self) -> str:
        lines = ["| kind | inputs | read | refused | slowest, s | most memory, MB |"]
        lines.append("|---|---:|---:|---:|---:|---:|")
        for kind, one in self.tallies.items():
            counts = (one.results.total(), one.results["read"], one.results["refused"])
            cells = " | ".join(f"{count:,}" for count in counts)
            lines.append(f"| {kind} | {cells} | {one.slowest_s:.2f} | {one.most_bytes >> 20} |")
        return "\n".join(lines)


def fuzz(
    run: Run, seeds: Sequence[Seed], folder: Path, *, inputs: int, notes: Path | None = None
) -> Run:
    """Damage the seeds in turn until this many inputs were tried.

    Args:
        run: A new one, or one that goes on; it is changed.
        seeds: Of which each input damages one file.
        folder: Where the inputs that break a rule are kept.
        inputs: Altogether, with those of before.
        notes: Where the run is written again and again, to go on from there.
    """
    first: dict[str, Seed] = {}
    for seed in seeds:
        first.setdefault(seed.border, seed)
    worker = Worker(*(question_of(seed) for seed in first.values()))
    try:
        while run.number < inputs:
            one(run, seeds, worker, folder)
            run.number += 1
            if notes is not None and run.number % INPUTS_BETWEEN_NOTES == 0:
                run.write(notes)
    finally:
        worker.end()
        if notes is not None:
            run.write(notes)
    return run


def one(run: Run, seeds: Sequence[Seed], worker: Worker, folder: Path) -> None:
    """The next input."""
    random_ = random.Random(f"{run.seed} {run.number}")
    seed = seeds[run.number % len(seeds)]
    name = seed.files[run.number // len(seeds) % len(seed.files)]
    file = seed.path / name if name else seed.path
    sound = file.read_bytes()
    change = damaged_text if seed.is_text and random_.random() < 0.5 else damaged
    question = question_of(seed)
    if seed.border == "recording" and random_.random() < 0.3:
        question["format"] = seed.kind
    file.write_bytes(change(sound, random_))
    try:
        outcome = worker.ask(question)
        run.tallies.setdefault(seed.kind, Tally()).add(outcome)
        if outcome.result == "broken":
            kept = folder / f"broken_{run.number}_{file.name}"
            shutil.copy(file, kept)
            run.broken.append(f"{seed.kind}: {kept}: {outcome.detail}")
    finally:
        file.write_bytes(sound)


def question_of(seed: Seed) -> dict[str, object]:
    return {"path": str(seed.path), "border": seed.border, **seed.asked}
