"""Each kind of input: how it is declared, and what the function gets of its value."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reframe import _kinds, _texts

_logger = logging.getLogger("reframe")

MAX_TEXT_CHARS = 4096
"""The longest text that an input takes."""

MAX_LINES = 1000
"""The most rows of a text, more than any page shows."""


@dataclass(frozen=True)
class Control:
    """An input."""

    declaration: dict[str, Any] | None
    """None for one that is hidden: nobody can set it, and it has always ``value``."""
    convert: Callable[[Any], Any]
    """From a value of the wire (a float, bool or text) to the function's argument."""
    value: Any = None


def control(component: Any, name: str, label: str, where: str) -> Control:
    """The input of a component; ``where`` names it in messages.

    Raises TypeError for what cannot be an input, ValueError for a setting that cannot be.
    """
    if not _kinds.is_component(component):
        hint = "" if isinstance(component, type) else "; a value that never changes is a default"
        raise TypeError(
            f"{where}: {_texts.short(component)} is not a component like Slider(0, 1){hint}"
        )
    kind = _kinds.kind(component)
    if kind not in _KINDS:
        raise TypeError(
            f"{where}: {_kinds.title(component)} cannot be an input. Those are Slider, Number, "
            "Checkbox, Textbox, Dropdown, Radio and ColorPicker"
        )
    if not _kinds.is_shown(component) or getattr(component, "interactive", None) is False:
        return Control(None, lambda value: value, _kinds.value(component))
    fields, convert = _KINDS[kind](component, where)
    about = {"name": name, "label": label, "info": _kinds.text(component, "info")}
    return Control({"kind": _WIRE.get(kind, kind)} | about | fields, convert)


_Made = tuple[dict[str, Any], Callable[[Any], Any]]


def _slider(component: Any, where: str) -> _Made:
    fields = {
        field: _number(getattr(component, field), field, where)
        for field in ("minimum", "maximum", "step")
    }
    value = _kinds.value(component)
    fields["value"] = fields["minimum"] if value is None else _number(value, "value", where)
    whole = all(fields[field].is_integer() for field in ("minimum", "step", "value"))
    return fields, _rounded(getattr(component, "precision", None), whole)


def _number_box(component: Any, where: str) -> _Made:
    given = {field: getattr(component, field, None) for field in ("minimum", "maximum", "step")} | {
        "value": _kinds.value(component)
    }
    fields = {
        field: None if value is None else _number(value, field, where)
        for field, value in given.items()
    }
    present = [fields[field] for field in ("minimum", "step", "value")]
    whole = all(value is None or value.is_integer() for value in present)
    return fields, _rounded(getattr(component, "precision", None), whole)


def _number(value: Any, field: str, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where}: its {field} {_texts.short(value)} is not a number")
    return number


def _rounded(precision: int | None, whole: bool) -> Callable[[float], float | int]:
    """As the number comes with Gradio, where a browser's JSON says 5 and not 5.0: `range(n)` and
    `cv2.blur(image, (k, k))` need an int. What a client sets between the steps stays as it is."""
    if precision is not None:
        digits = precision or None
        return lambda value: round(value, digits)
    if whole:
        return lambda value: int(value) if value.is_integer() else value
    return lambda value: value


def _checkbox(component: Any, where: str) -> _Made:
    return {"value": bool(_kinds.value(component))}, bool


def _textbox(component: Any, where: str) -> _Made:
    value = _kinds.value(component)
    longest = getattr(component, "max_length", None)
    if getattr(component, "type", "text") == "password":
        _logger.warning("%s: a password is shown as it is typed", where)
    return {
        "value": "" if value is None else _texts.clean(str(value)),
        "max_length": None if longest is None else min(max(0, int(longest)), MAX_TEXT_CHARS),
        "lines": min(max(1, int(getattr(component, "lines", 1) or 1)), MAX_LINES),
        "placeholder": _kinds.text(component, "placeholder") or None,
    }, str


def _dropdown(component: Any, where: str) -> _Made:
    if getattr(component, "multiselect", None):
        raise ValueError(f"{where}: a Dropdown with multiselect cannot be an input: use a Checkbox "
                         "for each choice")  # fmt: skip
    choices: dict[str, Any] = {}
    index_wanted = getattr(component, "type", "value") == "index"
    initial, given = None, _kinds.value(component)
    for index, choice in enumerate(getattr(component, "choices", None) or ()):
        shown, value = choice if isinstance(choice, tuple | list) else (choice, choice)
        shown = _texts.clean(str(shown))
        if shown in choices:
            raise ValueError(f"{where}: the choice {shown!r} is there twice")
        choices[shown] = index if index_wanted else value
        if initial is None and given is not None and (value is given or value == given):
            initial = shown
    if not choices:
        raise ValueError(f"{where}: it has no choices")
    if initial is None:
        if given is not None:
            raise ValueError(f"{where}: its value {_texts.short(given)} is none of its choices")
        initial = next(iter(choices))
    return {"choices": list(choices), "value": initial}, choices.__getitem__


def _colorpicker(component: Any, where: str) -> _Made:
    value = _kinds.value(component)
    text = "#000000" if value is None else str(value)
    if re.fullmatch(r"#[0-9A-Fa-f]{3}", text):
        text = "#" + "".join(digit * 2 for digit in text[1:])
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", text):
        raise ValueError(f"{where}: its value {_texts.short(value)} is not a colour like #ff8000")
    return {"value": text}, str


_KINDS: dict[str, Callable[[Any, str], _Made]] = {
    "slider": _slider,
    "number": _number_box,
    "checkbox": _checkbox,
    "textbox": _textbox,
    "dropdown": _dropdown,
    "radio": _dropdown,
    "colorpicker": _colorpicker,
}
_WIRE = {"radio": "dropdown"}
