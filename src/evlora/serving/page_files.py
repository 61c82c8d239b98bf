"""The page: static files that ship with evlora, served at `/`."""

from pathlib import Path
from typing import Any

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent / "page"
HEADERS = {
    # Nothing from another host; images of answers stand in their text.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
KINDS = {".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


class PageFiles(StaticFiles):
    """The page's files, with what a browser must know to load nothing else."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file of this path."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        suffix = Path(path).suffix
        if suffix in KINDS:  # the machine's own list of kinds may differ
            response.headers["Content-Type"] = KINDS[suffix]
        return response


def paths_of(folder: Path) -> frozenset[str]:
    """The paths under which a page's files are found."""
    files: list[Any] = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return frozenset({"/", *(f"/{path.as_posix()}" for path in files)})
