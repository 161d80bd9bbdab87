"""The programs in examples/, up to the compiled half: with Gradio if it is asked for, else with our
own components of the same names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
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

    def run(name, folder=EXAMPLES):
        file = folder / f"{name}.py"
        text = file.read_text()
        if not GRADIO:
            text = text.replace("import gradio as gr", "import reframe as gr")
        run.names = {"__name__": "__main__", "__file__": str(file)}
        exec(compile(text, str(file), "exec"), run.names)
        [(declaration, factory)] = made
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


@pytest.fixture
def detector(example, tmp_path):
    """`detect_objects.py`, beside a model that has just been made."""
    pytest.importorskip("onnxruntime")
    shutil.copy(EXAMPLES / "detect_objects.py", tmp_path)
    with pytest.raises(SystemExit, match=r"run make_detector\.py first"):
        example("detect_objects", tmp_path)
    for folder in (tmp_path, again := tmp_path / "again"):
        folder.mkdir(exist_ok=True)
        make = [sys.executable, EXAMPLES / "make_detector.py", folder]
        subprocess.run(make, check=True, timeout=60)
    made, made_again = ((each / "detector.onnx").read_bytes() for each in (tmp_path, again))
    # The Rust demo has the same model.
    assert made == made_again == (EXAMPLES.parents[1] / "assets/detector.onnx").read_bytes()
    return (*example("detect_objects", tmp_path), example.names["find"])


SQUARES = [
    ("red", (100, 60, 220, 180), (30, 20, 230)),
    ("red", (420, 200, 500, 320), (0, 0, 200)),
    ("green", (300, 40, 380, 100), (40, 220, 30)),
    ("blue", (240, 220, 360, 340), (240, 60, 50)),
]


def pictured(squares, width=640, height=360):
    """On a grey that gets brighter to the right, with noise as a camera has it."""
    noise = np.random.default_rng(7).integers(-8, 9, (height, width, 3))
    picture = np.linspace(40, 210, width)[None, :, None] + noise
    for _, (left, top, right, bottom), colour in squares:
        picture[top:bottom, left:right] = colour
    return picture.clip(0, 255).astype(np.uint8)


def overlap(a, b):
    """What two boxes have in common, as a share of what they have together."""
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    common = max(0, width) * max(0, height)
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (a, b)]
    return common / (sum(areas) - common)


def test_a_detector_finds_each_thing_once(detector):
    *_, find = detector
    picture = pictured(SQUARES)
    [found] = find([picture], 0.5)
    assert sorted(name for name, *_ in found) == ["blue", "green", "red", "red"]
    for name, box, _ in SQUARES:
        [[score, shown]] = [
            each[1:] for each in found if each[0] == name and overlap(each[2], box) > 0
        ]
        assert overlap(shown, box) > 0.85
        assert 0.9 < score <= 1
    assert find([pictured([])], 0.05) == [[]]


def test_a_batch_of_pictures_is_each_of_them(detector):
    *_, find = detector
    # Also of other sizes: what the model gets is resized.
    pictures = [pictured(SQUARES), pictured([]), pictured(SQUARES[:1], 1280, 720)]
    together = find(pictures, 0.5)
    assert [len(found) for found in together] == [4, 0, 1]
    for found, picture in zip(together, pictures, strict=True):
        [alone] = find([picture], 0.5)
        assert [(name, box) for name, _, box in alone] == [(name, box) for name, _, box in found]
        assert [each[1] for each in alone] == pytest.approx([each[1] for each in found])


def test_a_detector_draws_and_counts(detector):
    declared, work, session, _ = detector
    assert declared["skip_frames"] is True
    assert [output["kind"] for output in declared["outputs"]] == ["number", "json"]
    picture = pictured(SQUARES)
    shown, _, outputs, _ = work.process(Frame(picture.copy()))
    assert json.loads(outputs) == [4, {"red": 2, "green": 1, "blue": 1}]
    changed = (shown != picture).any(axis=2)
    left, top, right, bottom = SQUARES[0][1]
    assert changed[top - 12 : bottom + 12, left - 12 : right + 12].any()
    assert not changed[top + 12 : bottom - 12, left + 12 : right - 12].any()
    # A pale red is found when little confidence is asked for.
    pale = pictured([("red", (200, 100, 400, 300), (110, 110, 200))])
    for confidence, count in ((0.9, 0), (0.3, 1)):
        session.set(confidence=confidence)
        assert json.loads(work.process(Frame(pale.copy()))[2])[0] == count


def detail(picture):
    """How much neighbouring pixels differ."""
    return float(np.abs(np.diff(picture.astype(np.int16), axis=1)).mean())


def test_what_moves_stays_sharp_before_a_blurred_background(example):
    declared, work, session = example("blur_background")
    [slider] = declared["inputs"]
    assert (slider["name"], slider["value"], declared["skip_frames"]) == ("strength", 8, True)
    # Textures that are still seen in the smaller picture that the mask is made of.
    random = np.random.default_rng(7)
    coarse = random.integers(0, 90, (45, 80, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    square = random.integers(170, 256, (15, 15, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    for _ in range(30):
        shown, *_ = work.process(Frame(coarse.copy()))
    assert detail(shown) < 0.1 * detail(coarse)
    session.set(strength=1.0)
    assert detail(shown) < detail(work.process(Frame(coarse.copy()))[0])
    session.set(strength=8.0)
    for left in range(40, 400, 24):
        frame = coarse.copy()
        frame[100:220, left : left + 120] = square
        shown, *_ = work.process(Frame(frame.copy()))
        # Its edge may belong to either side.
        inside = slice(116, 204), slice(left + 16, left + 104)
        assert np.array_equal(shown[inside], frame[inside])
        outside = shown[:, left + 160 :]
        assert detail(outside) < 0.2 * detail(coarse)
