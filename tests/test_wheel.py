"""The wheel: small enough for a package index, whole, and of use without a network."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parent.parent
MEGABYTE = 1_000_000

OFFLINE = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise AssertionError(f"the network was asked: {event} {arguments}")

sys.addaudithook(refuse)
import evlora
from evlora.cli.main import run

assert evlora.__file__.startswith(sys.argv[1]), evlora.__file__
sys.argv = ["evlora", *sys.argv[2:]]
run()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return Path(built)


def test_the_wheel_is_small_and_has_the_weights_and_the_recipes(wheel: Path) -> None:
    assert wheel.stat().st_size < 12 * MEGABYTE
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {f"evlora/recipes/{p.relative_to(ROOT / 'recipes')}" for p in _recipes()}
    assert {"evlora/models/evlora_nano.safetensors", "evlora/py.typed", *shipped} <= set(names)


def test_the_wheel_has_the_page_of_the_service_and_its_samples(wheel: Path) -> None:
    source = ROOT / "src"
    page = source / "evlora" / "serving" / "page"
    files = {path.relative_to(source).as_posix() for path in page.rglob("*") if path.is_file()}
    assert "evlora/serving/page/samples/three-left.npz" in files
    assert files <= set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
def test_what_it_holds_trains_without_a_network(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)

    def evlora(*arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        command = [sys.executable, "-c", OFFLINE, str(installed), *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    evlora("prepare", "generated", "digits", "train=10", "val=0", "test=5", "digits=5")
    one_epoch = ("training.epochs=1", "training.warmup_epochs=0")
    evlora("train", "demo", "data.root=digits", "run.dir=run", *one_epoch)
    assert (tmp_path / "run" / "bundle").is_dir()


def _recipes() -> list[Path]:
    return sorted((ROOT / "recipes").rglob("*.yaml"))
