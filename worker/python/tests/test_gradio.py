"""Gradio's own components, of whichever version is installed: `REFRAME_GRADIO=1 pytest`."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

from reframe import _handlers
from reframe._guard import Guard
from reframe._inputs import Inputs
from reframe._outputs import Outputs, Shown

if "REFRAME_GRADIO" not in os.environ:
    pytest.skip("REFRAME_GRADIO is not set", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Gradio's own dependencies warn.
    import gradio as gr


def inputs(*components):
    target = _handlers.target(lambda image, a=0, b=0, c=0: image, "send-receive")
    return Inputs(components, "detect", target.parameters)


def declared(component):
    [made] = inputs(component).declaration()
    return made


@pytest.mark.parametrize(
    ("component", "fields"),
    [
        (
            lambda: gr.Slider(minimum=0, maximum=1, step=0.01, value=0.3),
            {
                "kind": "slider",
                "label": "A",
                "minimum": 0.0,
                "maximum": 1.0,
                "step": 0.01,
                "value": 0.3,
            },
        ),
        (lambda: gr.Slider(), {"minimum": 0.0, "maximum": 100.0, "step": 1.0, "value": 0.0}),
        (lambda: gr.Slider(0, 1), {"step": 0.01}),
        (lambda: gr.Slider(1, 9), {"step": 0.01}),
        (lambda: gr.Slider(0, 100, randomize=True), {"kind": "slider"}),
        (lambda: gr.Slider(value=lambda: 7), {"value": 7.0}),
        (
            lambda: gr.Number(label="Every", info="so many frames"),
            {
                "kind": "number",
                "label": "Every",
                "info": "so many frames",
                "step": 1.0,
                "value": None,
            },
        ),
        (
            lambda: gr.Number(3, minimum=1, maximum=9),
            {"minimum": 1.0, "maximum": 9.0, "value": 3.0},
        ),
        (lambda: gr.Checkbox(), {"kind": "checkbox", "value": False}),
        (lambda: gr.Checkbox(value=True), {"value": True}),
        (
            lambda: gr.Textbox(placeholder="name"),
            {"kind": "textbox", "value": "", "lines": 1, "max_length": None, "placeholder": "name"},
        ),
        (
            lambda: gr.TextArea("x", max_length=9),
            {"kind": "textbox", "value": "x", "max_length": 9},
        ),
        (
            lambda: gr.Dropdown(["a", "b"]),
            {"kind": "dropdown", "choices": ["a", "b"], "value": "a"},
        ),
        (lambda: gr.Dropdown([("A", 1), ("B", 2)], value=2), {"choices": ["A", "B"], "value": "B"}),
        (lambda: gr.Radio(["a", "b"]), {"kind": "dropdown", "choices": ["a", "b"], "value": "a"}),
        (lambda: gr.Radio([1, 2], value=2), {"choices": ["1", "2"], "value": "2"}),
        (lambda: gr.ColorPicker(), {"kind": "colorpicker", "value": "#000000"}),
        (lambda: gr.ColorPicker("#ff8000"), {"value": "#ff8000"}),
    ],
)
def test_inputs(component, fields):
    assert declared(component()).items() >= fields.items()


def test_labels_may_be_translated():
    i18n = gr.I18n(en={"size": "Size"})
    assert "size" in declared(gr.Slider(label=i18n("size")))["label"]


def test_arguments():
    made = inputs(gr.Slider(), gr.Dropdown([("A", 1)], type="index"), gr.Number(visible=False))
    assert made.named({"a": 5.0, "b": "A"}) == {"a": 5, "b": 0, "c": None}


@pytest.mark.parametrize(
    "component",
    [
        lambda: gr.Dropdown(["a"], multiselect=True),
        lambda: gr.CheckboxGroup(["a"]),
        lambda: gr.State(1),
        lambda: gr.Image(),
        lambda: gr.Button(),
        lambda: gr.Slider,
    ],
)
def test_what_cannot_be_an_input(component):
    with pytest.raises((TypeError, ValueError), match=r"additional_inputs\[0\] \(a\): "):
        declared(component())


def test_outputs():
    components = [
        gr.Number(label="FPS"),
        gr.Textbox(label="Word"),
        gr.Markdown("# Static"),
        gr.Label(label="Class", num_top_classes=2),
        gr.JSON(label="Boxes"),
        gr.LinePlot(x="t", y="v", label="Curve"),
        gr.Text(label="Other"),
    ]
    assert [(o["kind"], o["name"]) for o in Outputs(components, None).declaration()] == [
        ("number", "fps"),
        ("text", "word"),
        ("text", "output_1"),
        ("label", "class"),
        ("json", "boxes"),
        ("lineplot", "curve"),
        ("text", "other"),
    ]


def test_the_handler_gets_the_components_values():
    seen = []

    def handler(text, markdown, label, *new):
        seen.append((text, markdown, label))
        return gr.skip(), gr.update(value=new[0]), {"cat": np.float32(0.5)}

    components = [gr.Textbox(), gr.Markdown("old"), gr.Label()]
    shown = Shown(Outputs(components, handler))
    assert shown.update(("new",), Guard("test")) == '["","new",{"cat":0.5}]'
    assert seen[0][:2] == ("", "old")
    assert not seen[0][2]


def test_a_component_in_place_of_an_update():
    shown = Shown(Outputs([gr.Number(), gr.Textbox("kept")], None))
    update = (gr.Number(value=3), gr.Textbox(label="renamed"))
    assert shown.update(update, Guard("test")) == '[3,"kept"]'


def test_data_frames_are_curves():
    import pandas

    shown = Shown(Outputs([gr.LinePlot(x="t", y="v")], None))
    table = pandas.DataFrame({"t": [0, 1], "v": [0.5, 1.5]})
    assert shown.update((table,), Guard("test")) == "[[[0,0.5],[1,1.5]]]"
    dates = pandas.DataFrame({"t": pandas.to_datetime(["2026-01-01", "2026-01-02"]), "v": [1, 2]})
    assert shown.update((dates,), Guard("test")) == "[[1,2]]"


def test_what_is_not_shown(caplog):
    plots = [gr.Plot(), gr.HTML("<p>", padding=False), gr.Image(), gr.ScatterPlot()]
    assert Outputs(plots, None).declaration() == []
    assert caplog.text.count("is not shown") == 4


def test_launch_takes_what_gradios_takes():
    import inspect

    from reframe._ui import _IGNORED, UI

    ours = set(inspect.signature(UI.launch).parameters) | _IGNORED
    assert set(inspect.signature(gr.Blocks.launch).parameters) - ours == set()
