"""``--reload``: the program is started again when one of its files changes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

PARENT = "REFRAME_RELOAD_PARENT"
"""The variable that says to the program which process started it."""

POLL_SECONDS = 0.5
STOP_SECONDS = 10.0
"""How long a program that is to end may take; then it is killed."""

MAX_FILES = 2000
"""Files that are looked at. A folder with more is one that holds other things than the program."""

_SKIPPED = frozenset(("__pycache__", "node_modules", "site-packages", "target", "venv"))

Files = dict[Path, int]


def command(arguments: list[str]) -> list[str]:
    """What starts ``reframe`` with these arguments in a process of its own."""
    # Without -P a file called reframe.py in the working folder would come first.
    return [sys.executable, "-P", "-m", "reframe", *arguments]


def run(command: list[str], folder: Path) -> int:
    """Runs a command until a signal ends it, and again whenever a Python file below ``folder`` has
    changed, also when it has failed. Returns the exit code of the last run."""
    environment = os.environ | {PARENT: str(os.getpid())}
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        while True:
            files = _files(folder)
            program = subprocess.Popen(command, env=environment)
            try:
                _wait_for_change(program, folder, files)
            except KeyboardInterrupt:
                # A terminal sends it to the program too, for which a second signal is the wish to
                # end at once.
                return _ended(program)
            except _Terminated:
                program.terminate()
                return _ended(program)
            print("reframe: a file has changed, starting again", file=sys.stderr)
            program.terminate()
            _ended(program)
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait_for_change(program: subprocess.Popen[bytes], folder: Path, files: Files) -> None:
    while _files(folder) == files:
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(POLL_SECONDS)
            # It has ended by itself: only the clock is left to wait with.
            signal.sigtimedwait((), POLL_SECONDS)


def _ended(program: subprocess.Popen[bytes]) -> int:
    """The exit code of a program that has been told to end."""
    try:
        code = program.wait(STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt, _Terminated):
        program.kill()
        code = program.wait()
    return code if code >= 0 else 128 - code


def _files(folder: Path) -> Files:
    """When each was changed."""
    found: Files = {}
    for path in _sources(folder):
        with contextlib.suppress(OSError):  # Removed meanwhile.
            found[path] = path.stat().st_mtime_ns
        if len(found) >= MAX_FILES:
            break
    return found


def _sources(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and name[0] != ".")
        yield from (Path(root, name) for name in sorted(names) if name.endswith(".py"))


class _Terminated(BaseException):
    """The signal SIGTERM."""


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated
