"""The programs in examples/, up to the compiled half: with Gradio if it is asked for, else with our
own components of the same names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from fakes import Frame, Session

from reframe import _core

EXAMPLES = Path(__file__).parents[1] / "examples"
GRADIO = "REFRAME_GRADIO" in os.environ


@pytest.fixture
def example(monkeypatch):
    """The declaration of an example, and a session of it."""
    pytest.importorskip("cv2")
    made, ran, works = [], [], []
    monkeypatch.setattr(_core, "Stream", lambda *given: made.append(given))
    monkeypatch.setattr(_core, "run", lambda streams, argv, stop: ran.append(argv) or 0)

    def run(name):
        file = EXAMPLES / f"{name}.py"
        text = file.read_text()
        if not GRADIO:
            text = text.replace("import gradio as gr", "import reframe as gr")
        exec(compile(text, str(file), "exec"), {"__name__": "__main__", "__file__": str(file)})
        [(declaration, factory, _)] = made
        assert ran[0][0] == "launch"
        declared = json.loads(declaration)
        session = Session(**{each["name"]: each["value"] for each in declared["inputs"]})
        works.append(factory(session))
        assert works[0].start() is None
        return declared, works[0], session

    yield run
    for work in works:
        work.stop()


def test_flip(example):
    declared, work, _ = example("flip")
    frame = Frame(np.arange(72, dtype=np.uint8).reshape(4, 6, 3))
    picture, pixels, _, _ = work.process(frame)
    assert np.array_equal(picture, frame.array[::-1])
    assert (pixels, declared["mode"], declared["skip_frames"]) == ("bgr24", "send-receive", False)


def test_a_function_with_a_slider(example):
    declared, work, session = example("input_output")
    [slider] = declared["inputs"]
    assert slider == {
        "kind": "slider",
        "name": "conf_threshold",
        "label": "Conf threshold",
        "info": "",
        "minimum": 0.0,
        "maximum": 1.0,
        "step": 0.01,
        "value": 0.3,
    }
    soft = np.zeros((64, 64, 3), np.uint8)
    soft[:, 32:] = 30
    soft = Frame(soft)
    assert work.process(soft)[0].any()
    session.set(conf_threshold=1.0)
    assert not work.process(soft)[0].any()


def test_a_generator_until_its_clip_ends(example):
    declared, work, _ = example("server_to_client")
    assert declared["mode"] == "receive"
    items = list(iter(work.next, None))
    # cap.read() returns (False, None) after the last picture.
    assert [item[0] is not None for item in items] == [True] * 300 + [False]
    assert items[0][0].shape == (360, 640, 3)


def test_skipping_frames(example):
    declared, work, _ = example("skip_frames")
    assert declared["skip_frames"] is True
    array = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    assert np.array_equal(work.process(Frame(array))[0], np.flip(array, axis=0))


def test_the_output_frame_rate(example, monkeypatch):
    declared, work, _ = example("output_rate")
    assert declared["fps"] == 60.0
    assert declared["outputs"] == [{"kind": "number", "name": "fps", "label": "FPS"}]
    work.next()
    now = __import__("time").time()
    monkeypatch.setattr("time.time", lambda: now + 2)
    [rate] = json.loads(work.next()[2])
    assert 0 < rate < 2
