"""``--processes N``: several processes of one program, each a worker, below one parent.

A process runs one Python function at a time, whatever its threads. Functions that keep a processor
busy with Python code therefore want a process for each processor. The parent runs the program as
far as ``launch()``, and calls none of its functions for a stream: with ``launch`` it is the
gateway, with ``serve`` it only looks after its children.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
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

# Of the program's start: it may change its directory later. None: it was removed.
try:
    _directory: str | None = os.getcwd()
except OSError:
    _directory = None

_parent: int | None = None
_command_line: list[str] | None = None


def adopt() -> None:
    """Takes what a parent has said out of the environment, where programs that this one starts
    would find it too. In a child the kernel ends the process with its parent from now on, however
    that ended; from the import on, as a program may take minutes to load."""
    global _parent
    given = os.environ.pop(PARENT, None)
    if given is not None:
        _parent = int(given)
        _core.end_with_parent(_parent)
    commanded()


def commanded() -> list[str] | None:
    """The command line of the ``reframe`` command or of a parent, if one runs this program."""
    global _command_line
    given = os.environ.pop(COMMAND, None)
    if given is not None:
        _command_line = [str(argument) for argument in json.loads(given)]
    return list(_command_line) if _command_line else None


def command(argv: Sequence[str]) -> None:
    """Says what this program does, unless its parent has said it."""
    global _command_line
    if not is_child():
        _command_line = list(argv)


def taken(argv: Sequence[str]) -> tuple[list[str], int]:
    """A command line without ``--processes``, and its value; ``REFRAME_PROCESSES`` sets it too.

    Raises ValueError for a value that is no number of processes.
    """
    rest, given = _without(argv, "--processes")
    if given is None:
        given = os.environ.get("REFRAME_PROCESSES") or None
    if given is None or is_child():
        return rest, 1
    if not given.strip().isdecimal() or not 1 <= int(given) <= MOST:
        raise ValueError(f"--processes: `{given}` is not a number from 1 to {MOST}")
    return rest, int(given)


def is_child() -> bool:
    """Whether this process is one of several."""
    return _parent is not None


def launch(argv: Sequence[str], count: int, stop: _core.Stop | None) -> int:
    """A gateway here, and ``count`` workers on sockets of this machine; returns the exit code.

    Raises ValueError where there is no program file to run again.
    """
    stop = stop or _core.Stop()
    with (
        tempfile.TemporaryDirectory(prefix="reframe-") as folder,
        Children(_program(), stop) as children,
    ):
        sockets = [f"{folder}/{number}.sock" for number in range(count)]
        for socket in sockets:
            # An address in the environment would be one for all of them.
            ours = ["serve", "--listen", f"unix:{socket}", "--health", ""]
            children.start([*ours, *_for_workers(argv)])
        code = _core.front(list(argv), sockets, stop)
        return children.end() or code


def serve(argv: Sequence[str], count: int) -> int:
    """``count`` workers, each at ports of its own: those of the options and those after them.

    Raises ValueError for an address after which there are not enough ports, and as :func:`launch`.
    """
    argv, listen = _without(argv, "--listen")
    listen = listen or os.environ.get("REFRAME_LISTEN") or "127.0.0.1:50051"
    argv, health = _without(argv, "--health")
    health = health or os.environ.get("REFRAME_HEALTH") or ""
    addresses = [
        (
            _address("--listen", listen, number),
            _address("--health", health, number) if health else "",
        )
        for number in range(count)
    ]
    both = {address for address, _ in addresses} & {probes for _, probes in addresses}
    both = {address for address in both if not address.endswith(":0")}
    if both:
        raise ValueError(
            f"--listen and --health: {count} processes take the ports from each on, and both would "
            f"have {', '.join(sorted(both))}: give --health a port further away"
        )
    with Children(_program(), _core.Stop()) as children:
        with _signals(children.told.set):
            for address, probes in addresses:
                children.start([*argv, "--listen", address, "--health", probes])
            while not children.told.wait(0.5) and not children.given_up.is_set():
                pass
        return children.end()


@contextlib.contextmanager
def _signals(call: Callable[[], object]) -> Iterator[None]:
    """What Ctrl-C and requests to end do meanwhile, on the main thread; elsewhere nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(kind, lambda *_: call()) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            # None: it was set by others than Python, the gateway for example.
            signal.signal(kind, signal.SIG_DFL if handler is None else handler)


class Children:
    """Processes that are started again when they end, each by a thread."""

    def __init__(self, command: Sequence[str], stop: _core.Stop) -> None:
        self._command = command
        self._stop = stop
        self._ending = threading.Event()
        self._lock = threading.RLock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._threads: list[threading.Thread] = []
        self.given_up = threading.Event()
        self.told = threading.Event()

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self, argv: Sequence[str]) -> None:
        """Keeps a process running that does what the command line says."""
        # The kernel ends a child with the thread that has started it (PR_SET_PDEATHSIG): this one
        # lives until its child is to end.
        thread = threading.Thread(target=self._keep, args=(list(argv),), daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self) -> int:
        """Ends all of them, and waits for that; a further signal ends them at once. Returns the
        exit code: that of a configuration that was wrong, else 0. Again: nothing."""
        if not self._ending.is_set():
            self._ending.set()
            self._all(subprocess.Popen.terminate)
        until = time.monotonic() + PATIENCE
        with _signals(lambda: self._all(subprocess.Popen.kill)):
            for thread in self._threads:
                thread.join(max(0.0, until - time.monotonic()))
            self._all(subprocess.Popen.kill)
            for thread in self._threads:
                thread.join()
        return USAGE if self.given_up.is_set() else 0

    def _all(self, call: Callable[[subprocess.Popen[bytes]], None]) -> None:
        # Re-entrant: a signal's handler may come while its own thread holds it.
        with self._lock:
            for child in self._running:
                call(child)

    def _keep(self, argv: list[str]) -> None:
        pause = FIRST_PAUSE
        while True:
            started = time.monotonic()
            try:
                child = self._spawn(argv)
            except OSError as error:
                # Too little memory, too many processes: that may pass.
                child, how = None, f"could not start: {error}"
            code = None if child is None else child.wait()
            if child is not None:
                how = f"ended with {code}"
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
                f"reframe: a worker process {how}; the next starts in {pause:.1f} s",
                file=sys.stderr,
                flush=True,
            )
            if self._ending.wait(pause):
                return
            pause = min(2 * pause, LONGEST_PAUSE)

    def _spawn(self, argv: list[str]) -> subprocess.Popen[bytes] | None:
        """None once they are to end. Raises OSError."""
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


def _program() -> list[str]:
    """This program's own command line.

    Raises ValueError where there is none that could be run again.
    """
    main = sys.modules["__main__"]
    has_text = hasattr(main, "__file__") or "-c" in sys.orig_argv
    if hasattr(sys, "ps1") or hasattr(builtins, "get_ipython") or not has_text:
        raise ValueError(
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


def _address(option: str, listen: str, number: int) -> str:
    """The address of one of several workers.

    Raises ValueError for a port from which there are not enough.
    """
    path = listen.removeprefix("unix:")
    if path != listen:
        return f"unix:{Path(path).with_suffix('')}-{number}{Path(path).suffix}"
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) + number > 65535:
        raise ValueError(f"{option}: `{listen}` is not an address like 127.0.0.1:50051")
    return f"{host}:{int(port) + number if int(port) else 0}"
