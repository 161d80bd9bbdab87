"""``Stream``: a function over frames, what stands beside its video, and its limits."""

from __future__ import annotations

import functools
import json
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Literal, NoReturn, TypedDict

from reframe import _core, _declaration, _handlers, _launch, _mount, _texts, _unsupported
from reframe._errors import AdditionalOutputs, WebRTCError
from reframe._guard import Guard
from reframe._inputs import Inputs
from reframe._outputs import Outputs
from reframe._ui import UI
from reframe._work import Plan, Work


class UIArgs(TypedDict, total=False):
    """What the page looks like. FastRTC's other settings are taken, and mean nothing here."""

    title: str
    subtitle: str
    hide_title: bool
    full_screen: bool
    icon: str
    icon_button_color: str
    pulse_color: str
    icon_radius: int
    send_input_on: Literal["submit", "change"]


class Stream:
    """A function over frames as a live stream in the browser."""

    def __init__(
        self,
        handler: Any,
        *,
        additional_outputs_handler: Callable[..., Any] | None = None,
        mode: Literal["send-receive", "receive", "send"] = "send-receive",
        modality: Literal["video"] = "video",
        concurrency_limit: int | Literal["default"] | None = "default",
        time_limit: float | None = None,
        allow_extra_tracks: bool = False,
        rtp_params: dict[str, Any] | None = None,
        rtc_configuration: Any = None,
        server_rtc_configuration: dict[str, Any] | None = None,
        track_constraints: dict[str, Any] | None = None,
        additional_inputs: Sequence[Any] | None = None,
        additional_outputs: Sequence[Any] | None = None,
        ui_args: UIArgs | dict[str, Any] | None = None,
        verbose: bool = True,
        name: str = "default",
        bitrate: tuple[int, int] | None = None,
        start_bitrate: int | None = None,
        movable: bool = False,
        broadcast: bool = False,
    ) -> None:
        """Declares it; ``ui.launch()`` runs it.

        ``handler`` is a function of a frame and the inputs' values, or a ``VideoStreamHandler``
        around one, or a subclass of ``Handler``. A frame is an array of uint8 with the shape
        (height, width, 3), in BGR as OpenCV and FastRTC have it; the function may change it. It
        returns an array, or a tuple of it and ``AdditionalOutputs`` or ``CloseStream``. In mode
        ``receive`` it is a generator of the inputs' values that yields pictures; in mode ``send``
        only outputs come back.

        ``additional_inputs`` and ``additional_outputs`` are components, of Gradio or of this
        package. ``additional_outputs_handler`` gets what is shown, then the new values, and returns
        what to show; without it that is the new values.

        ``concurrency_limit`` is how many sessions there may be at once, by default as many as the
        workers take. ``time_limit`` is how long one may last, in seconds. ``name`` is a part of the
        stream's address: a-z, 0-9, - and _. With ``movable`` a session that runs may be moved to a
        worker in its gateway's zone, where a new handler starts: for functions that remember
        nothing of earlier frames. With ``broadcast``, for a generator without inputs, everybody
        watches one and the same session. ``bitrate`` is (lowest, highest) in kbit/s, 100 to 20000,
        and ``start_bitrate`` what it begins with.

        ``rtc_configuration`` names STUN and TURN servers for browsers. ``rtp_params``,
        ``track_constraints``, ``server_rtc_configuration`` and ``allow_extra_tracks`` are FastRTC's
        and ignored, with a warning.

        Raises TypeError or ValueError when something of it cannot be, with what to change.
        """
        self.event_handler = handler
        self.additional_outputs_handler = additional_outputs_handler
        self.mode = mode
        self.modality = modality
        self.concurrency_limit = concurrency_limit
        self.time_limit = time_limit
        self.rtc_configuration = rtc_configuration
        self.additional_input_components = additional_inputs
        self.additional_output_components = additional_outputs
        self.verbose = verbose
        self.name = name
        if modality != "video":
            raise ValueError(
                f"modality={modality!r}: Reframe is for video; keep FastRTC for a program with "
                "audio"
            )
        if additional_outputs_handler is not None and not callable(additional_outputs_handler):
            raise TypeError(
                f"additional_outputs_handler is {_texts.type_name(additional_outputs_handler)}, "
                "not a function of what is shown and the new values"
            )
        self._warn_of(
            rtp_params=(rtp_params, "the bitrate is bitrate=(lowest, highest) in kbit/s"),
            server_rtc_configuration=(
                server_rtc_configuration,
                "the server needs no ICE servers, but one open port: --media-port",
            ),
            track_constraints=(
                track_constraints,
                "people choose the camera and its size on the page. --max-resolution 640x480 and "
                "--max-fps 15 (or REFRAME_MAX_RESOLUTION, REFRAME_MAX_FPS) bound what is taken; "
                "for one certain size, resize in the function; a front-end of your own gives its "
                "constraints to getUserMedia()",
            ),
            allow_extra_tracks=(allow_extra_tracks, "further tracks are not taken"),
        )
        target = _handlers.target(handler, mode)
        inputs = Inputs(
            _declaration.listed(additional_inputs, "additional_inputs"),
            target.name,
            target.parameters,
        )
        outputs = Outputs(
            _declaration.listed(additional_outputs, "additional_outputs"),
            additional_outputs_handler,
        )
        declaration = _declaration.declaration(
            name=name,
            mode=mode,
            settings=target.settings,
            concurrency_limit=concurrency_limit,
            time_limit=time_limit,
            movable=movable,
            broadcast=broadcast,
            bitrate=bitrate,
            start_bitrate=start_bitrate,
            ui_args=ui_args,
        )
        declaration |= {"inputs": inputs.declaration(), "outputs": outputs.declaration()}
        # As the wire knows them, in the order of what people can set and see.
        self._input_names = [each["name"] for each in declaration["inputs"]]
        self._output_names = [each["name"] for each in declaration["outputs"]]
        plan = Plan(target, mode, inputs, outputs, Guard(name))
        self._ui = UI(self)
        self._core = _core.Stream(json.dumps(declaration), functools.partial(Work, plan))

    @property
    def ui(self) -> UI:
        """The page."""
        return self._ui

    @ui.setter
    def ui(self, blocks: Any) -> NoReturn:
        raise NotImplementedError(
            "stream.ui = … : the page is not Gradio's, so Blocks cannot take its place. ui_args "
            "sets its title and subtitle; a page of your own talks to the gateway "
            "(docs/http-api.md)"
        )

    def mount(self, app: Any, path: str = "", tags: list[str] | None = None) -> None:
        """Adds ``POST {path}/webrtc/offer`` to a FastAPI or Starlette application.

        The application's own rules hold for that route. Video does not pass through it: browsers
        send it to a port of this process (``--media-port``), whose gateway starts with the first
        request. Run the application in one process: a session belongs to the one that answered it.

        Raises TypeError for another kind of application, ValueError when a stream of this name is
        mounted already, and RuntimeError after the first request.
        """
        _mount.mount(self, app, path, tags)

    def set_input(self, webrtc_id: str, *args: Any) -> None:
        """Sets the inputs of a session of a mounted stream, in the order of their declaration.

        Waits for the gateway's answer, a few milliseconds: call it from a plain function.

        Raises WebRTCError when there is no such session, ValueError when the values do not fit.
        """
        _mount.set_input(self, self._input_names, webrtc_id, args)

    def output_stream(self, webrtc_id: str) -> AsyncIterator[AdditionalOutputs]:
        """The outputs of a session of a mounted stream, as its page is shown them, until it ends:
        ``async for outputs in stream.output_stream(webrtc_id)``."""
        return _mount.output_stream(self, self._output_names, webrtc_id)

    async def fetch_latest_output(self, webrtc_id: str) -> AdditionalOutputs:
        """The session's next outputs.

        Raises WebRTCError when the session ends before there are any.
        """
        async for outputs in self.output_stream(webrtc_id):
            return outputs
        raise WebRTCError("the session has ended")

    def __repr__(self) -> str:
        return f"Stream(name={self.name!r}, mode={self.mode!r})"

    def __getattr__(self, name: str) -> NoReturn:
        why = _unsupported.STREAM.get(name)
        text = f"Stream has no attribute {name!r}"
        raise AttributeError(text if why is None else f"stream.{name} {why}")

    @staticmethod
    def _warn_of(**ignored: tuple[Any, str]) -> None:
        for name, (value, instead) in ignored.items():
            if value:
                warnings.warn(f"Stream({name}=…) is ignored: {instead}", stacklevel=3)


def run(*streams: Stream, argv: Sequence[str] | None = None) -> int:
    """Runs streams, each with a name of its own, as a command line says.

    ``argv`` is the command line without the program's name, by default this program's own:
    ``launch`` (also when it is empty), or ``serve`` with ``--stream NAME``, and options; ``launch
    --help`` lists them. Returns the exit code: 0 after Ctrl-C or SIGTERM, 64 when the command line
    is wrong, 1 for every other failure.
    """
    commanded = _launch.commanded()
    if commanded is None:
        commanded = _launch.completed(list(sys.argv[1:] if argv is None else argv) or ["launch"])
    return _launch.run(streams, commanded)
