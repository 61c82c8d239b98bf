"""docs/backbones.md: its tables are what timm has and what our backbones are."""

import re
from pathlib import Path

import pytest
from backbone_families import FAMILIES, tiny
from timm import get_pretrained_cfg
from timm.models.eva import Eva


def rows_of_the_table(project_root: Path) -> dict[str, list[str]]:
    page = (project_root / "docs" / "backbones.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return {cells[0]: cells for cells in rows if cells[0] in FAMILIES}


def test_the_table_of_the_docs_names_the_six(project_root: Path) -> None:
    rows = rows_of_the_table(project_root)
    assert {name: re.findall("`(.*)`", row[1]) for name, row in rows.items()} == {
        name: [family.name] for name, family in FAMILIES.items()
    }


@pytest.mark.parametrize("name", FAMILIES)
def test_the_table_of_the_docs_is_what_timm_has(name: str, project_root: Path) -> None:
    _, _, patch, size, mean, std, before, positions, pool, licence = rows_of_the_table(
        project_root
    )[name]
    family = FAMILIES[name]
    published = get_pretrained_cfg(family.name)
    assert published is not None
    backbone = tiny(family)
    assert int(patch) == backbone.patch_embed.patch_size[0]
    assert int(size) == published.input_size[-1]
    for column, exact in ((mean, published.mean), (std, published.std)):
        assert column == (f"{exact[0]:g}" if len(set(exact)) == 1 else _rounded(exact))
    kinds = {0: "none", 1: "class"}
    assert before == kinds.get(backbone.num_prefix_tokens, "class + 4 registers")
    assert (backbone.num_prefix_tokens > 0) == (backbone.cls_token is not None)
    is_rotary = isinstance(backbone, Eva) and backbone.rope is not None
    learned = ["learned"] * (backbone.pos_embed is not None)
    assert positions == " + ".join([*learned, *(["rotary"] * is_rotary)])
    assert pool == ("`map`" if backbone.attn_pool else "`token`, `mean`")
    assert licence in (published.license, "see its model card")


def test_the_sizes_of_the_docs_suit_a_davis346(project_root: Path) -> None:
    page = (project_root / "docs" / "backbones.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| (\d+) \| `\[(\d+), (\d+)\]` \| (\d+) \|", page)
    assert len(rows) == 4
    for patch, height, width, tokens in (map(int, row) for row in rows):
        assert height % patch == width % patch == 0
        assert tokens == (height // patch) * (width // patch)
        assert (width / height) / (346 / 260) == pytest.approx(1, abs=0.002)


def _rounded(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)
