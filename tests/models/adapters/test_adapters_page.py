"""docs/adapters.md: its counts are a ViT-B's, its defaults the catalogue's, and its code runs."""

import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from timm import create_model

import evlora
from evlora.models.adapters import METHODS, AdapterConfig, adapt


@pytest.fixture(scope="module")
def page(project_root: Path) -> str:
    return (project_root / "docs" / "adapters.md").read_text(encoding="utf-8")


def rows(page: str, heading: str) -> list[list[str]]:
    lines = page.split(f"\n{heading}\n", maxsplit=1)[1].split("\n## ", maxsplit=1)[0].splitlines()
    table = [line for line in lines if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def test_the_table_has_every_method_in_order(page: str) -> None:
    assert [row[0].strip("`") for row in rows(page, "## Methods")] == list(METHODS)


def counts(method: str, *, depth: int, device: str) -> tuple[int, int]:
    """Numbers trained and saved, on a ViT-B of this depth."""
    with torch.device(device):
        vit = create_model("vit_base_patch16_224", num_classes=0, depth=depth)
    adapted = adapt(vit.requires_grad_(False), AdapterConfig(method=method), name="ViT-B/16")
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    tensors = get_peft_model_state_dict(adapted) if isinstance(adapted, PeftModel) else {}
    return trained, sum(tensor.numel() for tensor in tensors.values()) or trained


NEED_NUMBERS = ("adamss", "frod", "shira")
"""Methods that look at the weights, so that their numbers are counted on two blocks and one."""


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_the_counts_are_those_of_a_vit_b(method: str, page: str) -> None:
    if method in NEED_NUMBERS:
        one, two = (counts(method, depth=depth, device="cpu") for depth in (1, 2))
        trained, saved = (
            first + 11 * (second - first) for first, second in zip(one, two, strict=True)
        )
    else:
        trained, saved = counts(method, depth=12, device="meta")
    row = next(row for row in rows(page, "## Methods") if row[0] == f"`{method}`")
    assert row[4:6] == [f"{trained:,}", f"{saved:,}"]
    if METHODS[method].config is not None:
        assert row[6].startswith("yes") is METHODS[method].is_foldable


def test_the_defaults_are_those_of_the_catalogue(page: str) -> None:
    listed: dict[str, list[str]] = {}
    for names, *cells in rows(page, "## Settings"):
        listed |= dict.fromkeys(re.findall(r"`(\w+)`", names), cells)
    assert listed.keys() == {name for name, method in METHODS.items() if method.config is not None}
    for name, (sites, rank, alpha, dropout, options) in listed.items():
        method = METHODS[name]
        assert sites == {None: "–", "own": "attention and FFN"}.get(method.sites, method.sites)
        defaults = method.default_settings()
        for cell, setting in ((rank, "rank"), (alpha, "alpha"), (dropout, "dropout")):
            value = defaults.get(setting)
            assert re.match(r"[\d.]+|–", cell).group() == ("–" if value is None else f"{value:g}")
        fields = method.options.model_fields
        assert set(re.findall(r"`(\w+)`", options)) == set(fields)
        for option, field in fields.items():
            if field.default is not None:
                default = (
                    f"{field.default:g}" if isinstance(field.default, float) else field.default
                )
                assert f"`{option}` {default}".lower() in options.lower()


@pytest.mark.slow
def test_its_code_runs(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(found) == 3
    names: dict[str, Any] = {}
    for text in found:
        exec(compile(text, "adapters.md", "exec"), names)
    assert "trainable params:" in capsys.readouterr().out
    assert any("ssf" in name for name in names["recognizer"].trained_tensors())


def test_the_adapters_of_a_bundle_are_loaded_by_peft_alone(page: str) -> None:
    text = page.partition("## A bundle's adapters in plain peft")[2]
    found = re.search(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    head, what_follows, tail = found.group(1).partition("# What follows needs no evlora.\n")
    assert what_follows
    names: dict[str, Any] = {"timm": timm}
    exec(compile(head, "adapters.md", "exec"), names)
    for tensor in names["trained"].trained_tensors().values():
        torch.nn.init.normal_(tensor, std=0.02)  # as if it had been trained
    evlora.save_bundle(names["trained"], names["bundle"])
    exec(compile(tail, "adapters.md", "exec"), names)
    saved = load_file(names["bundle"] / "adapters" / "rgb" / "adapter_model.safetensors")
    loaded = get_peft_model_state_dict(names["view"])
    assert len(saved) == 48
    assert all(torch.equal(loaded[name], tensor) for name, tensor in saved.items())
    images = torch.randn(2, 3, 32, 32)
    ours = names["trained"].eval().network.views["rgb"].adapted.base_model.model
    with torch.inference_mode():
        expected = ours.forward_features(images)
        got = names["view"].eval().base_model.model.forward_features(images)
    assert torch.equal(got, expected)
