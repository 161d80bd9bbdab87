"""From components to a stream's inputs, with stand-ins that have the attributes of Gradio's."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import pytest

from reframe import (
    Checkbox,
    ColorPicker,
    Dropdown,
    Handler,
    Number,
    Slider,
    Textbox,
    _handlers,
    _names,
)
from reframe._inputs import Inputs, Values


def inputs(function, *components, mode="send-receive"):
    target = _handlers.target(function, mode)
    return Inputs(components, target.name, target.parameters)


def declared(*components, function=None):
    """With a parameter for each: a, b, c."""
    return inputs(function or (lambda image, a=0, b=0, c=0: image), *components).declaration()


def argument(component, value):
    made = inputs(lambda image, a: image, component)
    return made.named({"a": value})["a"]


def fake(kind, **attributes):
    """A component of Gradio's: its class's name is the kind's."""
    common = {"label": None, "info": None, "value": None, "visible": True, "interactive": None}
    return type(kind, (SimpleNamespace,), {})(**(common | attributes))


class Translated:
    def __str__(self):
        return "Größe"


def test_every_kind_is_declared():
    slider = {"minimum": 0.0, "maximum": 1.0, "step": 0.01, "value": 0.3}
    number = {"minimum": None, "maximum": 9.0, "step": 1.0, "value": None}
    assert declared(Slider(0, 1, value=0.3, label="Confidence", info="How sure")) == [
        {"kind": "slider", "name": "a", "label": "Confidence", "info": "How sure", **slider}
    ]
    assert declared(Number(maximum=9)) == [
        {"kind": "number", "name": "a", "label": "A", "info": "", **number}
    ]
    assert declared(Checkbox(True)) == [
        {"kind": "checkbox", "name": "a", "label": "A", "info": "", "value": True}
    ]
    text = {"value": "x", "max_length": 4096, "lines": 2, "placeholder": "name"}
    assert declared(Textbox("x", max_length=9999, lines=2, placeholder="name")) == [
        {"kind": "textbox", "name": "a", "label": "A", "info": "", **text}
    ]
    empty = {"value": "", "max_length": None, "lines": 1, "placeholder": None}
    assert declared(Textbox())[0].items() >= empty.items()
    choices = {"choices": ["edges", "blur"], "value": "blur"}
    assert declared(Dropdown(["edges", "blur"], value="blur"))[0].items() >= choices.items()
    assert declared(ColorPicker("#ff8000"))[0].items() >= {"value": "#ff8000"}.items()
    assert declared(ColorPicker())[0]["value"] == "#000000"
    assert declared(ColorPicker("#F80"))[0]["value"] == "#FF8800"


@pytest.mark.parametrize(
    ("component", "given", "expected"),
    [
        (Slider(0, 100), 5.0, 5),
        (Slider(1, 9, value=3, step=2), 5.0, 5),
        (Slider(1, 9, value=3, step=2), 2.5, 2.5),
        (Slider(0, 1), 1.0, 1.0),
        (Slider(0.5, 9.5, value=1, step=1), 2.0, 2.0),
        (Slider(0, 1, precision=0), 1.0, 1),
        (Slider(0, 9, precision=0), 2.6, 3),
        (Slider(0, 9, precision=1), 2.66, 2.7),
        (Number(), 5.0, 5),
        (Number(), 0.5, 0.5),
        (Number(0.5), 5.0, 5.0),
        (Number(precision=0), 4.6, 5),
        (Checkbox(), True, True),
        (Textbox(), "x", "x"),
        (Dropdown([("small", 3), ("large", 9)]), "large", 9),
        (Dropdown(["a", "b"], type="index"), "b", 1),
        (Dropdown([("none", None), ("some", 1)]), "none", None),
        (ColorPicker(), "#ff8000", "#ff8000"),
    ],
)
def test_arguments_have_the_type_that_they_have_with_gradio(component, given, expected):
    value = argument(component, given)
    assert (value, type(value)) == (expected, type(expected))


def test_names_are_those_of_the_parameters():
    def detect(image, conf_threshold, _hidden, größe, webrtc_id, *rest):
        return image

    components = [Slider(label="X")] + [Slider()] * 2 + [Slider(label="The id"), Slider(label="Z")]
    named = [(d["name"], d["label"]) for d in declared(*components, Slider(), function=detect)]
    assert named == [
        ("conf_threshold", "X"),
        ("input_1", "Hidden"),
        ("input_2", "Größe"),
        ("the_id", "The id"),
        ("z", "Z"),
        ("input_3", "Input 3"),
    ]


def test_functions_that_do_not_tell_their_parameters():
    assert [d["name"] for d in declared(Slider(label="Low"), Slider(), function=max)] == [
        "low",
        "input_1",
    ]


def test_labels_may_be_objects_and_values_functions():
    made = declared(
        fake("Slider", label=Translated(), minimum=0, maximum=9, step=1, value=lambda: 4)
    )
    assert (made[0]["name"], made[0]["label"], made[0]["value"]) == ("a", "Größe", 4.0)
    assert Slider(value=lambda: 4).value == 4


def test_gradios_names_of_other_classes():
    area = type("TextArea", (Textbox,), {})("x")
    assert declared(area)[0]["kind"] == "textbox"
    radio = fake("Radio", choices=[("a", 1), ("b", 2)], type="value")
    assert declared(radio)[0].items() >= {"kind": "dropdown", "value": "a"}.items()
    named = type("Mine", (SimpleNamespace,), {"get_block_name": lambda self: "checkbox"})
    assert declared(named(value=True, label=None, visible=True))[0]["kind"] == "checkbox"


@pytest.mark.parametrize(
    "hidden",
    [
        {"visible": False},
        {"visible": "hidden"},
        {"interactive": False},
    ],
)
def test_what_nobody_can_set_keeps_its_value(hidden):
    fixed = fake("Slider", minimum=0, maximum=9, step=1, value=4, **hidden)
    made = inputs(lambda image, a, b: image, fixed, Slider(0, 1))
    assert [d["name"] for d in made.declaration()] == ["b"]
    assert made.named({"b": 0.5}) == {"a": 4, "b": 0.5}


@pytest.mark.parametrize(
    ("component", "says"),
    [
        (fake("State"), "State cannot be an input. Those are Slider"),
        (fake("Image"), "Image cannot be an input"),
        (fake("CheckboxGroup", choices=["a"]), "CheckboxGroup cannot be an input"),
        (fake("Dropdown", choices=["a"], multiselect=True), "use a Checkbox for each choice"),
        (Slider, "is not a component like Slider(0, 1)"),
        (0.5, "0.5 is not a component like Slider(0, 1); a value that never changes is a default"),
        (None, "None is not a component"),
        (Dropdown([]), "it has no choices"),
        (Dropdown(["a", "a"]), "the choice 'a' is there twice"),
        (Dropdown(["a"], value="b"), "its value 'b' is none of its choices"),
        (Slider(0, float("inf")), "its maximum inf is not a number"),
        (Slider(0, 1, value="high"), "its value 'high' is not a number"),
        (Number(float("nan")), "its value nan is not a number"),
        (ColorPicker("red"), "its value 'red' is not a colour like #ff8000"),
    ],
)
def test_what_cannot_be_an_input_names_its_parameter(component, says):
    with pytest.raises((TypeError, ValueError)) as error:
        declared(component)
    assert str(error.value).startswith("additional_inputs[0] (a): ")
    assert says in str(error.value)


def test_there_is_a_parameter_for_each_component():
    def detect(image, conf, size=3):
        return image

    assert len(inputs(detect, Slider()).declaration()) == 1
    with pytest.raises(ValueError, match=r"has 3 components, but detect takes 2 .*\(conf, size\)"):
        inputs(detect, Slider(), Slider(), Slider())
    with pytest.raises(ValueError, match=r"has 0 components, .*its parameter 'conf' gets no value"):
        inputs(detect)


def test_a_password_is_warned_of(caplog):
    declared(fake("Textbox", type="password"))
    assert "a password is shown as it is typed" in caplog.text


def test_every_form_of_a_function():
    class Detector:
        def __call__(self, image, conf=0):
            return image

        def method(self, image, conf=0):
            return image

        @staticmethod
        def static(image, conf=0):
            return image

    class State(Handler):
        def process(self, image, conf=0):
            return image

    def fixed(model, image, conf=0):
        return image

    def wrapper(*args, **kwargs):
        return fixed(None, *args, **kwargs)

    forms = [
        Detector(),
        Detector().method,
        Detector.static,
        functools.partial(fixed, None),
        functools.wraps(functools.partial(fixed, None))(wrapper),
        State,
        functools.partial(State),
    ]
    for function in forms:
        assert [d["name"] for d in inputs(function, Slider()).declaration()] == ["conf"], function


def test_generators_have_no_frame():
    def generation(speed):
        yield speed

    class State(Handler):
        def process(self, speed):
            yield speed

    for function in (generation, State):
        assert [d["name"] for d in inputs(function, Slider(), mode="receive").declaration()] == [
            "speed"
        ]
        with pytest.raises(
            ValueError, match="is a generator, which is given no frames: use Stream"
        ):
            inputs(function, mode="send-receive")


async def _agen():
    yield 1


class _Calls:
    def __call__(self, image):
        yield image


@pytest.mark.parametrize(
    "function", [_agen, _Calls(), _Calls().__call__, functools.partial(_Calls().__call__, 1)]
)
def test_generators_of_every_form_are_known(function):
    with pytest.raises(ValueError, match="is a generator"):
        _handlers.target(function, "send")


class _Plain:
    pass


class _Empty(Handler):
    pass


class _Full(Handler):
    def process(self, image):
        return image


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (3, "the handler is int, not a function"),
        (_Plain, "the class _Plain is called with each frame: give an object, _Plain()"),
        (_Full(), "give the class, not an instance: Stream(_Full, …)"),
        (_Empty, "_Empty has no process(self, image)"),
        (lambda: 1, "takes no argument, but is called with each frame"),
        (_handlers.VideoStreamHandler(_handlers.VideoStreamHandler(max)), "give it the function"),
        (lambda image, *, key: image, "its parameter 'key' is keyword-only"),
    ],
)
def test_what_is_no_handler(handler, says):
    with pytest.raises(TypeError) as error:
        _handlers.target(handler, "send-receive")
    assert says in str(error.value)


def test_values_are_read_only():
    session = SimpleNamespace(inputs=lambda: {"a": 0.5})
    values = Values(inputs(lambda image, a: image, Slider(0, 1)), session)
    with pytest.raises(TypeError):
        values.named()["a"] = 1


def test_names():
    assert _names.slug("Conf. threshold (%)") == "conf_threshold"
    assert _names.choose("", "x" * 80, "input", ["x" * 64]) == "x" * 61 + "_2"
    for text in ("", "_a", "1a", "a-b", "ä", "a" * 65, "webrtc_id", "session_token", "a\n"):
        assert not _names.is_name(text)
    assert _names.is_name("A_1")
