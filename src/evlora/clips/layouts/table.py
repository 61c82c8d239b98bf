"""One row per layout of a dataset on disk. A new dataset is its module and one row here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evlora.clips.manifest import Manifest
from evlora.errors import DatasetError

RECORDINGS_FOLDER = "recordings"
"""Where a layout that makes its recordings itself puts them, inside the prepared dataset."""

Progress = Callable[[int, int], None]
"""Is told how many samples are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A way in which a dataset lies on disk, and the module that understands it.

    The module has `Options`, a Config, and `collect(source, folder, options, progress)`, which
    returns the manifest; `folder` is where it may write recordings that it makes itself.
    """

    name: str
    module: str
    has_source: bool
    says: str
    """What the command line prints about it."""

    def collect(
        self,
        source: Path | None,
        folder: Path,
        options: Mapping[str, Any],
        progress: Progress | None,
    ) -> Manifest:
        """The manifest of the dataset at `source`; see the module for what may go wrong."""
        module = import_module(self.module)
        try:
            checked = module.Options(**options)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            is_unknown = fault["type"] == "extra_forbidden"
            known = ", ".join(module.Options.model_fields) or "none"
            raise DatasetError(
                f"layout {self.name}: option {'.'.join(map(str, fault['loc']))}: "
                f"{'there is no such option' if is_unknown else fault['msg']}; "
                f"its options are: {known}"
            ) from error
        return module.collect(source, folder, checked, progress)


LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "csv",
        "evlora.clips.layouts.csv_layout",
        has_source=True,
        says="a table with the columns split, events, frame, label",
    ),
    Layout(
        "class_tree",
        "evlora.clips.layouts.class_tree",
        has_source=True,
        says="folders: class/sample or split/class/sample",
    ),
    Layout(
        "generated",
        "evlora.clips.generated",
        has_source=False,
        says="digits in motion, made on the spot",
    ),
)


def layout_named(name: str) -> Layout:
    """The row of this name.

    Raises:
        DatasetError: There is none.
    """
    for row in LAYOUTS:
        if row.name == name:
            return row
    known = "; ".join(f"{row.name} ({row.says})" for row in LAYOUTS)
    raise DatasetError(f"no layout is called {name!r}; there are: {known}")
