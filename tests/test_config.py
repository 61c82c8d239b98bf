"""Every key of a recipe is documented by a sentence under it."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "evlora"
NAMED_AFTER_THEIR_PURPOSE = {
    *("About", "PackedAbout", "PretrainingConfig", "Opening"),
    *("Fact", "Figure", "Known", "KnownDataset"),
}
"""Classes whose fields are no keys of a recipe."""


def _configurations() -> dict[str, ast.ClassDef]:
    found: dict[str, ast.ClassDef] = {}
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "Config)" not in text:  # no class of one, and parsing takes most of the time
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and any(
                isinstance(base, ast.Name) and base.id in ("Config", "RecognizerConfig")
                for base in node.bases
            ):
                found[node.name] = node
    return found


CONFIGURATIONS = _configurations()


def test_the_configurations_of_a_recipe_are_found():
    assert {"ClipConfig", "TrainingConfig", "AdapterConfig", "SensorModel"} <= set(CONFIGURATIONS)


@pytest.mark.parametrize("name", sorted(set(CONFIGURATIONS) - NAMED_AFTER_THEIR_PURPOSE))
def test_every_key_has_a_sentence_under_it(name: str):
    body = CONFIGURATIONS[name].body
    for field, after in zip(body, [*body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or "ClassVar" in ast.unparse(field.annotation):
            continue
        is_documented = (
            isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        )
        assert is_documented, ast.unparse(field)
