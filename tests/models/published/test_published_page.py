"""docs/published.md: its counts of trained numbers are those of the networks, and its code runs."""

import re
from pathlib import Path

import pytest
import torch
from published_release import RELEASED, TOWERS, checkpoint, lora, save, unused
from timm import create_model
from timm.models.vision_transformer import VisionTransformer

from evlora.importing import CLIP_TOWER
from evlora.models import AdapterConfig, PublishedConfig, PublishedVELoRA, VELoRA, VELoRAConfig
from evlora.recipe import load_recipe

CLASSES = 114
OURS = [("ffn", rank) for rank in (1, 2, 4, 8, 16, 32, 64)] + [("attention", 4), ("both", 4)]


@pytest.fixture(scope="module")
def page(project_root: Path) -> str:
    return (project_root / "docs" / "published.md").read_text(encoding="utf-8")


def rows(page: str, heading: str) -> dict[str, list[str]]:
    lines = page.split(f"\n### {heading}", maxsplit=1)[1].split("\n#", maxsplit=1)[0].splitlines()
    table = [line for line in lines if line.startswith("| ")][1:]  # without its header
    cells = [[cell.strip(" *`") for cell in line.strip("|").split(" | ")] for line in table]
    return {name: rest for name, *rest in cells}


def mib(count: int) -> str:
    return f"{4 * count / 2**20:.2f}"


@pytest.fixture
def tower() -> VisionTransformer:
    """CLIP's ViT-B/16, without numbers: only shapes are counted."""
    with torch.device("meta"):
        return create_model(CLIP_TOWER, num_classes=0).requires_grad_(False)


def test_the_released_network_counts_as_tabled(page: str, tower: VisionTransformer) -> None:
    with torch.device("meta"):
        network = PublishedVELoRA(tower, PublishedConfig(), num_classes=CLASSES)
    trained = {name: p.numel() for name, p in network.named_parameters() if p.requires_grad}

    def of(*prefixes: str) -> int:
        return sum(count for name, count in trained.items() if name.startswith(prefixes))

    pairs = lora(RELEASED, torch.Generator())
    of_text = sum(pair.numel() for name, pair in pairs if ".visual." not in name)
    statistics = ("bn.running_mean", "bn.running_var", "bn.num_batches_tracked")
    others = {
        "two randomly initialised ViT-B blocks": of("blocks.", "fuse_blocks."),
        "self-attention": of("self_attention."),
        "projection 512 → 768": of("visual_embed."),
        "norm and embeddings": of("norm.", "rgb_embed", "event_embed", "frame_embed"),
        "head 7,680 → 114": of("fc1."),
    }
    uncounted, headline = sum(others.values()), of("views.") + len(TOWERS) * of_text
    assert headline == 1_843_200  # 7.03 MiB, the paper states 7.02 MB
    expected = {
        "LoRA of the three vision towers": of("views."),
        "LoRA of the three unused text towers": len(TOWERS) * of_text,
        "the headline's": headline,
        **others,
        "what the headline does not count": uncounted,
        "all": headline + uncounted,
        "all that an answer is computed with": sum(trained.values()),
        "in the file, never called": sum(
            tensor.numel() for name, tensor in unused(RELEASED).items() if name not in statistics
        ),
    }
    table = rows(page, "Released")
    assert table == {name: [f"{count:,}", mib(count)] for name, count in expected.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("sites", "rank"), OURS)
def test_ours_counts_as_tabled(page: str, tower: VisionTransformer, sites: str, rank: int) -> None:
    recipe = load_recipe(
        "velora_vitb16_clip", {"model.adapter.sites": sites, "model.adapter.rank": rank}
    )
    assert isinstance(recipe.model, VELoRAConfig)
    assert recipe.model.shared_adapter == AdapterConfig(
        method="lora", sites="ffn", rank=8, alpha=16, dropout=0.01
    )
    with torch.device("meta"):
        network = VELoRA(tower, recipe.model, num_classes=CLASSES)
    trained = {name: p.numel() for name, p in network.named_parameters() if p.requires_grad}
    pairs = sum(count for name, count in trained.items() if "lora_" in name)
    whole = sum(trained.values())
    expected = [f"{pairs:,}", f"{whole - pairs:,}", f"{whole:,}", mib(whole)]
    assert rows(page, "Ours").get(f"{sites}, {rank}") == expected


def test_our_table_has_no_other_rows(page: str) -> None:
    assert list(rows(page, "Ours")) == [f"{sites}, {rank}" for sites, rank in OURS]


@pytest.mark.slow
def test_the_code_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(checkpoint(), tmp_path / "best_checkpoint.pth")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    exec(compile(block, "docs/published.md", "exec"), {})
    assert (tmp_path / "poker" / "config.json").is_file()
