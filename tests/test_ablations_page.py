"""The page about ablations states of each recipe what its file states, and counts rightly."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from timm import create_model

from evlora.models import VELoRA, VELoRAConfig
from evlora.recipe import load_recipe, recipes_folder, shipped_recipes

CLASSES = 114


@pytest.fixture
def page(project_root: Path) -> str:
    return (project_root / "docs" / "ablations.md").read_text(encoding="utf-8")


def rows(page: str) -> dict[str, tuple[str, str, str]]:
    """Recipe → what it is, its keys, its trained numbers."""
    lines = [re.split(r" \| ", line.strip("| ")) for line in page.splitlines()]
    return {f"ablations/{cells[0]}": tuple(cells[1:]) for cells in lines if len(cells) == 4}  # type: ignore[misc]


def test_the_page_lists_every_ablation_with_its_keys(page: str) -> None:
    listed = rows(page)
    listed.pop("ablations/recipe")
    assert sorted(listed) == [n for n in shipped_recipes() if n.startswith("ablations/")]
    for name, (what, keys, _) in listed.items():
        text = (recipes_folder() / f"{name}.yaml").read_text(encoding="utf-8")
        assert text.startswith(f"# {what}.\n")
        said = yaml.safe_load("\n".join(re.findall(r"`(.+?)`", keys)))
        assert {"extends": "velora_vitb16_clip", **said} == yaml.safe_load(text)


def test_the_pages_recipe_is_one(page: str, tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "mine.yaml").write_text(block, encoding="utf-8")
    assert load_recipe(tmp_path / "mine.yaml").training.epochs == 10


def trained(name: str) -> int:
    recipe = load_recipe(name)
    assert isinstance(recipe.model, VELoRAConfig)
    with torch.device("meta"):
        tower = create_model(recipe.backbone.name, num_classes=0).requires_grad_(False)
        network = VELoRA(
            tower, recipe.model, modalities=recipe.clip.modalities, num_classes=CLASSES
        )
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


@pytest.mark.slow
def test_the_trained_numbers_are_those_of_the_networks(page: str) -> None:
    listed = rows(page)
    listed.pop("ablations/recipe")
    for name, (_, _, count) in listed.items():
        assert f"{trained(name):,}" == count, name
    assert f"`velora_vitb16_clip` itself has {trained('velora_vitb16_clip'):,}." in page
