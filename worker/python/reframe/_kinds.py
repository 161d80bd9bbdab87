"""Reads components by their attributes, so that Gradio's work and Gradio is not needed."""

from __future__ import annotations

from typing import Any

from reframe import _texts

# Class names in lower case. A subclass is what its nearest base with such a name is: TextArea is a
# textbox.
_KINDS = frozenset(
    "slider number checkbox textbox dropdown radio checkboxgroup colorpicker label json lineplot "
    "markdown html plot image audio video state button chatbot dataframe file gallery".split()
)


def kind(component: Any) -> str:
    """What the component is: a name of Gradio's in lower case, like ``slider``."""
    for base in type(component).__mro__:
        name = base.__name__.lower()
        if name in _KINDS:
            return name
    named = getattr(component, "get_block_name", None)
    name = str(named()).lower() if callable(named) else ""
    return name if name in _KINDS else type(component).__name__.lower()


def title(component: Any) -> str:
    """The name of the component's class, for messages."""
    return type(component).__name__


def value(component: Any) -> Any:
    """The initial value. Gradio has called a function in its place already."""
    given = getattr(component, "value", None)
    return given() if callable(given) else given


def text(component: Any, attribute: str) -> str:
    """A text of the component's, "" if it has none. Gradio's labels may be translation objects."""
    given = getattr(component, attribute, None)
    return "" if given is None else _texts.clean(str(given))


def is_shown(component: Any) -> bool:
    """Whether people see it. Gradio 6 has "hidden" beside False."""
    return getattr(component, "visible", True) not in (False, "hidden")


def is_component(thing: Any) -> bool:
    """Whether it looks like a component and not like the class of one, a text or a number."""
    return not isinstance(thing, type) and (
        hasattr(thing, "value") or callable(getattr(thing, "get_block_name", None))
    )
