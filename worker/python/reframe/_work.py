"""One session of a stream, as the compiled half calls it. Nothing escapes from here: whatever the
author's code raises becomes a text for the client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reframe import _context, _core, _pictures, _results, _texts
from reframe._context import Context
from reframe._guard import Guard
from reframe._handlers import Calls, Target
from reframe._inputs import Inputs, Values
from reframe._items import END, Items
from reframe._loop import Loop
from reframe._outputs import Outputs, Shown

if TYPE_CHECKING:
    from reframe._core import Frame, Session

Result = str | bool | tuple[Any, str | None, str | None, str | None]
"""Why a frame failed, for the client; False: a newer frame took its place; or a picture, its pixel
format, the outputs as JSON, and the message of an end."""


@dataclass(frozen=True)
class Plan:
    """What the sessions of a stream have in common."""

    target: Target
    mode: str
    inputs: Inputs
    outputs: Outputs
    guard: Guard


class Work:
    """The calls come in the order start, process or next, stop, all on the session's thread."""

    def __init__(self, plan: Plan, session: Session) -> None:
        self._plan = plan
        self._guard = plan.guard
        self._values = Values(plan.inputs, session)
        self._context = Context(session, self._values.named)
        self._loop = Loop()
        self._shown = Shown(plan.outputs)
        self._calls: Calls | None = None
        self._items: Items | None = None
        self._empty_allowed = plan.mode != "send-receive"

    def start(self) -> str | None:
        """Makes the session's handler or generator; a text is why there is none."""
        _context.enter(self._context)
        problem: str | None = self._run(self._start)
        if problem is not None:
            self.stop()
        return problem

    def process(self, frame: Frame) -> Result:
        """What the function makes of the frame. No reference to its pixels stays behind."""
        self._context._seq = frame.seq
        self._context._capture_time = frame.capture_time
        result: Result = self._run(lambda: self._process(frame))
        return result

    def next(self) -> Result | None:
        """The generator's next item; None after the last."""
        result: Result | None = self._run(self._next)
        self._context._seq += 1
        return result

    def stop(self) -> None:
        """Closes the generator, then the handler, then the event loop; each whatever the others
        did."""
        items, self._items = self._items, None
        if items is not None:
            self._run(items.close)
        calls, self._calls = self._calls, None
        if calls is not None and calls.shutdown is not None:
            shutdown = calls.shutdown
            self._run(lambda: self._loop.result(shutdown()))
        self._run(self._loop.close)
        _context.enter(None)

    def _run(self, call: Callable[..., Any]) -> Any:
        """What the call returns, or the text of what it raised: anything, SystemExit too. The
        exception is let go before this returns: its traceback holds the frame's pixels."""
        context = self._context
        context._begin()
        try:
            result = call()
        except _core.Superseded as newer:
            result = False
            context._end(newer)
        except BaseException as error:
            result = self._guard.text(error)
            context._end(error)
        else:
            context._end(None)
        return result

    def _start(self) -> None:
        calls = self._plan.target.new()
        if calls.start_up is not None:
            self._loop.result(calls.start_up())
        self._calls = calls
        if self._plan.mode == "receive":
            made = self._loop.result(calls.process(*self._values.arguments()))
            self._items = Items(made, self._plan.target.name, self._loop)

    def _process(self, frame: Frame) -> Result:
        assert self._calls is not None
        returned = self._calls.process(np.asarray(frame), *self._values.arguments())
        return self._answer(self._loop.result(returned))

    def _next(self) -> Result | None:
        assert self._items is not None
        item = self._items.next()
        return None if item is END else self._answer(item)

    def _answer(self, returned: Any) -> Result:
        plan, name = self._plan, self._plan.target.name
        if returned is None and self._empty_allowed:
            return None, None, None, None
        is_picture, (picture, outputs, close) = _results.split(returned, name)
        array, pixels = None, None
        if is_picture and plan.mode != "send":
            array, pixels = _pictures.picture(picture, plan.target.settings.pixel_format, name)
        values = None if outputs is None else self._shown.update(outputs.args, self._guard)
        message = None if close is None else _texts.of_object(close.msg)
        return array, pixels, values, message
