"""Stream's own arguments, and what FastRTC has that is not here."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import reframe
from reframe import Checkbox, Slider, Stream, _core, _mount


@pytest.fixture
def declared(monkeypatch):
    """The declaration that the compiled half is given."""
    made = []
    monkeypatch.setattr(
        _core, "Stream", lambda declaration, *_: made.append(json.loads(declaration))
    )

    def declare(handler=lambda image: image, **options):
        Stream(handler, **options)
        return made[-1]

    return declare


def test_the_order_of_the_arguments_is_fastrtcs():
    parameters = list(inspect.signature(Stream.__init__).parameters.values())[1:]
    assert [p.name for p in parameters] == (
        "handler additional_outputs_handler mode modality concurrency_limit time_limit "
        "allow_extra_tracks rtp_params rtc_configuration server_rtc_configuration "
        "track_constraints additional_inputs additional_outputs ui_args verbose name bitrate "
        "start_bitrate movable broadcast"
    ).split()
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[1:])


def test_defaults(declared):
    assert declared() == {
        "name": "default",
        "title": "Reframe",
        "subtitle": "",
        "mode": "send-receive",
        "fps": 30.0,
        "skip_frames": False,
        "keep_rotation": False,
        "pixel_format": "bgr24",
        "serialized": True,
        "call_limit_s": 10.0,
        "concurrency_limit": None,
        "time_limit_s": None,
        "movable": False,
        "broadcast": False,
        "bitrate_kbps": None,
        "start_bitrate_kbps": None,
        "inputs": [],
        "outputs": [],
    }
    assert declared(concurrency_limit=None)["concurrency_limit"] is None
    hidden = declared(ui_args={"title": "Cats", "subtitle": "and dogs", "hide_title": True})
    assert (hidden["title"], hidden["subtitle"]) == ("", "")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"modality": "audio"}, "modality='audio': Reframe is for video"),
        ({"mode": "both"}, "mode='both' is none of send-receive, receive, send"),
        ({"concurrency_limit": 0}, "concurrency_limit=0"),
        ({"concurrency_limit": True}, "concurrency_limit=True"),
        ({"time_limit": 0}, "time_limit=0 is not a number above 0"),
        ({"time_limit": "long"}, "time_limit='long'"),
        ({"bitrate": 300}, "bitrate=300 is not (lowest, highest)"),
        ({"bitrate": (300, None)}, "a bitrate of None"),
        ({"start_bitrate": float("nan")}, "a bitrate of nan"),
        ({"start_bitrate": -1}, "a bitrate of -1"),
        ({"additional_inputs": Slider()}, "additional_inputs is Slider: give a list"),
        ({"additional_outputs": "text"}, "additional_outputs is str: give a list"),
        ({"additional_outputs_handler": 3}, "additional_outputs_handler is int, not a function"),
    ],
)
def test_a_wrong_argument_names_itself(declared, options, says):
    with pytest.raises((TypeError, ValueError)) as error:
        declared(**options)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"fps": 0}, "fps=0 is not a number above 0"),
        ({"fps": "30 fps"}, "fps='30 fps'"),
        ({"pixel_format": "rgb"}, "pixel_format='rgb' is none of bgr24, rgb24, gray8, i420"),
        ({"call_limit": 0}, "call_limit=0 is not a number above 0"),
    ],
)
def test_so_does_a_wrong_setting(declared, settings, says):
    with pytest.raises(ValueError, match="is n") as error:
        declared(reframe.VideoStreamHandler(lambda image: image, **settings))
    assert says in str(error.value)


def test_a_call_has_a_second_at_least():
    handler = reframe.VideoStreamHandler(lambda image: image, call_limit=0.5)
    with pytest.raises(ValueError, match="call_limit must be from a second to a day, not 500ms"):
        Stream(handler)


def test_an_unknown_argument():
    with pytest.raises(TypeError, match="colour"):
        Stream(lambda image: image, colour="red")


@pytest.mark.parametrize(
    ("option", "value", "instead"),
    [
        ("rtp_params", {"degradationPreference": "maintain-resolution"}, "bitrate="),
        ("track_constraints", {"width": 640}, "--max-resolution 640x480"),
        ("server_rtc_configuration", {"iceServers": []}, "--media-port"),
        ("allow_extra_tracks", True, "not taken"),
    ],
)
def test_what_is_ignored_is_warned_of(declared, option, value, instead):
    says = rf"Stream\({option}=…\) is ignored: .*{instead}"
    with pytest.warns(UserWarning, match=says) as warned:
        declared(**{option: value})
    assert warned[0].filename == __file__


def test_the_inputs_are_declared(declared):
    made = declared(lambda image, a, b: image, additional_inputs=[Slider(), Checkbox()])
    assert [(i["kind"], i["name"]) for i in made["inputs"]] == [("slider", "a"), ("checkbox", "b")]


@pytest.fixture
def stream(monkeypatch):
    monkeypatch.setattr(_core, "Stream", lambda *_: None)
    return Stream(lambda image: image)


def test_attributes_that_programs_read(stream):
    assert (stream.mode, stream.modality, stream.time_limit) == ("send-receive", "video", None)
    assert repr(stream) == "Stream(name='default', mode='send-receive')"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("offer", "is the gateway's"),
        ("fastphone", "telephones"),
        ("webrtc_component", "Blocks"),
        ("connections", "get_current_context"),
        ("anything", "no attribute 'anything'"),
    ],
)
def test_attributes_that_are_not_here(stream, name, says):
    with pytest.raises(AttributeError, match=says):
        getattr(stream, name)


def test_the_page_is_not_gradios(stream):
    with pytest.raises(NotImplementedError, match="ui_args"):
        stream.ui = None


def test_only_web_applications_take_a_stream(stream):
    with pytest.raises(TypeError, match="NoneType is no FastAPI or Starlette application"):
        stream.mount(None)


def test_inputs_are_set_by_their_number(stream):
    with pytest.raises(ValueError, match=r"2 values for 0 inputs"):
        stream.set_input("id", 1, 2)


def test_a_mounted_stream_has_a_route_and_its_name_is_taken(stream, monkeypatch):
    fastapi = pytest.importorskip("fastapi")
    monkeypatch.setattr(_mount, "_streams", {})
    app = fastapi.FastAPI()
    stream.mount(app, path="/video/", tags=["video"])
    stream.mount(app, path="/again")
    assert "/video/webrtc/offer" in app.openapi()["paths"]
    with pytest.raises(ValueError, match="two mounted streams are named 'default'"):
        Stream(lambda image: image).mount(app)
    monkeypatch.setattr(_mount, "_gateway", object())
    with pytest.raises(RuntimeError, match="before the first request"):
        stream.mount(app)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ReplyOnPause", "keep FastRTC"),
        ("get_stt_model", "keep FastRTC"),
        ("WebRTC", "stream.ui.launch"),
        ("AsyncStreamHandler", "reframe.Handler"),
        ("wait_for_item", "called with each frame"),
    ],
)
def test_names_that_are_not_here_reach_who_imports_them(name, says):
    with pytest.raises(ImportError, match=says):
        exec(f"from reframe import {name}")
    with pytest.raises(ImportError, match=says):
        getattr(reframe, name)


def test_other_names():
    with pytest.raises(ImportError, match="cannot import name"):
        exec("from reframe import nothing")
    with pytest.raises(AttributeError):
        _ = reframe.nothing
    assert all(hasattr(reframe, name) for name in reframe.__all__)


def python(code, folder):
    """What a new interpreter, in which ``folder`` comes first, says of this code."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    # Else the folder of the tests comes first.
    command = [sys.executable, "-P", "-c", code]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return ran.stdout + ran.stderr


def test_only_numpy_is_imported():
    code = (
        "import sys, reframe\n"
        "print(sorted({'gradio', 'torch', 'PIL', 'cv2', 'starlette'} & set(sys.modules)))"
    )
    assert python(code, Path(reframe.__file__).parents[1]) == "[]\n"


def test_without_the_compiled_half_it_says_what_to_install(tmp_path):
    package = tmp_path / "reframe"
    package.mkdir()
    for file in Path(reframe.__file__).parent.glob("*.py"):
        shutil.copy(file, package)
    assert "Install it by `pip install reframe-rtc`" in python("import reframe", tmp_path)
