"""What a folder keeps of accuracies under faults."""

import json
from pathlib import Path

import pytest

from evlora.bundle import load_bundle
from evlora.errors import RunError
from evlora.evaluation.robustness import fingerprint_of
from evlora.evaluation.robustness_files import read_results


@pytest.mark.parametrize(
    "row",
    [
        {"shown": "both", "corruption": "rain", "strength": 1},
        {"shown": "smell", "corruption": "flicker", "strength": 1},
        {"shown": "both", "corruption": "flicker", "strength": 6},
        {"shown": "both", "corruption": "clean", "strength": 1},
        {"shown": "both", "corruption": ["flicker"], "strength": 1},
    ],
)
def test_conditions_that_do_not_exist_are_damage(
    tiny_bundle: Path, tmp_path: Path, row: dict[str, object]
) -> None:
    recognizer = load_bundle(tiny_bundle)
    about = {"bundle_sha256": fingerprint_of(recognizer)}
    content = {"about": about, "rows": [{**row, "samples": 1, "top1": 1.0}]}
    (tmp_path / "corruptions.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match="is damaged; name another folder"):
        read_results(tmp_path, recognizer)
