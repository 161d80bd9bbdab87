"""What a function over frames returns beside its picture, and how it speaks to the client."""

from __future__ import annotations

import logging
from typing import Any

from reframe import _context

_logger = logging.getLogger("reframe")
_LEVELS = {"log": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class AdditionalOutputs:
    """Values for the stream's ``additional_outputs``, in their order.

    With an ``additional_outputs_handler`` the values are the last arguments of that function, and
    may be more or fewer than the outputs.
    """

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __repr__(self) -> str:
        return f"AdditionalOutputs({', '.join(map(repr, self.args))})"


class CloseStream:
    """Ends the stream, after the picture that it is returned with; the client is shown ``msg``."""

    def __init__(self, msg: str = "Stream closed") -> None:
        self.msg = msg

    def __repr__(self) -> str:
        return f"CloseStream({self.msg!r})"


class WebRTCError(Exception):
    """An error for the person in front of the browser.

    They see the message also if the error is caught, as with FastRTC; raised, it costs the frame.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        context = _context.current()
        if context is not None:
            context._tell_error(self)


def Warning(message: str = "Warning issued.") -> None:  # noqa: N802
    """Shows a warning to the person in front of the browser; outside a session it is logged."""
    _tell("warning", message)


def log(message: str) -> None:
    """Shows a message to the person in front of the browser; outside a session it is logged."""
    _tell("log", message)


def _tell(level: str, message: str) -> None:
    context = _context.current()
    if context is None:
        _logger.log(_LEVELS[level], "%s", message)
    else:
        context._tell(level, message)
