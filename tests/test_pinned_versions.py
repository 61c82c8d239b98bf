"""The file of hashes pins the tested versions, no more and no fewer."""

import re
from pathlib import Path


def normal(pin: str) -> str:
    """A pin with the name as PyPI compares it."""
    name, version = pin.split("==")
    return f"{re.sub('[-_.]+', '-', name).lower()}=={version}"


def test_every_tested_version_has_the_hashes_of_its_files(project_root: Path):
    pins = {normal(pin) for pin in (project_root / "constraints.txt").read_text().split()}
    entries = re.split(r"\n(?=\w)", (project_root / "requirements-hashed.txt").read_text())[1:]

    assert {normal(entry.split()[0]) for entry in entries} == pins
    for entry in entries:
        assert re.fullmatch(r"\S+( \\\n    --hash=sha256:[0-9a-f]{64})+", entry.strip()), entry
