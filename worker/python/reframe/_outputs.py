"""A stream's additional outputs: their declaration, and what a session shows of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from reframe import _displays, _kinds, _names, _texts
from reframe._displays import Display
from reframe._guard import Guard

_logger = logging.getLogger("reframe")


@dataclass(frozen=True)
class _Output:
    component: Any
    display: Display | None
    name: str
    label: str


class Outputs:
    """The components in their order, those that the page does not show among them: the outputs
    handler has an argument for each."""

    def __init__(self, components: Sequence[Any], handler: Callable[..., Any] | None) -> None:
        """Raises TypeError when one is no component."""
        self.handler = handler
        self.all: list[_Output] = []
        for index, component in enumerate(components):
            if not _kinds.is_component(component):
                raise TypeError(
                    f"additional_outputs[{index}]: {_texts.short(component)} is not a component "
                    "like Number(label='FPS')"
                )
            label = _kinds.text(component, "label")
            name = _names.choose("", label, "output", [output.name for output in self.all])
            display = _displays.display(component)
            if display is None and _kinds.is_shown(component):
                _logger.warning(
                    "additional_outputs[%d]: %s is not shown. What is: Number, Textbox, Markdown, "
                    "Label, JSON, LinePlot",
                    index,
                    _kinds.title(component),
                )
            self.all.append(_Output(component, display, name, label or _names.label(name)))

    def declaration(self) -> list[dict[str, Any]]:
        """As the compiled half takes it."""
        return [
            {"kind": output.display.kind, "name": output.name, "label": output.label}
            for output in self.all
            if output.display is not None
        ]


class Shown:
    """The values that one session shows, as the author's functions made them."""

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self._values = [_kinds.value(output.component) for output in outputs.all]
        # As Gradio's textboxes have it: handlers append to what is shown, `shown + new`.
        for index, output in enumerate(outputs.all):
            if self._values[index] is None and _kinds.kind(output.component) == "textbox":
                self._values[index] = ""

    def update(self, args: tuple[Any, ...], guard: Guard) -> str | None:
        """From a function's ``AdditionalOutputs`` to JSON for the page: an array with a value for
        each declared output. None when the page shows nothing.

        Raises ValueError or TypeError when they do not fit the outputs; what was shown then stays.
        """
        outputs = self._outputs.all
        if not outputs:
            if args:
                guard.warn_once("AdditionalOutputs are not shown: Stream has no additional_outputs")
            return None
        made = [
            _changed(value, before)
            for value, before in zip(self._made(args), self._values, strict=True)
        ]
        # Converted also where it is not shown anew, so that a handler's wrong value is an error at
        # once and not when it is shown the next time.
        shown = [
            _converted(value, output)
            for value, output in zip(made, outputs, strict=True)
            if output.display is not None
        ]
        self._values = made
        return json.dumps(shown, allow_nan=False, separators=(",", ":")) if shown else None

    def _made(self, args: tuple[Any, ...]) -> Sequence[Any]:
        """A value for each component."""
        count, handler = len(self._outputs.all), self._outputs.handler
        made: Any = args
        said = f"the function returned {len(args)} AdditionalOutputs"
        if handler is not None:
            made = handler(*self._values, *args)
            if count == 1:
                return (made,)
            if not isinstance(made, tuple | list):
                made = (made,)
            said = f"additional_outputs_handler returned {len(made)} value(s)"
        if len(made) != count:
            names = ", ".join(output.name for output in self._outputs.all)
            raise ValueError(f"{said}, but additional_outputs has {count} component(s): {names}")
        values: Sequence[Any] = made
        return values


def _changed(value: Any, before: Any) -> Any:
    """A value, or what ``gr.update``, ``gr.skip`` or a component in its place makes of the old
    one."""
    if isinstance(value, dict) and value.get("__type__") == "update":
        return value.get("value", before)
    given = getattr(value, "_constructor_args", None)
    if isinstance(given, list) and _kinds.is_component(value):
        return given[0].get("value", before) if given else before
    return value


def _converted(value: Any, output: _Output) -> Any:
    display = output.display
    assert display is not None
    if value is None:
        return display.empty
    converted = display.convert(value, output.component, f"output {output.name!r}")
    return display.empty if converted is None else converted
