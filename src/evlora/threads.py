"""How OpenMP's threads wait for each other: they sleep instead of spinning.

On a busy machine of two cores a training step was seen to take ten times as long with the default.
OpenMP reads the variable once, when torch is first imported.
"""

import os
import sys
import warnings

VARIABLE = "OMP_WAIT_POLICY"

_came_too_late = False


def let_waiting_threads_sleep() -> None:
    """Set what OpenMP reads, unless it is set already; once, before torch is imported."""
    global _came_too_late  # noqa: PLW0603 - one per process, like the environment
    _came_too_late = VARIABLE not in os.environ and "torch" in sys.modules
    os.environ.setdefault(VARIABLE, "passive")


def warn_where_threads_spin() -> None:
    """Warn where torch had been imported before it could be set."""
    if _came_too_late:
        warnings.warn(
            "torch was imported before evlora: its waiting threads spin, which makes training "
            "several times slower on a busy machine; import evlora first, or set "
            f"{VARIABLE}=passive in the environment",
            stacklevel=3,
        )
