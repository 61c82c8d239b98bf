"""OpenMP's waiting threads: they sleep from Python as they do from the command."""

import subprocess
import sys

import pytest

from evlora import threads

ASK = "import os; print(os.environ.get('OMP_WAIT_POLICY'), threads._came_too_late)"


def policy_after(imports: str, **environment: str) -> str:
    code = f"{imports}; from evlora import threads; {ASK}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_importing_the_library_lets_waiting_threads_sleep() -> None:
    assert policy_after("import evlora") == "passive False"
    assert policy_after("import evlora", OMP_WAIT_POLICY="active") == "active False"


def test_torch_that_was_imported_first_is_noticed() -> None:
    # An empty module in its place: only its name counts, and torch itself takes seconds.
    first = "import sys, types; sys.modules['torch'] = types.ModuleType('torch'); import evlora"
    assert policy_after(first) == "passive True"
    assert policy_after(first, OMP_WAIT_POLICY="passive") == "passive False"


def test_training_warns_where_threads_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    threads.warn_where_threads_spin()  # nothing to warn of: a warning would be an error here
    monkeypatch.setattr(threads, "_came_too_late", True)
    with pytest.warns(UserWarning, match="import evlora first, or set OMP_WAIT_POLICY=passive"):
        threads.warn_where_threads_spin()
