"""Python's search for garbage, put off while much is made that stays."""

import atexit
import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager

COUNTING = ("onnx", "openvino", "triton")
"""Libraries that report, when Python ends, which of their objects no search has found."""

_imports_stay = False


@contextmanager
def not_collecting() -> Generator[None]:
    """Without the garbage collector, which would search millions of new objects again and again."""
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_collecting:
            gc.enable()


@contextmanager
def importing() -> Generator[None]:
    """Without the garbage collector; then it skips what is there, after `keep_imports`."""
    with not_collecting():
        yield
        if _imports_stay:
            gc.freeze()


def keep_imports() -> None:
    """Let no search look through imported modules, for the rest of this process.

    For the command, whose process is its own: what is garbage at an import is kept as well.
    """
    global _imports_stay  # noqa: PLW0603 - one per process, like the garbage collector
    _imports_stay = True
    atexit.register(_search_for_libraries_that_count)


def _search_for_libraries_that_count() -> None:
    """Let the search at the end look at everything only where it is expected: it takes 0.4 s."""
    if any(name in sys.modules for name in COUNTING):
        gc.unfreeze()
