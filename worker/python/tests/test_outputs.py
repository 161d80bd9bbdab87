"""From AdditionalOutputs to what the page is sent."""

from __future__ import annotations

import enum
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from reframe import JSON, Label, LinePlot, Number, Slider, Text, Textbox
from reframe._guard import Guard
from reframe._outputs import Outputs, Shown


def shown(*components, handler=None):
    session = Shown(Outputs(components, handler))

    def update(*args):
        text = session.update(args, Guard("test"))
        return None if text is None else json.loads(text)

    return update


def skip(**value):
    return {"__type__": "update", **value}


@pytest.mark.parametrize(
    ("component", "value", "expected"),
    [
        (Number(), 3, 3),
        (Number(), np.float32(0.5), 0.5),
        (Number(), np.int64(7), 7),
        (Number(), np.array([[2.5]]), 2.5),
        (Number(), True, 1),
        (Number(), np.bool_(False), 0),
        (Number(precision=0), 2.6, 3),
        (Number(precision=2), 2.618, 2.62),
        (Number(), None, 0),
        (Text(), "a", "a"),
        (Text(), 3.5, "3.5"),
        (Textbox(), None, ""),
        (Text(), "\ud800", "?"),
        (Text(), np.str_("a"), "a"),
        (Label(), "cat", "cat"),
        (Label(), {"cat": np.float32(0.25), 7: 1}, {"7": 1, "cat": 0.25}),
        (Label(num_top_classes=1), {"cat": 0.2, "dog": 0.8}, {"dog": 0.8}),
        (Label(), {"label": "a", "confidences": [{"label": "a", "confidence": 1}]}, {"a": 1}),
        (Label(), None, {}),
        (
            JSON(),
            {1: (2, np.array([3, 4])), "x": {None: True}},
            {"1": [2, [3, 4]], "x": {"None": True}},
        ),
        (JSON(), '{"a": 1}', {"a": 1}),
        (JSON(), "a text", "a text"),
        (JSON(), None, None),
        (LinePlot(), np.float64(1.5), 1.5),
        (LinePlot(), [1, 2], [1, 2]),
        (LinePlot(), np.array([[0, 1], [1, 3]]), [[0, 1], [1, 3]]),
        (LinePlot(x="t", y="v"), {"t": [0, 1], "v": [5, 6]}, [[0, 5], [1, 6]]),
        (LinePlot(x="t", y="v"), {"t": ["mon", "tue"], "v": [5, 6]}, [5, 6]),
        (LinePlot(), [], []),
    ],
)
def test_values_take_the_form_of_their_output(component, value, expected):
    assert shown(component)(value) == [expected]


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("component", "value", "says"),
    [
        (Number(label="FPS"), math.nan, "output 'fps': its value is nan"),
        (Number(label="FPS"), np.float32(np.inf), "output 'fps': its value is inf"),
        (Number(), "3", "output 'output_1': str is not a number"),
        (Number(), [1, 2], "list is not a number"),
        (JSON(label="Boxes"), [1, {"a": -math.inf}], "output 'boxes': its value is -inf"),
        (JSON(), {1, 2}, "set has no form in JSON"),
        (JSON(), Colour.RED, "Colour has no form in JSON"),
        (JSON(), b"x", "bytes has no form"),
        (JSON(), 10**400, "too large"),
        (Label(), {"cat": 95}, "the confidence of 'cat' is 95, not from 0 to 1"),
        (LinePlot(), "up", "it takes a number"),
        (LinePlot(), [[1, 2, 3]], "it takes a number"),
        (LinePlot(x="t"), {"y": [1]}, "no column 't'"),
    ],
)
def test_a_value_that_does_not_fit_names_its_output(component, value, says):
    with pytest.raises((TypeError, ValueError)) as error:
        shown(component)(value)
    assert says in str(error.value)


def test_a_value_that_contains_itself():
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="contains itself"):
        shown(JSON())(circle)


def test_each_output_has_a_value():
    update = shown(Number(label="FPS"), Text(label="Word"))
    assert update(1, "a") == [1, "a"]
    with pytest.raises(ValueError, match=r"returned 1 AdditionalOutputs, .* has 2 .*: fps, word"):
        update(1)


def test_the_handler_gets_what_is_shown_and_then_the_new():
    calls = []

    def handler(text, number, *new):
        calls.append((text, number, *new))
        return text + str(new[0]), number

    update = shown(Textbox(), Number(value=5), handler=handler)
    assert update("a", "b") == ["a", 5]
    assert update("c") == ["ac", 5]
    assert calls == [("", 5, "a", "b"), ("a", 5, "c")]


def test_one_output_takes_what_the_handler_returns():
    assert shown(Number(), handler=lambda previous, current: current)(3) == [3]
    assert shown(JSON(), handler=lambda previous, current: [current])(3) == [[3]]


def test_a_handler_that_returns_too_few():
    update = shown(Number(), Number(), handler=lambda *values: 1)
    with pytest.raises(ValueError, match=r"returned 1 value\(s\), but additional_outputs has 2"):
        update(1)


def test_updates_and_skips():
    update = shown(Number(), Text(), handler=lambda *values: values[2:])
    assert update(1, "a") == [1, "a"]
    assert update(skip(), skip(value="b")) == [1, "b"]
    assert update(skip(visible=False), skip()) == [1, "b"]
    component = SimpleNamespace(value=9, _constructor_args=[{"value": 9}])
    assert update(component, SimpleNamespace(value="", _constructor_args=[{}])) == [9, "b"]


def test_what_was_shown_stays_when_a_value_does_not_fit():
    update = shown(Number(), Text(), handler=lambda number, text, *new: (number + new[0], text))
    update = shown(Number(value=1), handler=lambda number, new: number + new)
    assert update(1) == [2]
    with pytest.raises(ValueError, match="nan"):
        update(math.nan)
    assert update(1) == [3]


class Plot:
    """A component that the page cannot show."""

    value = None
    visible = True

    def get_block_name(self):
        return "plot"


def test_what_is_not_shown_keeps_its_place(caplog):
    seen = []

    def handler(*values):
        seen.append(values)
        return values[2:]

    update = shown(Plot(), Number(), handler=handler)
    assert update("figure", 3) == [3]
    assert update("another", 4) == [4]
    assert seen[1] == ("figure", 3, "another", 4)
    assert "additional_outputs[0]: Plot is not shown" in caplog.text
    assert shown(Plot())("figure") is None


def test_values_without_outputs_are_told_once(caplog):
    session, guard = Shown(Outputs((), None)), Guard("cats")
    assert [session.update((1,), guard) for _ in range(3)] == [None] * 3
    assert caplog.text.count("AdditionalOutputs are not shown") == 1


def test_names_and_labels():
    components = [
        Number(label="FPS"),
        Number(label="FPS"),
        Number(),
        Text(label="Größe"),
        Text(label="3D"),
    ]
    assert [(d["name"], d["label"]) for d in Outputs(components, None).declaration()] == [
        ("fps", "FPS"),
        ("fps_2", "FPS"),
        ("output_1", "Output 1"),
        ("groe", "Größe"),
        ("output_2", "3D"),
    ]


@pytest.mark.parametrize("wrong", [3, "text", Number, None])
def test_what_is_no_component(wrong):
    with pytest.raises(TypeError, match=r"additional_outputs\[0\]: .* is not a component"):
        Outputs([wrong], None)


def test_a_slider_shows_nothing(caplog):
    assert Outputs([Slider()], None).declaration() == []
    assert "Slider is not shown" in caplog.text
