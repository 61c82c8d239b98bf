"""Where a bundle lies; found before the imports that take seconds."""

import re
from pathlib import Path

from evlora.errors import BundleError
from evlora.files import standing
from evlora.messages import listed
from evlora.untrusted import plain

DESCRIPTION = "config.json"
"""The file by which a folder is known as a bundle."""
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""USER/NAME, as the hub names a repository."""


def require_bundle(name: str | Path) -> None:
    """Check that a bundle, or a run that has one, lies here; those on the hub are not asked for.

    Raises:
        BundleError: There is none.
    """
    if not is_on_hub(name):
        bundle_in(Path(name))


def is_on_hub(folder: str | Path) -> bool:
    """Whether a bundle's name is USER/NAME of the hub, and no path here.

    RUN/bundle, as every run calls its own, is a path even where RUN is misspelt.
    """
    path = Path(folder)
    is_name = bool(NAME.fullmatch(str(folder))) and path.name != "bundle"
    return is_name and not path.exists() and not path.parent.exists()


def bundle_in(folder: Path) -> Path:
    """Where the bundle lies: in this folder, or in the folder `bundle` of a run.

    Raises:
        BundleError: There is none.
    """
    inside = plain(folder, BundleError) / "bundle"
    for place in (folder, inside):
        if (standing(place) / DESCRIPTION).is_file():
            return place
    if not folder.is_dir():
        found = (
            "a file; name the folder that holds it"
            if folder.exists()
            else "no such folder; check the path"
        )
        raise BundleError(f"{folder}: expected a bundle, found {found}")
    if inside.is_dir() or (folder / "recipe.yaml").is_file():
        raise BundleError(
            f"{folder}: expected a bundle, found a run without one; it is written when training "
            f"ends: evlora train RECIPE run.dir={folder} --resume"
        )
    raise BundleError(
        f"{folder}: expected a bundle with a {DESCRIPTION}, found {_in_its_place(folder)}"
    )


def _in_its_place(folder: Path) -> str:
    """What a folder holds that is no bundle, and what to name instead."""
    from evlora.datasets.storage import is_prepared  # which imports numpy

    if is_prepared(folder):
        return "a prepared dataset; name a bundle, or the folder of a finished run"
    inside = sorted(path.parent.parent for path in folder.glob(f"*/bundle/{DESCRIPTION}"))
    if inside:
        return f"a folder of runs; name one of them: {listed(inside)}"
    return "none there; name a bundle, or the folder of a finished run"
