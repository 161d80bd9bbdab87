"""What a function can learn of the session that it works for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from reframe import _texts

if TYPE_CHECKING:
    from reframe._core import Session

# Set once on each session's thread, which keeps its context for the whole session. Tasks of the
# session's event loop and `asyncio.to_thread` inherit it; threads that a function starts do not.
_current: ContextVar[Context | None] = ContextVar("reframe_context", default=None)

# Errors that one call has made and not raised; more are told at once.
_MAX_UNTOLD = 16


class Context:
    """The session that the calling code works for."""

    def __init__(self, session: Session, inputs: Callable[[], Mapping[str, Any]]) -> None:
        self._session = session
        self._inputs = inputs
        self._seq = 0
        self._capture_time: float | None = None
        self._untold: list[BaseException] = []
        self._calling: int | None = None

    @property
    def webrtc_id(self) -> str:
        """The session's id."""
        return self._session.id

    @property
    def seq(self) -> int:
        """The number of the frame, or of the picture that a generator is asked for."""
        return self._seq

    @property
    def capture_time(self) -> float | None:
        """When the frame was taken, in seconds on the session's clock; None in a generator."""
        return self._capture_time

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The inputs' newest values by name. A generator reads here what changed since it began."""
        return self._inputs()

    @property
    def closed(self) -> bool:
        """Whether the session is over. A long call looks here from time to time, and returns."""
        return self._session.is_closed()

    def __repr__(self) -> str:
        return f"Context(webrtc_id={self.webrtc_id!r})"

    def _tell(self, level: str, message: object) -> None:
        self._session.notify(level, _texts.of_object(message))

    def _tell_error(self, error: BaseException) -> None:
        """Tells it when the call returns, unless it is what the call fails with: the client is told
        of that anyway, and should not be told twice."""
        if self._calling == threading.get_ident() and len(self._untold) < _MAX_UNTOLD:
            self._untold.append(error)
        else:
            self._tell("error", _texts.of_error(error))

    def _begin(self) -> None:
        self._calling = threading.get_ident()

    def _end(self, raised: BaseException | None) -> None:
        self._calling = None
        if self._untold:
            untold, self._untold = self._untold, []
            for error in untold:
                if error is not raised:
                    self._tell("error", _texts.of_error(error))


def current() -> Context | None:
    """The calling code's session, if it has one."""
    return _current.get()


def get_current_context() -> Context:
    """The session that the calling code works for.

    Raises RuntimeError outside of a session's function.
    """
    context = _current.get()
    if context is None:
        raise RuntimeError(
            "no session here: call get_current_context() in the stream's function itself, and hand "
            "what it returns to threads of your own"
        )
    return context


def enter(context: Context | None) -> None:
    """Makes it the calling thread's session, or leaves that."""
    _current.set(context)
