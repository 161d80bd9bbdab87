"""From components to a stream's inputs, and from their values to a function's arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from reframe import _controls, _kinds, _names
from reframe._controls import Control
from reframe._signatures import Parameters

if TYPE_CHECKING:
    from reframe._core import Session


class Inputs:
    """A stream's inputs, in the order of the function's parameters."""

    def __init__(self, components: Sequence[Any], function: str, takes: Parameters) -> None:
        """Raises ValueError or TypeError with what to change in the program."""
        _check_count(len(components), function, takes)
        self._names: list[str] = []
        self._controls: list[Control] = []
        for index, component in enumerate(components):
            parameter = takes.names[index] if index < len(takes.names) else ""
            label = _kinds.text(component, "label")
            name = _names.choose(parameter, label, "input", self._names)
            where = f"additional_inputs[{index}] ({parameter or name})"
            self._names.append(name)
            self._controls.append(
                _controls.control(component, name, label or _names.label(parameter or name), where)
            )

    def declaration(self) -> list[dict[str, Any]]:
        """As the compiled half takes it. What is hidden keeps its value and is not declared."""
        return [c.declaration for c in self._controls if c.declaration is not None]

    def named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the function sees, by name and in its order."""
        return {
            name: control.convert(values[name])
            if control.declaration is not None
            else control.value
            for name, control in zip(self._names, self._controls, strict=True)
        }


class Values:
    """One session's newest values, converted only when one has changed. Any thread may ask, also
    one that the function has started."""

    def __init__(self, inputs: Inputs, session: Session) -> None:
        self._inputs = inputs
        self._session = session
        # What was converted, by name, and in order; replaced together. The session hands out the
        # same dict until a value changes, and holding on to it keeps its identity from being
        # another one's.
        self._newest: tuple[object, Mapping[str, Any], tuple[Any, ...]] = (None, {}, ())

    def arguments(self) -> tuple[Any, ...]:
        """For the call of the function."""
        return self._updated()[2]

    def named(self) -> Mapping[str, Any]:
        """By name, for ``get_current_context().inputs``."""
        return self._updated()[1]

    def _updated(self) -> tuple[object, Mapping[str, Any], tuple[Any, ...]]:
        values = self._session.inputs()
        newest = self._newest
        if newest[0] is not values:
            named = self._inputs.named(values)
            self._newest = newest = (values, MappingProxyType(named), tuple(named.values()))
        return newest


def _check_count(components: int, function: str, takes: Parameters) -> None:
    given = f"additional_inputs has {components} component{'' if components == 1 else 's'}"
    if components > len(takes.names) and not takes.open_end:
        names = ", ".join(takes.names)
        raise ValueError(
            f"{given}, but {function} takes {len(takes.names)} beside the frame"
            f"{f' ({names})' if names else ''}: give it a parameter for each component"
        )
    if components < takes.required:
        missing = takes.names[components]
        raise ValueError(
            f"{given}, but {function} needs {takes.required} beside the frame: its parameter "
            f"{missing!r} gets no value. Add a component for it, or give it a default"
        )
