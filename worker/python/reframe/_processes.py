"""``--processes N``: several processes of one program, each a worker, below one parent.

A process runs one Python function at a time, whatever its threads. Functions that keep a processor
busy with Python code therefore want a process for each processor. The parent runs none of the
author's functions: with ``launch`` it is the gateway, with ``serve`` it only looks after its
children.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from reframe import _core

COMMAND = "REFRAME_COMMAND"
"""The variable with which a program is told what its ``ui.launch()`` does instead: a command line
as a JSON array."""

PARENT = "REFRAME_PARENT"
"""The variable with which a child is told the process id of its parent."""

MOST = 256
"""The largest ``--processes``."""

USAGE = 64
"""The exit code of a wrong command line or configuration."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds before a child that has ended is started again. The pause doubles with each end, and is
the first again after a child that lived for longer than the longest pause."""

PATIENCE = 45.0
"""Seconds that children have to end: the worker's own ``--grace`` is 30, and its handlers have 5
after that."""

# Of the program's start: it may change its directory later.
_directory = os.getcwd()


def taken(argv: Sequence[str]) -> tuple[list[str], int]:
    """A command line without ``--processes``, and its value; ``REFRAME_PROCESSES`` sets it too.

    Raises ValueError for a value that is no number of processes.
    """
    rest: list[str] = []
    given = os.environ.get("REFRAME_PROCESSES") or None
    arguments = iter(argv)
    for argument in arguments:
        if argument == "--processes":
            given = next(arguments, "")
        elif argument.startswith("--processes="):
            given = argument.partition("=")[2]
        else:
            rest.append(argument)
    if given is None or is_child():
        return rest, 1
    if not given.strip().isdecimal() or not 1 <= int(given) <= MOST:
        raise ValueError(f"--processes: `{given}` is not a number from 1 to {MOST}")
    return rest, int(given)


def is_child() -> bool:
    """Whether this process is one of several."""
    return PARENT in os.environ


def end_with_parent() -> None:
    """Has the kernel end this process when its parent is gone, however that ended."""
    if is_child():
        _core.end_with_parent(int(os.environ[PARENT]))


def launch(argv: Sequence[str], count: int, stop: _core.Stop | None) -> int:
    """A gateway here, and ``count`` workers on sockets of this machine; returns the exit code."""
    command = _command()
    with tempfile.TemporaryDirectory(prefix="reframe-") as folder:
        sockets = [f"{folder}/{number}.sock" for number in range(count)]
        stop = stop or _core.Stop()
        children = Children(command, stop)
        for socket in sockets:
            children.start(["serve", "--listen", f"unix:{socket}", *_for_workers(argv)])
        code = _core.front(list(argv), sockets, stop)
        return children.end() or code


def serve(argv: Sequence[str], count: int) -> int:
    """``count`` workers, each at a port of its own: that of ``--listen`` and those after it."""
    argv, listen = _without(argv, "--listen")
    listen = listen or os.environ.get("REFRAME_LISTEN") or "127.0.0.1:50051"
    stop = _core.Stop()
    children = Children(_command(), stop)
    ended = threading.Event()
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, lambda *_: ended.set())
    for number in range(count):
        children.start(["serve", "--listen", _address(listen, number), *argv])
    while not ended.wait(0.5) and not children.given_up.is_set():
        pass
    return children.end()


class Children:
    """Processes that are started again when they end, each by a thread."""

    def __init__(self, command: Sequence[str], stop: _core.Stop) -> None:
        self._command = command
        self._stop = stop
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._threads: list[threading.Thread] = []
        self.given_up = threading.Event()

    def start(self, argv: Sequence[str]) -> None:
        """Keeps a process running that does what the command line says."""
        # The kernel ends a child with the thread that has started it (PR_SET_PDEATHSIG): this one
        # lives until its child is to end.
        thread = threading.Thread(target=self._keep, args=(list(argv),), daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self) -> int:
        """Ends all of them; the exit code: that of a configuration that was wrong, else 0."""
        self._ending.set()
        with self._lock:
            for child in self._running:
                child.terminate()
        until = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        with self._lock:
            for child in self._running:
                child.kill()
        for thread in self._threads:
            thread.join()
        return USAGE if self.given_up.is_set() else 0

    def _keep(self, argv: list[str]) -> None:
        pause = FIRST_PAUSE
        while True:
            started = time.monotonic()
            child = self._spawn(argv)
            if child is None:
                return
            code = child.wait()
            with self._lock:
                self._running.discard(child)
            if self._ending.is_set():
                return
            if code == USAGE:
                # It would be as wrong the next time. It has printed why.
                self.given_up.set()
                self._stop.set()
                return
            lived = time.monotonic() - started
            pause = FIRST_PAUSE if lived > LONGEST_PAUSE else pause
            print(
                f"reframe: a worker process ended with {code}; the next starts in {pause:.1f} s",
                file=sys.stderr,
                flush=True,
            )
            if self._ending.wait(pause):
                return
            pause = min(2 * pause, LONGEST_PAUSE)

    def _spawn(self, argv: list[str]) -> subprocess.Popen[bytes] | None:
        environment = {**os.environ, COMMAND: json.dumps(argv), PARENT: str(os.getpid())}
        # Under the lock: `end` either sees the child, or has been before it.
        with self._lock:
            if self._ending.is_set():
                return None
            # A group of its own: Ctrl-C at the terminal is for the parent, which ends them.
            child = subprocess.Popen(
                self._command,
                cwd=_directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                process_group=0,
            )
            self._running.add(child)
            return child


def _command() -> list[str]:
    """This program's own command line.

    Raises RuntimeError where there is none that could be run again.
    """
    if len(sys.orig_argv) < 2 or sys.flags.interactive:
        raise RuntimeError(
            "several processes run the same program file: there is none here (a notebook, or "
            "Python's prompt), so leave processes=1 or write the program into a file"
        )
    return [sys.executable, *sys.orig_argv[1:]]


def _for_workers(argv: Sequence[str]) -> list[str]:
    """Of the options of ``launch``, those that are its worker's."""
    kept: list[str] = []
    for option in ("--capacity", "--log", "--log-format"):
        _, value = _without(argv, option)
        kept += [option, value] if value is not None else []
    return kept


def _without(argv: Sequence[str], option: str) -> tuple[list[str], str | None]:
    """A command line without an option, and the option's value."""
    rest: list[str] = []
    value: str | None = None
    arguments = iter(argv)
    for argument in arguments:
        if argument == option:
            value = next(arguments, "")
        elif argument.startswith(f"{option}="):
            value = argument.partition("=")[2]
        else:
            rest.append(argument)
    return rest, value


def _address(listen: str, number: int) -> str:
    """The address of one of several workers.

    Raises ValueError for a port from which there are not enough.
    """
    path = listen.removeprefix("unix:")
    if path != listen:
        return f"unix:{Path(path).with_suffix('')}-{number}{Path(path).suffix}"
    host, _, port = listen.rpartition(":")
    if not port.isdecimal() or int(port) + number > 65535:
        raise ValueError(f"--listen: `{listen}` is not an address like 127.0.0.1:50051")
    return f"{host}:{int(port) + number if int(port) else 0}"
