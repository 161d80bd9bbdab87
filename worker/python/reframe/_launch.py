"""Runs streams: in the foreground or on a thread, as the program or the ``reframe`` command
says."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from reframe import _address, _core, _ice, _processes
from reframe._address import Address

if TYPE_CHECKING:
    from reframe._stream import Stream

START_SECONDS = 30.0
"""How long the start of a server on a thread is waited for."""

ADMIN_PORT = 9090
"""The default of ``--admin``."""

_threads: list[threading.Thread] = []
_started = threading.Event()
_forked = threading.Event()


def _note_fork() -> None:
    if _started.is_set():
        _forked.set()


# Threads do not survive a fork, and what they held stays locked for ever.
os.register_at_fork(after_in_child=_note_fork)


def has_started() -> bool:
    """Whether this program has run a stream."""
    return _started.is_set()


def wait_for_threads() -> None:
    """Waits for servers that were started with ``prevent_thread_lock``."""
    for thread in _threads:
        try:
            thread.join()
        except KeyboardInterrupt:
            # The server has had the same signal, and ends in its own time; a second one ends it.
            thread.join()


def commanded() -> list[str] | None:
    """The command line of the ``reframe`` command, if that runs this program."""
    given = os.environ.get(_processes.COMMAND)
    return completed([str(argument) for argument in json.loads(given)]) if given else None


def completed(argv: Sequence[str]) -> list[str]:
    """A command line with what a Python program has by default: FastRTC's port, and another port
    for the metrics where a second program would find the usual one taken."""
    argv = list(argv)
    if argv[:1] != ["launch"] or {"-h", "--help"} & set(argv):
        return argv
    if not _is_given(argv, "--http"):
        argv += ["--http", _address.address(None, None).option()]
    if not _is_given(argv, "--admin") and not _address.is_free("127.0.0.1", ADMIN_PORT):
        argv += ["--admin", "127.0.0.1:0"]
    return argv


def run(streams: Sequence[Stream], argv: Sequence[str], stop: _core.Stop | None = None) -> int:
    """Runs the streams until a signal or ``stop`` ends them; returns the exit code.

    Raises RuntimeError in a process that was forked from one that runs streams.
    """
    if _forked.is_set():
        raise RuntimeError(
            "this process was forked from one that runs a stream, whose threads are not here: "
            "start it by multiprocessing.get_context('spawn'), or before the stream"
        )
    _started.set()
    _processes.end_with_parent()
    try:
        argv, processes = _processes.taken(argv)
    except ValueError as problem:
        print(f"error: the configuration is wrong\n  {problem}", file=sys.stderr)
        return _processes.USAGE
    servers = [
        server
        for stream in streams
        if argv[:1] == ["launch"] and not _is_given(argv, "--ice-servers")
        for server in _ice.servers(stream.rtc_configuration)
    ]
    with _ice.option(servers) as option:
        argv += option
        if processes > 1 and argv[:1] == ["launch"]:
            return _processes.launch(argv, processes, stop)
        if processes > 1 and argv[:1] == ["serve"]:
            return _processes.serve(argv, processes)
        return _core.run([stream._core for stream in streams], argv, stop)


def run_on_thread(
    streams: Sequence[Stream], argv: Sequence[str], address: Address, stop: _core.Stop
) -> threading.Thread:
    """Runs them on a thread, which ends with the program; returns it when the page can be opened.

    Raises RuntimeError when it does not come so far.
    """
    codes: list[int] = []
    thread = threading.Thread(
        target=lambda: codes.append(run(streams, argv, stop)), name="reframe", daemon=True
    )
    _threads.append(thread)
    thread.start()
    if _is_reached(address, thread):
        return thread
    if thread.is_alive():
        stop.set()
        raise RuntimeError(
            f"the server does not answer at {address.option()} after {START_SECONDS:.0f} s"
        )
    why = f"with exit code {codes[0]}" if codes else "by an error"
    raise RuntimeError(f"the server has ended {why}: the reason is printed above")


def when_reached(address: Address, call: Callable[[], object]) -> None:
    """Calls it on a thread when the server answers."""

    def wait() -> None:
        if _is_reached(address, None):
            call()

    threading.Thread(target=wait, name="reframe-browser", daemon=True).start()


def _is_reached(address: Address, server: threading.Thread | None) -> bool:
    """Whether it answers in time, and before the server's thread ends."""
    ended = threading.Event()
    for _ in range(int(START_SECONDS / 0.05)):
        if server is not None and not server.is_alive():
            return False
        try:
            socket.create_connection(address.connectable(), 1).close()
        except OSError:
            ended.wait(0.05)
        else:
            return True
    return False


def _is_given(argv: Sequence[str], option: str) -> bool:
    """As a flag, or as its environment variable."""
    variable = "REFRAME_" + option.removeprefix("--").replace("-", "_").upper()
    flag = any(argument == option or argument.startswith(f"{option}=") for argument in argv)
    return flag or bool(os.environ.get(variable))
