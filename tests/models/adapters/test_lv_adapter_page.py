"""docs/lv-adapter.md: its code runs, and its numbers are right."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model
from timm import create_model
from torch import nn

from evlora import LvAdapterConfig
from evlora.models.adapters import adapt
from evlora.models.single_stream import SingleStreamConfig
from evlora.recipe import load_recipe

ROW = re.compile(r"^\| (.*`.*) \| ([\d,]+) \| ([\d.]+) % \| ([\d.]+) % \|$", re.MULTILINE)
SETTINGS = re.compile(r"`([^`]+)`")


@pytest.fixture
def page(project_root: Path) -> str:
    return (project_root / "docs" / "lv-adapter.md").read_text(encoding="utf-8")


def code_blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


# peft 0.21 uses a name of transformers that its version 6 will not have
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is:FutureWarning")
def test_the_code_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    fine_tuning, the_rest = code_blocks(page)
    exec(compile(fine_tuning, "docs/lv-adapter.md", "exec"), names)
    assert float(names["loss"].detach()) < 0.3  # 0.69 is a guess between two
    names["model"].eval()
    expected = names["model"](pixel_values=names["images"]).logits
    exec(compile(the_rest, "docs/lv-adapter.md", "exec"), names)
    assert not torch.allclose(names["plain"], expected)
    merged = names["merged"].eval()(pixel_values=names["images"]).logits
    torch.testing.assert_close(merged, expected, atol=1e-5, rtol=0)
    assert sum(file.stat().st_size for file in (tmp_path / "digits").iterdir()) > 0


def test_fine_tuning_takes_fewer_than_15_lines_and_nothing_of_ours_but_the_configuration(
    page: str,
) -> None:
    block = code_blocks(page)[0]
    assert len(block.splitlines()) < 15
    ours = [
        alias.name
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("evlora")
        for alias in node.names
    ]
    assert ours == ["LvAdapterConfig"]
    assert "import evlora" not in block


@pytest.mark.slow
def test_the_counts_of_the_table_are_those_of_a_vit_b(page: str) -> None:
    rows = ROW.findall(page)
    assert len(rows) == 12
    for text, trained, without_classifier, with_classifier in rows:
        arguments = ", ".join(SETTINGS.findall(text))
        config = eval(f"LvAdapterConfig({arguments})", {"LvAdapterConfig": LvAdapterConfig})
        count = trained_numbers_on_vit_b(config)
        assert trained == f"{count:,}", text
        assert without_classifier == f"{100 * count / 85_798_656:.2f}", text
        assert with_classifier == f"{100 * count / 86_567_656:.2f}", text


def trained_numbers_on_vit_b(config: LvAdapterConfig) -> int:
    return trained_numbers(get_peft_model(vit_b(), config))


def vit_b() -> Any:
    with torch.device("meta"):
        return create_model("vit_base_patch16_224", num_classes=0)


def trained_numbers(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_the_recipe_of_the_larger_setting_trains_three_and_a_half_per_cent() -> None:
    model = load_recipe("lv_adapter_vitb16_3p5").model
    assert isinstance(model, SingleStreamConfig)
    trained = trained_numbers(adapt(vit_b(), model.adapter, name="backbone"))
    assert trained == 2_967_552
    assert 3.4 <= 100 * trained / 85_798_656 < 3.6
