"""Which files of a dataset lie outside its folder: by their paths, or behind symbolic links.

An index that others made may name any file of the machine. What lies outside is listed when a
dataset is prepared, and is only taken with the user's consent, which `dataset.json` keeps.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from evlora.datasets.samples import Sample
from evlora.messages import itemized


def outside(
    samples: Iterable[Sample], source: Path, *, follows_links: bool = True, in_folders: bool = False
) -> list[tuple[str, str]]:
    """Names of samples, and those of their paths that lead out of the source.

    Args:
        samples: Of a dataset.
        source: Its folder.
        follows_links: Whether symbolic links are looked up, which takes a look at each file.
        in_folders: Whether the files in a sample's folders are looked at too.
    """
    # Texts rather than `Path`s: an index may name millions of files.
    folder, root = str(source), Path(os.path.realpath(source))
    known: dict[str, bool] = {}

    def leads_out(path: str | Path) -> bool:
        return not Path(os.path.realpath(path)).is_relative_to(root)

    def is_outside(path: str) -> bool:
        if not follows_links:
            return _is_named_outside(path)
        whole = os.path.join(folder, path.rstrip("/"))  # noqa: PTH118
        above, name = os.path.split(whole)
        if above not in known:
            known[above] = leads_out(above)
        # Most files are no links, and need no look at all folders above them.
        return known[above] or ((name == ".." or os.path.islink(whole)) and leads_out(whole))  # noqa: PTH114

    found: list[tuple[str, str]] = []
    for sample in samples:
        for path in sample.paths:
            if is_outside(path):
                found.append((sample.sample, path))
            elif in_folders:
                found += [
                    (sample.sample, f"{path}/{name}")
                    for name in _links_in(source / path)
                    if leads_out(source / path / name)
                ]
    return found


def listing(found: list[tuple[str, str]], advice: str) -> str:
    """The message about paths that lead out.

    Args:
        found: What `outside` returned.
        advice: What to do.
    """
    files = "1 file lies" if len(found) == 1 else f"{len(found)} files lie"
    lines = [path if path == sample else f"{sample}: {path}" for sample, path in found]
    return f"{files} outside of the dataset's folder:{itemized(lines)}\n{advice}"


def _is_named_outside(path: str) -> bool:
    """Whether a path leads out of the folder by its text alone."""
    normal = os.path.normpath(path)
    return normal.startswith("/") or normal == ".." or normal.startswith("../")


def _links_in(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        yield from (entry.name for entry in entries if entry.is_symlink())
