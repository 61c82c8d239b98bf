"""`evlora compare`: what it prints of rows that were trained and of rows that failed."""

from pathlib import Path
from typing import Any

import pytest
from command import Command

from evlora.comparison_table import Comparison, Row

TRAINED = Row("none", "", {0: 0.5}, {}, None)
FAILED = Row("lora", "", {}, {0: "DatasetError: too few samples"}, None)


@pytest.mark.parametrize(
    ("asked", "code"), [(["none"], 0), (["lora"], 2), (["none", "lora"], 2)], ids=str
)
def test_the_exit_code_is_that_of_the_rows_that_were_asked_for(
    asked: list[str],
    code: int,
    evlora: Command,
    monkeypatch: pytest.MonkeyPatch,
    tiny_settings: dict[str, Any],
) -> None:
    def compared(*_: Any, **__: Any) -> Comparison:
        rows = tuple((name, "") for name in asked)
        return Comparison(Path(tiny_settings["run.dir"]), "heading", [TRAINED, FAILED], asked=rows)

    monkeypatch.setattr("evlora.comparison.compare", compared)
    keys = [f"{key}={tiny_settings[key]}" for key in ("data.root", "run.dir")]
    result = evlora("compare", "demo", *keys, "--methods", ",".join(asked))
    assert result.returncode == code
    assert "lora, seed 0, failed: DatasetError: too few samples" in result.stdout
    assert ("error: lora failed; mend what is reported above" in result.stderr) is (code == 2)
