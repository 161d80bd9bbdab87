"""Exceptions of the author's code: a text for the client, and a traceback for the log."""

from __future__ import annotations

import logging
import threading

from reframe import _texts

_logger = logging.getLogger("reframe")

MAX_KINDS = 256
"""Kinds of errors that a stream remembers. Code made at run time could have kinds without end."""

_Kind = tuple[str, str, int]


class Guard:
    """Turns exceptions into texts; one for each stream, used by all its sessions' threads."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._seen: set[_Kind] = set()
        self._lock = threading.Lock()

    def text(self, error: BaseException) -> str:
        """What the client is shown. The traceback is logged the first time that an error of this
        type comes from this line: a broken function fails with each frame, 30 times a second."""
        try:
            if self._first(_kind(error)):
                _logger.error(
                    "stream %r: %s; its traceback is not logged again",
                    self._stream,
                    _texts.of_error(error),
                    exc_info=error,
                )
        except BaseException:  # A log handler is the author's code, and may raise anything.
            pass
        return _texts.of_error(error)

    def warn_once(self, message: str) -> None:
        """Logs a warning, the first time that this stream has it."""
        if self._first(("warning", message, 0)):
            _logger.warning("stream %r: %s", self._stream, message)

    def _first(self, kind: _Kind) -> bool:
        with self._lock:
            if kind in self._seen or len(self._seen) >= MAX_KINDS:
                return False
            self._seen.add(kind)
            return True


def _kind(error: BaseException) -> _Kind:
    """The error's type, and the line that raised it."""
    traceback, file, line = error.__traceback__, "", 0
    while traceback is not None:
        file, line = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
    return (type(error).__qualname__, file, line)
