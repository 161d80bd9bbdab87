"""A session, frames and components as the package meets them."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np

from reframe import _core
from reframe._stream import Stream


class Session:
    def __init__(self, **inputs: Any) -> None:
        self.id = "a-session"
        self.values: dict[str, Any] = inputs
        self.told: list[tuple[str, str]] = []
        self.closed = False

    def is_closed(self) -> bool:
        return self.closed

    def inputs(self) -> dict[str, Any]:
        return self.values

    def set(self, **inputs: Any) -> None:
        self.values = self.values | inputs

    def notify(self, level: str, message: str) -> None:
        self.told.append((level, message))


class Frame:
    """An array with a frame's number and time."""

    def __init__(self, array: Any = None, seq: int = 0, capture_time: float = 0.0) -> None:
        self.array = np.zeros((4, 6, 3), np.uint8) if array is None else array
        self.seq = seq
        self.capture_time = capture_time

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.array


class Batcher:
    """A model on the thread that calls it, each batch of one item."""

    def __init__(self, setup: Any, model: Any, *settings: Any) -> None:
        self._model = lambda items: model(setup(0), items)

    def start(self) -> None:
        pass

    def call(self, item: Any) -> Any:
        [result] = self._model([item])
        return result


class Running:
    """A stream and one session of it, on a thread of its own as in a worker."""

    def __init__(self, monkeypatch: Any, handler: Any, **options: Any) -> None:
        made: dict[str, Any] = {}

        class Core:
            def __init__(self, declaration: str, factory: Any) -> None:
                made.update(declaration=json.loads(declaration), factory=factory)

        monkeypatch.setattr(_core, "Stream", Core)
        self.stream = Stream(handler, **options)
        self.declaration = made["declaration"]
        self._factory = made["factory"]
        self.session = Session(**{i["name"]: i["value"] for i in self.declaration["inputs"]})
        self.work = self._factory(self.session)

    def another(self) -> Any:
        return self._factory(Session(**self.session.values))

    def outputs(self, result: Any) -> Any:
        return None if result[2] is None else json.loads(result[2])


def in_thread(call: Any) -> Any:
    """What the call returns on a new thread."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    thread.join(20)
    assert results, "the call raised, or has not returned"
    return results[0]
