"""The event loop of a session, for functions that are ``async def``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any


class Loop:
    """Made with the first coroutine, on the session's thread, and closed with the session: clients
    and locks that a function keeps from frame to frame belong to one loop. Tasks of the function's
    own go on only while a frame is worked on."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def result(self, returned: Any) -> Any:
        """What the function returned, waited for if it is a coroutine."""
        # Looked up at the type: an array's `__getattr__` may do anything, and this is each frame.
        return self.wait(returned) if hasattr(type(returned), "__await__") else returned

    def wait(self, awaitable: Awaitable[Any]) -> Any:
        """What it results in."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(_await(awaitable))

    def close(self) -> None:
        """Cancels what still runs, and closes asynchronous generators."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
