"""The page on clips states what the settings are."""

import re

import yaml

from evlora.clips import ClipConfig


def test_the_page_names_every_setting_with_its_default(project_root):
    page = (project_root / "docs" / "clips.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert block is not None
    shown = yaml.safe_load(block[1])["clip"]
    assert ClipConfig.model_validate(shown) == ClipConfig()
    assert shown == ClipConfig().model_dump(mode="json")
