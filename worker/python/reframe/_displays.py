"""Each kind of output: how it is declared, and the value that it is sent."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reframe import _json, _kinds


@dataclass(frozen=True)
class Display:
    """An output that the page shows."""

    kind: str
    """As the compiled half names it."""
    convert: Callable[[Any, Any, str], Any]
    """From (value, component, where) to the value for the page; None is no value."""
    empty: Any
    """What shows no value."""


def display(component: Any) -> Display | None:
    """What shows the component; None if nothing does."""
    return _DISPLAYS.get(_kinds.kind(component)) if _kinds.is_shown(component) else None


def _number(value: Any, component: Any, where: str) -> Any:
    value = _single(_json.plain(value, where))
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, int | float):
        raise TypeError(f"{where}: {type(value).__name__} is not a number")
    precision = getattr(component, "precision", None)
    return value if precision is None else round(value, precision or None)


def _single(value: Any) -> Any:
    """The number in an array of one."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value


def _text(value: Any, component: Any, where: str) -> Any:
    return _json.plain(value if isinstance(value, str) else str(value), where)


def _label(value: Any, component: Any, where: str) -> Any:
    value = _json.plain(value, where)
    if not isinstance(value, dict):
        return value if isinstance(value, str) else str(value)
    if isinstance(value.get("confidences"), list):
        # What Gradio itself sends: {"label": …, "confidences": [{"label": …, "confidence": …}]}.
        value = {each["label"]: each["confidence"] for each in value["confidences"]}
    for name, confidence in value.items():
        if not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
            raise ValueError(
                f"{where}: the confidence of {name!r} is {confidence!r}, not from 0 to 1"
            )
    most = getattr(component, "num_top_classes", None)
    best = sorted(value.items(), key=lambda item: -item[1])
    return dict(best[:most])


def _any(value: Any, component: Any, where: str) -> Any:
    if isinstance(value, str):
        # As Gradio has it: a text is JSON, if it is.
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    return _json.plain(value, where)


def _curve(value: Any, component: Any, where: str) -> Any:
    if hasattr(value, "columns") or isinstance(value, dict):
        value = _columns(value, component, where)
    value = _json.plain(value, where)
    points = value if isinstance(value, list) else [value]
    if not (all(map(_is_number, points)) or all(map(_is_point, points))):
        raise TypeError(f"{where}: it takes a number, or a list of numbers or of (x, y)")
    return value


def _columns(table: Any, component: Any, where: str) -> Any:
    """The points of a table, like pandas' DataFrame, whose columns the component names."""
    x, y = (getattr(component, axis, None) or axis for axis in ("x", "y"))
    for axis in (x, y):
        if axis not in table:
            raise ValueError(f"{where}: the table has no column {axis!r}")
    points = _json.plain(table[y], where)
    try:
        places = _json.plain(table[x], where)
    except TypeError:
        places = [None]
    # Dates and texts have no place on the page's axis: the points are then evenly spaced.
    return list(zip(places, points, strict=True)) if all(map(_is_number, places)) else points


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


_TEXT = Display("text", _text, "")
_DISPLAYS = {
    "number": Display("number", _number, 0),
    "textbox": _TEXT,
    "markdown": _TEXT,
    "label": Display("label", _label, {}),
    "json": Display("json", _any, None),
    "lineplot": Display("lineplot", _curve, []),
}
