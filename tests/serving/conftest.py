"""A service over one small bundle, in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from served import client_of, written
from starlette.testclient import TestClient


@pytest.fixture(scope="session")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service keeps uploads."""
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="session")
def client(tiny_bundle: Path, uploads: Path) -> Iterator[TestClient]:
    with client_of(tiny_bundle, f"second={tiny_bundle}", uploads=uploads) as client:
        yield client


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("recording"), moments=3)
