"""A stand-in for the hub: one that takes commits and serves their files, on this machine."""

import base64
import hashlib
import json
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c" * 40


class _Hub(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[str, dict[str, bytes]] = {}


class _Handler(BaseHTTPRequestHandler):
    server: _Hub

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _reply(self, content: bytes, code: int = 200, **headers: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, content: Any, code: int = 200) -> None:
        headers = {} if code < 400 else {"X_Error_Code": "RepoNotFound"}
        self._reply(json.dumps(content).encode(), code, Content_Type="application/json", **headers)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts == [""]:
            self._reply(b"")
        elif parts[:2] == ["api", "models"]:
            files = self.server.repositories.get("/".join(parts[2:4]))
            if files is None:
                self._json({"error": "Repository not found"}, 404)
            elif "tree" in parts:
                rows = [
                    {"type": "file", "path": name, "size": len(data), "oid": _oid(data)}
                    for name, data in files.items()
                ]
                self._json(rows)
            else:
                siblings = [{"rfilename": name} for name in files]
                name = "/".join(parts[2:4])
                self._json({"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings})
        elif "resolve" in parts:
            data = self.server.repositories.get("/".join(parts[:2]), {}).get("/".join(parts[4:]))
            if data is None:
                self._reply(b"", 404, X_Error_Code="EntryNotFound")
            else:
                self._reply(data, ETag=f'"{_oid(data)}"', X_Repo_Commit=COMMIT)
        else:
            self._json({"error": self.path}, 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts == ["api", "repos", "create"]:
            made = json.loads(body)
            owner = made.get("organization") or "me"
            self.server.repositories.setdefault(f"{owner}/{made['name']}", {})
            self._json(
                {
                    "url": f"{self.server.address}/{owner}/{made['name']}",
                    "id": f"{owner}/{made['name']}",
                }
            )
        elif "preupload" in parts:
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]
            self._json({"files": files})
        elif "commit" in parts:
            files = self.server.repositories["/".join(parts[2:4])]
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    value = line["value"]
                    files[value["path"]] = base64.b64decode(value["content"])
            address = f"{self.server.address}/{'/'.join(parts[2:4])}/commit/{COMMIT}"
            self._json({"commitUrl": address, "commitOid": COMMIT, "success": True})
        else:
            self._json({"valid": True}, 200)


def _oid(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


@contextmanager
def local_hub() -> Generator[tuple[str, dict[str, dict[str, bytes]]]]:
    """Its address, and its repositories: USER/NAME → path → content."""
    server = _Hub()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.address, server.repositories
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
