"""Groups and data sets of an HDF5 file, and of that file alone.

HDF5 follows links into other files, and reads data sets whose values lie in any file of the
machine (external storage, virtual data sets). A recording that others made could show so what it
should not, or make its reader wait for a pipe; none of it is followed.
"""

from typing import Any

from evlora.errors import RecordingError

MOST_SOFT_LINKS = 16
"""That lead from one to the next; more are a circle."""
ADVICE = "copy what it names into one file, for example with h5repack or h5copy"


def item_in(group: Any, name: str) -> Any:
    """The group or data set of this path below a group, or None where there is none.

    Args:
        group: A group of an open file, or the file.
        name: Its path, such as `davis/left/events`; from the root where it begins with `/`.

    Raises:
        RecordingError: The path leads into another file, or the values lie in one.
    """
    import h5py

    item, followed = group, 0
    waiting = _keys(name)
    if name.startswith("/"):
        item = group.file
    while waiting:
        if not isinstance(item, h5py.Group):
            return None
        key = waiting.pop(0)
        link: Any = item.get(key, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise _of_another_file(group, name, link.filename)
        if isinstance(link, h5py.SoftLink):
            followed += 1
            if followed > MOST_SOFT_LINKS:
                return None
            item = item.file if link.path.startswith("/") else item
            waiting = [*_keys(link.path), *waiting]
            continue
        item = item.get(key)
    if isinstance(item, h5py.Dataset):
        _require_own_values(group, name, item)
    return item


def items_of(group: Any) -> dict[str, Any]:
    """All groups and data sets in a group by their names; links that lead nowhere are skipped.

    Raises:
        RecordingError: The values of one lie in another file.
    """
    import h5py

    items: dict[str, Any] = {}
    for key in group:
        link: Any = group.get(key, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            continue
        item = item_in(group, key) if isinstance(link, h5py.SoftLink) else group.get(key)
        if isinstance(item, h5py.Dataset):
            _require_own_values(group, key, item)
        if item is not None:
            items[key] = item
    return items


def _require_own_values(group: Any, name: str, data: Any) -> None:
    if data.is_virtual:
        raise RecordingError(
            f"{group.file.filename}: the data set {name} is virtual: its values lie in other data "
            f"sets, maybe in other files, which are not opened; {ADVICE}"
        )
    if external := data.external:
        raise _of_another_file(group, name, external[0][0])


def _of_another_file(group: Any, name: str, other: str) -> RecordingError:
    return RecordingError(
        f"{group.file.filename}: {name} lies in another file, {other}, which is not opened; "
        f"{ADVICE}"
    )


def _keys(path: str) -> list[str]:
    return [key for key in path.split("/") if key not in ("", ".")]
