"""Controls and displays beside the video, for programs without Gradio.

They have the names and the attributes of Gradio's, whose components are taken as well: whoever
reads a component (``_kinds.py``) does not know the difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any


class Component:
    """What all of them have."""

    label: str | None
    info: str | None
    value: Any
    visible: bool

    def __init__(
        self, value: Any, label: str | None, info: str | None = None, visible: bool = True
    ) -> None:
        self.value = value() if callable(value) else value
        self.label = label
        self.info = info
        self.visible = visible

    def __repr__(self) -> str:
        return f"{type(self).__name__}(label={self.label!r}, value={self.value!r})"


class Slider(Component):
    """A slider. The function gets an int if minimum, step and value are whole, else a float."""

    def __init__(
        self,
        minimum: float = 0,
        maximum: float = 100,
        value: float | Callable[[], float] | None = None,
        *,
        step: float | None = None,
        precision: int | None = None,
        label: str | None = None,
        info: str | None = None,
        visible: bool = True,
    ) -> None:
        super().__init__(minimum if value is None else value, label, info, visible)
        self.minimum = minimum
        self.maximum = maximum
        self.step = step if step is not None else _step(maximum - minimum)
        self.precision = precision


def _step(extent: float) -> float:
    """Between a hundred and a thousand positions: 1 for 0 to 100, 0.01 for 0 to 1; as Gradio."""
    if not 0 < extent < math.inf:
        return 1  # No slider, which is said where the stream is made.
    power = math.floor(math.log10(extent)) - 2
    return float(10**power) if power < 0 else 10**power


class Number(Component):
    """A number: an input with or without bounds, or an output."""

    def __init__(
        self,
        value: float | Callable[[], float] | None = None,
        *,
        label: str | None = None,
        info: str | None = None,
        minimum: float | None = None,
        maximum: float | None = None,
        step: float = 1,
        precision: int | None = None,
        visible: bool = True,
    ) -> None:
        super().__init__(value, label, info, visible)
        self.minimum = minimum
        self.maximum = maximum
        self.step = step
        self.precision = precision


class Checkbox(Component):
    """A checkbox. The function gets a bool."""

    def __init__(
        self,
        value: bool | Callable[[], bool] = False,
        *,
        label: str | None = None,
        info: str | None = None,
        visible: bool = True,
    ) -> None:
        super().__init__(value, label, info, visible)


class Textbox(Component):
    """A text: an input of up to ``max_length`` characters (4096 at most), or an output."""

    def __init__(
        self,
        value: str | Callable[[], str] | None = None,
        *,
        lines: int = 1,
        placeholder: str | None = None,
        label: str | None = None,
        info: str | None = None,
        max_length: int | None = None,
        visible: bool = True,
    ) -> None:
        super().__init__(value, label, info, visible)
        self.lines = lines
        self.placeholder = placeholder
        self.max_length = max_length


class Dropdown(Component):
    """One of several choices: values, or pairs of what is shown and the value."""

    def __init__(
        self,
        choices: Sequence[Any],
        *,
        value: Any = None,
        label: str | None = None,
        info: str | None = None,
        type: str = "value",
        visible: bool = True,
    ) -> None:
        pairs = [c if isinstance(c, tuple) and len(c) == 2 else (str(c), c) for c in choices]
        if value is None and pairs:
            value = pairs[0][1]
        super().__init__(value, label, info, visible)
        self.choices = pairs
        self.type = type


class ColorPicker(Component):
    """A colour. The function gets a text like ``#ff8000``."""

    def __init__(
        self,
        value: str | Callable[[], str] | None = None,
        *,
        label: str | None = None,
        info: str | None = None,
        visible: bool = True,
    ) -> None:
        super().__init__(value, label, info, visible)


class Label(Component):
    """An output: a class, or a dict of classes to their confidence from 0 to 1."""

    def __init__(
        self, value: Any = None, *, num_top_classes: int | None = None, label: str | None = None
    ) -> None:
        super().__init__({} if value is None else value, label)
        self.num_top_classes = num_top_classes


class JSON(Component):
    """An output: anything that JSON has."""

    def __init__(self, value: Any = None, *, label: str | None = None) -> None:
        super().__init__(value, label)


class LinePlot(Component):
    """An output: a number, which is appended to the curve; or numbers or (x, y) pairs, or a table
    with the columns ``x`` and ``y``, which replace it."""

    def __init__(
        self,
        value: Any = None,
        x: str | None = None,
        y: str | None = None,
        *,
        label: str | None = None,
    ) -> None:
        super().__init__(value, label)
        self.x = x
        self.y = y


class Text(Textbox):
    """An output: a text."""
