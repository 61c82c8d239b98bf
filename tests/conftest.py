"""What every test may ask for."""

import os
from pathlib import Path

import pytest

PROJECT_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with real recordings, images and weights, which lies beside the project."""
    root = Path(os.environ.get("EVLORA_TEST_DATA", PROJECT_ROOT.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no test data at {root}; set EVLORA_TEST_DATA to where it lies")
    return root


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The root of the checkout."""
    return PROJECT_ROOT
