"""Processes that are started: what they have imported before their work."""

import subprocess
import sys
from multiprocessing import get_all_start_methods
from pathlib import Path

import pytest

SCRIPT = """
import signal
import sys
from evlora.processes import begin_to_preload, process_context

def look(answers):
    answers.send("colorsys" in sys.modules)

if __name__ == "__main__":
    begin_to_preload("colorsys")
    assert "colorsys" not in sys.modules
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ours, theirs = process_context().Pipe()
    process = process_context().Process(target=look, args=(theirs,))
    process.start()
    print(ours.recv())
    process.join()
"""


@pytest.mark.skipif("forkserver" not in get_all_start_methods(), reason="there is no server")
def test_processes_begin_with_what_their_server_has_imported(tmp_path: Path) -> None:
    script = tmp_path / "look.py"
    script.write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
