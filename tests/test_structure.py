"""The house: no circle of imports anywhere, no file or function that has grown too large."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

MOST_LINES = 400
MOST_LINES_OF_BODY = 60


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@pytest.fixture(scope="module")
def modules(project_root: Path) -> dict[str, Path]:
    """Every module of the package by its name; a package stands for its `__init__`."""
    source = project_root / "src"
    found = {path: path.relative_to(source).with_suffix("") for path in source.rglob("*.py")}
    return {".".join(name.parts).removesuffix(".__init__"): path for path, name in found.items()}


def test_no_module_imports_itself_in_a_circle(modules: dict[str, Path]) -> None:
    imports = {name: set(_imported(name, path, modules)) for name, path in modules.items()}
    finished: set[str] = set()

    def walk(name: str, chain: tuple[str, ...]) -> None:
        assert name not in chain, " → ".join([*chain[chain.index(name) :], name])
        if name not in finished:
            for imported in sorted(imports[name]):
                walk(imported, (*chain, name))
            finished.add(name)

    for name in sorted(modules):
        walk(name, ())


def test_no_file_is_longer_than_one_reads_at_once(modules: dict[str, Path]) -> None:
    lengths = {str(path): len(path.read_text().splitlines()) for path in modules.values()}
    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}


def test_no_function_is_longer_than_a_screen(modules: dict[str, Path]) -> None:
    long = {
        f"{name}.{function.name}": lines
        for name, path in modules.items()
        for function in ast.walk(parsed(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := _lines_of_body(function)) > MOST_LINES_OF_BODY
    }
    assert long == {}


def _lines_of_body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return 0 if not body else (body[-1].end_lineno or 0) - body[0].lineno + 1


def _imported(name: str, path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """The modules that this one imports, inside its functions too; `if TYPE_CHECKING` aside."""
    tree = parsed(path)
    only_typing = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
        for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in only_typing:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                # A package imports its own modules; those that import from it by name are its
                # circle, not those that import another of its modules.
                yield whole if whole in modules else node.module
