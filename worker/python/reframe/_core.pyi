"""The compiled half: threads, pixels, queues and the network, outside the interpreter's lock."""

from collections.abc import Callable
from typing import Protocol, TypeAlias, final

__all__ = [
    "Batcher",
    "Frame",
    "Session",
    "Stop",
    "Stream",
    "Superseded",
    "end_with_parent",
    "front",
    "packed",
    "run",
]

# An object with the buffer protocol, its pixel format, outputs as JSON, the message of an end.
_Done: TypeAlias = tuple[object | None, str | None, str | None, str | None]
# A text is why the frame failed, for the client; False: a newer frame took its place.
_Result: TypeAlias = str | bool | _Done

@final
class Frame:
    """One picture of the browser's camera, read and written by the buffer protocol.

    The buffer is uint8, C-contiguous and writable, and goes back to a pool when no view of it is
    left.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width, 3); (height, width) for gray8; (height * 3 // 2, width) for i420."""

    @property
    def seq(self) -> int:
        """The frame's number in its session."""

    @property
    def capture_time(self) -> float:
        """When it was taken, in seconds on the session's clock."""

    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Session:
    """One browser's use of a stream. Any thread may use it."""

    @property
    def id(self) -> str:
        """The gateway's id of the session."""

    def is_closed(self) -> bool:
        """Whether the browser has left, or the process shuts down."""

    def inputs(self) -> dict[str, float | bool | str]:
        """The newest value of each input, by name; the same object as long as none changes."""

    def notify(self, level: str, message: str) -> None:
        """Shows a message to the client: level is "log", "warning" or "error". Never waits."""

class _Work(Protocol):
    """A session's function, called on the session's own thread. Nothing escapes its methods."""

    def start(self) -> str | None:
        """Before the first frame: None, or why the session cannot begin."""

    def process(self, frame: Frame) -> _Result:
        """What the function makes of a frame."""

    def next(self) -> _Result | None:
        """What the generator yields next; None when it has ended."""

    def stop(self) -> None:
        """After the last call: releases what the session had."""

@final
class Stream:
    """A declared stream.

    Raises ValueError when the declaration (a JSON object) is wrong.
    """

    def __new__(cls, declaration: str, factory: Callable[[Session], _Work]) -> Stream: ...

class Superseded(BaseException):
    """A newer frame came before the model began with this one, and takes its place."""

@final
class Batcher:
    """A model that works on the items of several sessions at once, and its threads.

    On its thread `setup(replica)` makes it, and `model(made, items)` returns a list with a result
    or an exception for each item. Raises ValueError when a setting is out of its range.
    """

    def __new__(
        cls,
        setup: Callable[[int], object],
        model: Callable[[object, list[object]], list[object]],
        max_batch: int,
        max_wait_ms: float,
        replicas: int,
        newest: bool,
    ) -> Batcher: ...
    def call(self, item: object) -> object:
        """What the model makes of one item of the calling thread's session.

        Raises what the model raised for it, Superseded, or RuntimeError where there can be no
        result: outside of a session, after its end, or without a model.
        """

    def start(self) -> None:
        """Makes the model, and waits for that. Raises RuntimeError when it cannot be made, and what
        a signal's handler raises."""

@final
class Stop:
    """Ends a run from another thread."""

    def __new__(cls) -> Stop: ...
    def set(self) -> None:
        """Ends it as Ctrl-C would. Again: nothing."""

def run(streams: list[Stream], argv: list[str], stop: Stop | None = None) -> int:
    """Runs streams as a command line without the program's name says, until a signal or stop.

    Returns the exit code: 0 when it was ended, 64 for a wrong command line or configuration, 1 for
    every other failure. Problems are printed to stderr.
    """

def front(argv: list[str], sockets: list[str], stop: Stop | None = None) -> int:
    """Runs the gateway of `launch` alone, before workers at sockets; else as run."""

def end_with_parent(parent: int) -> None:
    """Has the kernel kill this process when the thread that started it ends; ends it now if its
    parent is another than the process `parent`."""

def packed(picture: object, format: str) -> tuple[str, bytes]:
    """The bytes of a picture as they are encoded, and their format: for tests.

    Raises TypeError or ValueError for what is no picture.
    """
