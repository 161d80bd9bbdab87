"""What a generator yields, one item at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np

from reframe import _texts
from reframe._loop import Loop

END: Any = object()
"""In place of an item: there are no more."""


class Items:
    """A generator, asynchronous or not, or any other iterator."""

    def __init__(self, returned: Any, name: str, loop: Loop) -> None:
        """Raises TypeError when ``returned``, of the function ``name``, yields nothing."""
        self._loop = loop
        self._items: Iterator[Any] | None = None
        self._later: AsyncIterator[Any] | None = None
        if hasattr(returned, "__anext__"):
            self._later = returned
        elif hasattr(returned, "__next__"):
            self._items = returned
        elif isinstance(returned, list | tuple | range) and not isinstance(returned, np.ndarray):
            self._items = iter(returned)
        else:
            raise TypeError(
                f"{name} returned {_texts.type_name(returned)}, but mode='receive' needs a "
                "generator: `yield image` instead of `return image`"
            )

    def next(self) -> Any:
        """The next item, or END."""
        if self._items is not None:
            return next(self._items, END)
        assert self._later is not None
        return self._loop.wait(anext(self._later, END))

    def close(self) -> None:
        """Runs the generator's ``finally``, here and now."""
        items: Any = self._items if self._items is not None else self._later
        if hasattr(items, "aclose"):
            self._loop.wait(items.aclose())
        elif hasattr(items, "close"):
            items.close()
