"""What systems and network disks leave beside people's files, which is no file of theirs."""

from pathlib import Path

LEFT_BY_SYSTEMS = frozenset(
    {
        *("__macosx", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"),
        *("@eadir", "#recycle", "@recycle", "$recycle.bin", "system volume information"),
        "lost+found",
    }
)
"""Names in small letters; `@eaDir` holds Synology's thumbnails of each picture."""
ORIGIN_NOTE = ":zone.identifier"
"""The end of the file in which Windows notes where another one was loaded from."""

APPLE_DOUBLE = b"\x00\x05\x16\x07"
"""The first bytes of a file `._NAME`."""


def is_companion(name: str) -> bool:
    """Whether a path in a folder or an archive is no file of its user's.

    Hidden files, among them macOS's `._NAME` and `.DS_Store`, its folder `__MACOSX`, Windows'
    `Thumbs.db`, `desktop.ini` and `NAME:Zone.Identifier`, and the folders of network disks for
    thumbnails and deleted files.
    """
    parts = name.replace("\\", "/").split("/")
    return any(
        part.lower() in LEFT_BY_SYSTEMS
        or part.lower().endswith(ORIGIN_NOTE)
        or (part.startswith(".") and part not in (".", ".."))
        for part in parts
    )


def is_apple_double(path: Path) -> bool:
    """Whether the file is macOS's companion of another one, whatever its name.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return file.read(4) == APPLE_DOUBLE


def visible(folder: Path) -> list[Path]:
    """The files and folders in this folder in the order of their names, without companions.

    Raises:
        OSError: The folder cannot be read.
    """
    return sorted(entry for entry in folder.iterdir() if not is_companion(entry.name))
