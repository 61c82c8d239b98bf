"""The routes of the service as a page without scripts."""

from html import escape
from typing import Any

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}code,pre{font-size:.9em;overflow-x:auto}td,th{text-align:left;"
    "padding:.2rem .8rem .2rem 0;vertical-align:top}"
)


def overview(document: dict[str, Any]) -> str:
    """The page.

    Args:
        document: The OpenAPI document, from which tools make clients.
    """
    routes = [
        _route(path, method, about)
        for path, methods in document["paths"].items()
        for method, about in methods.items()
    ]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>evlora: routes</title>"
        f"<meta name=viewport content='width=device-width'><style>{STYLE}</style>"
        "<h1>Routes</h1><p>As a document for tools: <a href=openapi.json>openapi.json</a>. "
        "Cameras are answered at the WebSocket <code>/live</code>.</p>"
        f"{''.join(routes)}</html>"
    )


def _route(path: str, method: str, about: dict[str, Any]) -> str:
    rows = [
        f"<tr><td><code>{escape(one['name'])}</code><td>{escape(one.get('description', ''))}"
        for one in about.get("parameters", [])
    ]
    files = about.get("requestBody", {}).get("content", {}).get("multipart/form-data", {})
    rows += [
        f"<tr><td><code>{escape(name)}</code> (file)<td>{escape(one['description'])}"
        for name, one in files.get("schema", {}).get("properties", {}).items()
    ]
    statuses = ", ".join(
        f"{escape(status)} {escape(one['description'])}"
        for status, one in about["responses"].items()
    )
    return (
        f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>"
        f"{escape(about.get('description', ''))}</p><table>{''.join(rows)}</table><p>{statuses}</p>"
    )
