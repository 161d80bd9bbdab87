"""The author's function, in all the forms that it may have."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from reframe import _signatures, _texts

PixelFormat = Literal["bgr24", "rgb24", "gray8", "i420"]


@dataclass
class VideoStreamHandler:
    """A function over frames, or a generator, with its settings.

    ``fps`` is the frame rate that the browser is shown, from 1 to 240. With ``skip_frames`` a slow
    function gets the newest frame, and those that came while it worked are dropped.

    ``pixel_format`` is what the function gets and returns: arrays of uint8 with the shape (height,
    width, 3) for bgr24, as OpenCV and FastRTC have them, and rgb24; (height, width) for gray8;
    (height * 3 / 2, width) for i420.

    Calls of one stream are made one after the other, whatever the number of sessions, because
    models are seldom safe to be used by two threads. ``parallel=True`` is for functions that are.

    ``as_sent`` gives frames of a phone as its sensor saw them, not turned upright.

    A call that takes longer than ``call_limit`` seconds is reported: the log has its stack. Unless
    ``parallel``, all sessions wait for it, so the process takes no more of them; one of several
    (``--processes``, ``reframe serve``) then ends and is started again, and its sessions go on in
    another. ``start_up``, in which models are loaded, may take sixty times as long, and the first
    frame of a session six times. None: a call may take for ever.
    """

    callable: Callable[..., Any]
    fps: float = 30
    skip_frames: bool = False
    _: KW_ONLY
    pixel_format: PixelFormat = "bgr24"
    parallel: bool = False
    as_sent: bool = False
    call_limit: float | None = 10.0


class Handler:
    """State for each session: give the subclass itself to Stream, and each session gets its own.

    ::

        class Difference(Handler):
            def start_up(self):
                self.before = None

            def process(self, image, gain):
                before, self.before = self.before, image
                return image if before is None else cv2.absdiff(image, before) * gain

        Stream(Difference, additional_inputs=[Slider(1, 10, value=2)])

    All calls, that of the class included, are on the session's own thread. An exception in
    ``start_up`` ends the session before its first frame, and ``shutdown`` is then not called. In
    mode ``receive`` ``process`` is a generator and gets no frame. Each may be ``async def``.
    """

    process: Callable[..., Any]
    """Turns a frame, and the values of the inputs, into what is shown. To be defined."""

    def start_up(self) -> Any:
        """Called before the first frame."""

    def shutdown(self) -> Any:
        """Called after the last frame."""


@dataclass(frozen=True)
class Calls:
    """What one session calls."""

    process: Callable[..., Any]
    start_up: Callable[[], Any] | None = None
    shutdown: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Target:
    """A function, and how a session gets it."""

    name: str
    new: Callable[[], Calls]
    parameters: _signatures.Parameters
    settings: VideoStreamHandler


def target(handler: Any, mode: str) -> Target:
    """Finds out what the author gave.

    Raises TypeError or ValueError, whose message says what to give.
    """
    settings = handler if isinstance(handler, VideoStreamHandler) else VideoStreamHandler(handler)
    function = settings.callable
    frames = mode != "receive"
    name = _signatures.name_of(function)
    made = function.func if isinstance(function, functools.partial) else function
    if isinstance(made, type) and issubclass(made, Handler):
        process = getattr(made, "process", None)
        if process is None:
            raise TypeError(f"{name} has no process(self, image): it is called with each frame")
        called, given, new = process, 1 + frames, functools.partial(_session, function)
    else:
        _check(function, name)
        called, given, new = function, int(frames), functools.partial(Calls, function)
    if frames and _signatures.is_generator_function(called):
        raise ValueError(
            f"{name} is a generator, which is given no frames: use Stream(…, mode='receive'), or "
            "return pictures instead of yielding them"
        )
    parameters = _signatures.parameters(called, name, given, frames)
    return Target(name, new, parameters, settings)


def _session(handler: Callable[[], Handler]) -> Calls:
    made = handler()
    return Calls(made.process, made.start_up, made.shutdown)


def _check(function: Any, name: str) -> None:
    if isinstance(function, Handler):
        raise TypeError(
            f"give the class, not an instance: Stream({name}, …). Each session makes its own; for "
            f"arguments of its own: functools.partial({name}, model)"
        )
    if isinstance(function, type):
        raise TypeError(
            f"the class {name} is called with each frame: give an object, {name}(), whose __call__ "
            "takes frames, or derive the class from reframe.Handler"
        )
    if isinstance(function, VideoStreamHandler):
        raise TypeError("a VideoStreamHandler within a VideoStreamHandler: give it the function")
    if not callable(function):
        raise TypeError(
            f"the handler is {_texts.type_name(function)}, not a function: Stream(detect, …) "
            "without parentheses after the function's name"
        )
