"""The programs in the documents run: each block of Python is a program, up to the compiled half."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes import Batcher, Frame, Session

from reframe import _core

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "worker" / "python"
MANUALS = [ROOT / "docs" / "python.md", ROOT / "docs" / "batching.md"]
DOCUMENTS = [ROOT / "README.md", *MANUALS, PACKAGE / "README.md"]
NOT_HERE = {"torch", "mediapipe"}
"""What a block may import that the tests' environment does not have: it is then only compiled."""


def blocks():
    for document in DOCUMENTS:
        text = document.read_text()
        for found in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            # Padded, so that a traceback names the document's own line.
            line = text[: found.start(1)].count("\n")
            name = document.relative_to(ROOT)
            yield pytest.param(name, "\n" * line + found[1], id=f"{name}:{line + 1}")


def imported(block):
    for node in ast.walk(ast.parse(block)):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        yield from (name.partition(".")[0] for name in names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a block's files are."""
    folder = tmp_path_factory.mktemp("docs")
    if importlib.util.find_spec("onnx"):
        make = [sys.executable, PACKAGE / "examples" / "make_detector.py", folder]
        subprocess.run(make, check=True, timeout=60)
    return folder


@pytest.mark.parametrize(("document", "block"), list(blocks()))
def test_a_block_is_a_program(document, block, folder, monkeypatch):
    code = compile(block, document, "exec")
    missing = {name for name in imported(block) if importlib.util.find_spec(name) is None}
    assert missing <= NOT_HERE
    if missing:
        return
    made, ran = [], []
    monkeypatch.setattr(_core, "Stream", lambda *given: made.append(given))
    monkeypatch.setattr(_core, "Batcher", Batcher)
    monkeypatch.setattr(_core, "run", lambda streams, argv, stop: ran.append(argv) or 0)
    monkeypatch.chdir(folder)
    exec(code, {"__name__": "__main__"})
    [(declaration, factory)] = made
    assert ran[0][0] == "launch"
    inputs = json.loads(declaration)["inputs"]
    work = factory(Session(**{each["name"]: each["value"] for each in inputs}))
    assert work.start() is None
    picture = np.random.default_rng(7).integers(0, 256, (90, 160, 3), np.uint8)
    for _ in range(2):
        shown = work.process(Frame(picture.copy()))
        assert not isinstance(shown, str), shown
        assert shown[0].shape[:2] == picture.shape[:2]
    work.stop()


def test_the_blocks_are_found():
    assert len(list(blocks())) >= 6
