"""A folder as a reader of README and tutorial has it: recordings by class."""

import json
import shutil
from pathlib import Path

import evlora


def make_own_recordings(folder: Path, *, per_class: int, size_px: int = 64) -> None:
    """Generated recordings as `recordings/CLASS/0000N.npz`, four classes of motion."""
    sizes = {"train": 4 * per_class, "val": 0, "test": 4, "digits": 2, "size_px": size_px}
    generated = folder / "generated"
    evlora.prepare("generated", None, generated, options=sizes)
    numbers: dict[str, int] = {}
    for line in (generated / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        sample = json.loads(line)
        label = sample["label"].split("-")[1]
        if sample["split"] != "train":
            continue
        numbers[label] = numbers.get(label, 0) + 1
        to = folder / "recordings" / label / f"{numbers[label]:05d}.npz"
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(generated / sample["events"], to)
    shutil.rmtree(generated)
