"""`--reload`, with small programs in place of streams."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1]

# Imports only what it tests: the package may be there without its compiled half.
SUPERVISOR = """
import importlib.util, sys, pathlib
spec = importlib.util.spec_from_file_location("reload", sys.argv[1])
reload = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reload)
reload.POLL_SECONDS = 0.02
folder = pathlib.Path(sys.argv[2])
sys.exit(reload.run([sys.executable, str(folder / "app.py")], folder))
"""

WAITS = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("run", {number}, os.getpid(), flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def supervised(tmp_path):
    app = tmp_path / "app.py"
    app.write_text(WAITS.format(number=1))
    file = str(PACKAGE / "reframe" / "_reload.py")
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, file, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    yield app, supervisor
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()


def said(supervisor):
    """The number of the run, and its process."""
    _, number, process = supervisor.stdout.readline().split()
    return int(number), int(process)


def is_gone(process):
    """Within 20 s."""
    for _ in range(2000):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_a_change_starts_it_again(supervised):
    app, supervisor = supervised
    number, process = said(supervisor)
    assert number == 1
    app.write_text(WAITS.format(number=22))
    assert said(supervisor)[0] == 22
    assert is_gone(process)
    # One that has failed is started again too.
    app.write_text("raise SystemExit(3)")
    (app.parent / "folder").mkdir()
    app.write_text(WAITS.format(number=333))
    (app.parent / "folder" / "other.py").write_text("x = 1")
    assert said(supervisor)[0] == 333


def test_a_signal_ends_both(supervised):
    _, supervisor = supervised
    _, process = said(supervisor)
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(20) == 7
    assert is_gone(process)
