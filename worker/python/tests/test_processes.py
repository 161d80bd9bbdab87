"""Several processes of one program: what the command line says of them, and what ends them."""

from __future__ import annotations

import builtins
import functools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from reframe import Stream, _core, _processes

FLIP = Path(__file__).parents[1] / "examples" / "flip.py"
compiled = pytest.mark.skipif(not hasattr(_core, "__file__"), reason="only with the compiled half")


@pytest.fixture
def started():
    """Starts the command `reframe`, or a program's text; what still runs afterwards is killed, and
    its children with it."""
    programs = []

    def start(*arguments, text=None):
        command = ["-m", "reframe", *arguments] if text is None else ["-c", text]
        # -P: the sources in the working folder are not the whole package.
        command = [sys.executable, "-P", *command]
        program = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.kill()
        program.communicate()


@pytest.mark.parametrize(
    ("argv", "rest", "count"),
    [
        (["launch"], ["launch"], 1),
        (["launch", "--processes", "3", "--http", "x"], ["launch", "--http", "x"], 3),
        (["serve", "--processes=2"], ["serve"], 2),
    ],
)
def test_the_option(argv, rest, count, monkeypatch):
    assert _processes.taken(argv) == (rest, count)
    # A child is one process, whatever its parent was told.
    monkeypatch.setattr(_processes, "_parent", os.getpid())
    assert _processes.taken(argv) == (rest, 1)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "", "257"])
def test_a_wrong_number_of_processes(value):
    with pytest.raises(ValueError, match="is not a number from 1 to 256"):
        _processes.taken(["launch", f"--processes={value}"])


def test_each_worker_has_an_address_of_its_own():
    address = functools.partial(_processes._address, "--listen")
    assert [address("127.0.0.1:50051", k) for k in range(2)] == [
        "127.0.0.1:50051",
        "127.0.0.1:50052",
    ]
    assert address("127.0.0.1:0", 3) == "127.0.0.1:0"
    assert address("unix:/run/a.sock", 1) == "unix:/run/a-1.sock"
    for wrong in ("50051", "127.0.0.1:many", "127.0.0.1:65535"):
        with pytest.raises(ValueError, match="is not an address"):
            address(wrong, 1)


@pytest.mark.parametrize("where", ["notebook", "prompt"])
def test_a_notebook_has_no_program_to_run_again(monkeypatch, where):
    if where == "notebook":
        monkeypatch.setattr(builtins, "get_ipython", lambda: None, raising=False)
    else:
        monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(ValueError, match="leave processes=1"):
        _processes._program()


@compiled
def test_a_wrong_address_is_one_message_and_no_process(started):
    program = started("serve", str(FLIP), "--listen", "foo", "--processes", "2")
    output, _ = program.communicate(timeout=60)
    assert program.returncode == 64, output
    assert "--listen: `foo` is not an address" in output
    assert "Traceback" not in output


@compiled
def test_ports_of_workers_and_of_probes_do_not_meet(started):
    program = started("serve", str(FLIP), "--listen", "127.0.0.1:50051",
                      "--health", "127.0.0.1:50052", "--processes", "2")  # fmt: skip
    output, _ = program.communicate(timeout=60)
    assert program.returncode == 64, output
    assert "both would have 127.0.0.1:50052" in output


@compiled
def test_a_wrong_option_of_the_children_ends_all(started):
    program = started("serve", str(FLIP), "--listen", "127.0.0.1:0", "--capacity", "0",
                      "--processes", "2")  # fmt: skip
    output, _ = program.communicate(timeout=60)
    assert program.returncode == 64, output
    assert "--capacity: `0` is not a number" in output


@compiled
def test_check_runs_the_function_on_frames_and_fails_where_it_does(started, tmp_path):
    program = started("check", str(FLIP), "--frames", "5", "--size", "64x48")
    output, _ = program.communicate(timeout=60)
    assert program.returncode == 0, output
    assert re.search(r"^default: declaration [0-9a-f]{64}$", output, re.MULTILINE), output
    assert "5 frames of 64x48, 5 pictures" in output
    app = tmp_path / "app.py"
    app.write_text(
        "from reframe import Stream\n"
        "def detect(image):\n"
        "    raise RuntimeError('no weights')\n"
        "stream = Stream(detect)\n"
    )
    program = started("check", str(app))
    output, _ = program.communicate(timeout=60)
    assert program.returncode == 1, output
    assert "error: the check failed: " in output
    assert "no weights" in output


@compiled
def test_a_child_that_ignores_signals_ends_with_the_second(started):
    text = (
        "import os, signal, time\n"
        "import reframe\n"
        "from reframe import Stream, _processes\n"
        "stream = Stream(lambda image: image)\n"
        "if _processes.is_child():\n"
        "    for kind in (signal.SIGTERM, signal.SIGINT):\n"
        "        signal.signal(kind, signal.SIG_IGN)\n"
        "    os.write(1, b'ready\\n')\n"
        "    time.sleep(600)\n"
        "raise SystemExit(reframe.run(stream, argv=['serve', '--listen', '127.0.0.1:0',\n"
        "                             '--processes', '2']))\n"
    )
    program = started(text=text)
    for _ in range(2):
        assert program.stdout.readline() == "ready\n"
    until = time.monotonic() + 30
    while program.poll() is None and time.monotonic() < until:
        program.send_signal(signal.SIGINT)
        time.sleep(0.5)
    output, _ = program.communicate(timeout=30)
    assert program.returncode == 0, output
    assert "Traceback" not in output


@compiled
def test_a_port_that_another_program_has_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as other:
        stream = Stream(lambda image: np.flip(image, 0))
        with pytest.raises(RuntimeError, match="another program listens at"):
            stream.ui.launch(server_port=other.getsockname()[1], prevent_thread_lock=True)
