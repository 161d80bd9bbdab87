"""Texts that leave Python: always valid UTF-8, and of a bounded length."""

from __future__ import annotations

import reprlib

MAX_MESSAGE_CHARS = 1000
"""The longest message for a client. The wire cuts at 1024 bytes."""


def clean(text: str) -> str:
    """The text with ``?`` for lone surrogates, which UTF-8 does not have."""
    # A `str` of another class could do anything when it is read.
    return str.encode(text, "utf-8", "replace").decode("utf-8")


def message(text: str) -> str:
    """A text for the client: clean, and cut with "…" at its end."""
    text = clean(text)
    if len(text) <= MAX_MESSAGE_CHARS:
        return text
    return text[: MAX_MESSAGE_CHARS - 1] + "…"


def of_object(value: object) -> str:
    """``str(value)`` of what the author wants to say, or its type's name where that fails."""
    try:
        return message(str(value))
    except BaseException:  # `__str__` is the author's code, and may raise anything.
        return type(value).__name__


def of_error(error: BaseException) -> str:
    """What an error says, or its type's name where it says nothing."""
    text = of_object(error)
    return text if text.strip() else type(error).__name__


def short(value: object) -> str:
    """A value in a message: its ``repr``, shortened, or its type's name where that fails."""
    try:
        return clean(reprlib.repr(value))
    except BaseException:
        return type(value).__name__


def type_name(value: object) -> str:
    """The name of a value's type, with its package unless that is Python's own."""
    kind = type(value)
    package = str(kind.__module__).partition(".")[0]
    return (
        kind.__qualname__
        if package in ("builtins", "reframe")
        else f"{package}.{kind.__qualname__}"
    )
