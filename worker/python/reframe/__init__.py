"""A function over video frames as a live stream in the browser.

::

    import numpy as np
    from reframe import Stream

    def flip(image):
        return np.flip(image, axis=0)

    stream = Stream(flip)
    stream.ui.launch()

Programs for FastRTC's video run with ``from reframe import …``.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

try:
    from reframe import _core as _core
except ImportError as error:
    raise ImportError(
        f"the package reframe is not whole ({error}). Install it by `pip install reframe-rtc`, or "
        "from a clone by `pip install ./worker/python`; another package is called reframe too, and "
        "reframe-hpc has the same import name: they cannot be in one environment"
    ) from error

from reframe._batched import batched
from reframe._components import (
    JSON,
    Checkbox,
    ColorPicker,
    Dropdown,
    Label,
    LinePlot,
    Number,
    Slider,
    Text,
    Textbox,
)
from reframe._context import Context, get_current_context
from reframe._core import Superseded
from reframe._errors import AdditionalOutputs, CloseStream, Warning, WebRTCError, log
from reframe._handlers import Handler, PixelFormat, VideoStreamHandler
from reframe._processes import adopt as _adopt
from reframe._stream import Stream, UIArgs, run
from reframe._turn import (
    get_cloudflare_turn_credentials,
    get_cloudflare_turn_credentials_async,
    get_hf_turn_credentials,
    get_hf_turn_credentials_async,
    get_turn_credentials,
    get_turn_credentials_async,
    get_twilio_turn_credentials,
)
from reframe._types import VideoEmitType

_adopt()

try:
    __version__ = version("reframe-rtc")
except PackageNotFoundError:  # Imported from its source, not installed.
    __version__ = "0"

__all__ = [
    "JSON",
    "AdditionalOutputs",
    "Checkbox",
    "CloseStream",
    "ColorPicker",
    "Context",
    "Dropdown",
    "Handler",
    "Label",
    "LinePlot",
    "Number",
    "PixelFormat",
    "Slider",
    "Stream",
    "Superseded",
    "Text",
    "Textbox",
    "UIArgs",
    "VideoEmitType",
    "VideoStreamHandler",
    "Warning",
    "WebRTCError",
    "batched",
    "get_cloudflare_turn_credentials",
    "get_cloudflare_turn_credentials_async",
    "get_current_context",
    "get_hf_turn_credentials",
    "get_hf_turn_credentials_async",
    "get_turn_credentials",
    "get_turn_credentials_async",
    "get_twilio_turn_credentials",
    "log",
    "run",
]


def __getattr__(name: str) -> NoReturn:
    """For names of FastRTC that are not here: an ImportError reaches who writes `from reframe
    import …` with its text, an AttributeError does not."""
    from reframe import _unsupported

    reason = _unsupported.reason(name)
    if reason is not None:
        raise ImportError(reason)
    raise AttributeError(f"module 'reframe' has no attribute {name!r}")
