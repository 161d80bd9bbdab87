"""Which arguments a function takes: they are where the names of a stream's inputs come from."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class Parameters:
    """Those that inputs can be given to, in their order."""

    names: tuple[str, ...]
    required: int
    """How many of them, from the first on, have no default."""
    open_end: bool
    """Whether it takes more than it names: ``*args``, or a function whose signature is unknown."""


def parameters(function: Callable[..., Any], name: str, given: int, frames: bool) -> Parameters:
    """The positional parameters of ``function`` after the first ``given`` ones, which it gets
    anyway: ``self`` of a class's method, and then the frame if ``frames``.

    Raises TypeError when it does not take those, or needs arguments by keyword.
    """
    try:
        found = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        # Functions of C extensions, those of cv2 for example, do not tell.
        return Parameters((), 0, True)
    open_end = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in found)
    positional = [p for p in found if p.kind in _POSITIONAL]
    needed = [
        p.name
        for p in found
        if p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is inspect.Parameter.empty
    ]
    if needed:
        raise TypeError(
            f"{name}: its parameter {needed[0]!r} is keyword-only (as is what follows one that a "
            "functools.partial sets by name), but inputs are given by position: give it a default"
        )
    if frames and len(positional) < given and not open_end:
        raise TypeError(
            f"{name} takes no argument, but is called with each frame: def {name}(image): …; or is "
            "it a generator for mode='receive'?"
        )
    positional = positional[given:]
    required = sum(p.default is inspect.Parameter.empty for p in positional)
    return Parameters(tuple(p.name for p in positional), required, open_end)


def is_generator_function(function: Any) -> bool:
    """Whether calling it makes a generator, asynchronous or not: also for partials, bound methods,
    and objects whose class's ``__call__`` is one."""
    function = _plain(function)
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def _plain(function: Any) -> Any:
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif inspect.isroutine(function) or isinstance(function, type):
            return function
        else:
            call = getattr(type(function), "__call__", None)  # noqa: B004
            if call is None or not inspect.isroutine(call):
                return function
            function = call


def name_of(function: Any) -> str:
    """What to call it in messages."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    name = getattr(function, "__qualname__", None)
    # "main.<locals>.detect" is `detect` for its author.
    return str(name).rpartition("<locals>.")[2] if name else type(function).__name__
