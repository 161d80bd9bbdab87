"""A stream in a notebook: a real kernel, the real gateway, and a page that answers."""

from __future__ import annotations

import ast
import urllib.request
from urllib.error import URLError

import pytest

from reframe import _core

jupyter_client = pytest.importorskip("jupyter_client")

pytestmark = pytest.mark.skipif(not hasattr(_core, "__file__"), reason="no compiled half is here")

PATIENCE = 120
"""Seconds for a step that takes one when the machine is idle."""

STREAM = """
import numpy as np
from reframe import Stream
stream = Stream(lambda image: np.flip(image, axis=0), ui_args={"title": "Of a notebook"})
"""


class Notebook:
    """Cells that are run one after the other."""

    def __init__(self, manager, client):
        self.manager, self.client = manager, client

    def run(self, cell, value="None"):
        """Runs a cell; returns what the expression is afterwards."""
        reply = self.client.execute(
            cell, user_expressions={"value": value}, reply=True, timeout=PATIENCE
        )["content"]
        assert reply["status"] == "ok", reply
        assert reply["user_expressions"]["value"]["status"] == "ok", reply
        return ast.literal_eval(reply["user_expressions"]["value"]["data"]["text/plain"])

    def wait_printed(self, cell):
        """Waits until the cell has printed something."""
        while True:
            told = self.client.get_iopub_msg(timeout=PATIENCE)
            if (told["parent_header"].get("msg_id"), told["msg_type"]) == (cell, "stream"):
                return

    def end(self):
        """Asks the kernel to end; returns its exit code."""
        self.client.shutdown()
        return self.manager.provisioner.process.wait(PATIENCE)


@pytest.fixture
def notebook(monkeypatch, tmp_path):
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("REFRAME_MEDIA", "127.0.0.1")
    manager = jupyter_client.KernelManager()
    manager.start_kernel()
    client = manager.blocking_client()
    try:
        client.start_channels()
        client.wait_for_ready(PATIENCE)
        yield Notebook(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        manager.context.term()


def page(url):
    """None: nobody listens there."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=PATIENCE) as answer:
            return answer.read().decode()
    except URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            return None
        raise


@pytest.mark.timeout(8 * PATIENCE)
def test_a_stream_of_a_notebook(notebook):
    notebook.run(STREAM)
    launch = "_, url, _ = stream.ui.launch(prevent_thread_lock=True, server_port=0)"
    url = notebook.run(launch, "url")
    assert "<title>" in page(url)
    # The page and further cells are served at the same time.
    assert notebook.run("total = sum(range(10))", "total") == 45
    assert page(url) is not None
    # A cell that is run again takes the place of the one before.
    before, url = url, notebook.run(launch, "url")
    assert page(before) is None
    # Interrupting a cell is not meant for the stream.
    interrupted = notebook.client.execute("print('begun')\nwhile True: pass")
    notebook.wait_printed(interrupted)
    notebook.manager.interrupt_kernel()
    reply = notebook.client.get_shell_msg(timeout=PATIENCE)["content"]
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    assert page(url) is not None
    notebook.run("stream.ui.close()")
    assert page(url) is None
    url = notebook.run(STREAM + launch, "url")
    # Nobody has closed it: the kernel ends with it none the less.
    assert notebook.end() == 0
    assert page(url) is None
