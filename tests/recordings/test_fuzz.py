"""Damaged files of every format: read in part with a warning, or refused with a reason.

None may take more than five seconds, end the process, give an event outside the sensor or one out
of order, or fail with anything but a RecordingError.
"""

import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from fuzzing import Worker, damaged
from recording_samples import HEIGHT, SAMPLES, VARIANTS, WIDTH
from table_samples import TABLE_VARIANTS

SHORT_RUN_FILES = 60
LONG_RUN_FILES = 20_000
REAL_SAMPLE_BYTES = 300_000
"""Longer samples are cut to this, so that a damage is near what is read."""
NEEDS_SIZE = ("npy",)


def samples_of(folder: Path, data_root: Path) -> list[tuple[str, str, bytes]]:
    """Format, suffix and bytes of every generated and every real sample."""
    folder.mkdir()
    samples = [
        (name, path.suffix, path.read_bytes())
        for name, make in SAMPLES.items()
        for path in [make(folder / name.replace(".", "_"))]
    ]
    for name, (format_, make) in {**TABLE_VARIANTS, **VARIANTS}.items():
        path = make(folder / name)
        samples.append((format_, path.suffix, path.read_bytes()))
    formats = {".aedat4": "aedat4", ".es": "es", ".dat": "dat", ".bin": "nmnist"}
    for path in sorted((data_root / "recordings").iterdir()):
        name = formats.get(path.suffix) or path.name.split("_")[1].removesuffix(".raw")
        samples.append((name, path.suffix, path.read_bytes()[:REAL_SAMPLE_BYTES]))
    return samples


def run(tmp_path: Path, data_root: Path, *, files: int, seed: int) -> dict[str, Counter[str]]:
    """Outcomes per format; the files that broke a rule stay in the folder."""
    random_ = random.Random(seed)
    samples = samples_of(tmp_path / "samples", data_root)
    counts: dict[str, Counter[str]] = {}
    broken: list[str] = []
    worker = Worker()
    try:
        for number in range(files):
            name, suffix, data = samples[number % len(samples)]
            path = tmp_path / f"damaged_{number}{suffix}"
            path.write_bytes(damaged(data, random_))
            question: dict[str, object] = {"path": str(path)}
            if random_.random() < 0.3:
                question["format"] = name
            if name in NEEDS_SIZE:
                question.update(width=WIDTH, height=HEIGHT)
            result, detail = worker.ask(question)
            counts.setdefault(name, Counter())[result] += 1
            if result == "broken":
                broken.append(f"{name}: {path}: {detail}")
            else:
                path.unlink()
    finally:
        worker.end()
    assert not broken, "\n".join([f"{len(broken)} of {files} files broke a rule", *broken])
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20, 21])
def test_damaged_files_of_every_format_keep_the_rules(seed: int, tmp_path: Path, data_root: Path):
    counts = run(tmp_path, data_root, files=SHORT_RUN_FILES, seed=seed)

    assert set(counts) == set(SAMPLES)
    assert sum(sum(count.values()) for count in counts.values()) == SHORT_RUN_FILES


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
def test_many_damaged_files_of_every_format_keep_the_rules(
    tmp_path: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
):
    counts = run(tmp_path, data_root, files=LONG_RUN_FILES, seed=random.randrange(1 << 32))

    lines = [
        f"{name:8} {sum(count.values()):6} files: {dict(count)}" for name, count in counts.items()
    ]
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *lines, ""]))
