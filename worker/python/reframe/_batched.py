"""``batched``: one function for the frames of many sessions at once."""

from __future__ import annotations

import ctypes
import functools
import inspect
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

from reframe import _context, _core, _signatures, _texts
from reframe._context import Context

INTERRUPT_SECONDS = 0.5
"""How long Ctrl-C waits for a ``setup`` to end."""

_Item = tuple[Context | None, tuple[Any, ...]]


class _Local(threading.local):
    contexts: tuple[Context, ...] = ()


_local = _Local()


@dataclass(frozen=True)
class _Plan:
    """How batches are made of calls: what the model's threads hold. It must not lead to
    ``Batched``, whose end ends the threads."""

    function: Callable[..., Any]
    name: str
    made: bool
    same_size: bool

    def run(self, made: object, items: list[object]) -> list[object]:
        """A batch, on the model's thread."""
        pairs: list[_Item] = items  # type: ignore[assignment]
        results: list[Any] = [None] * len(pairs)
        for places in self._parts(pairs):
            part = [pairs[place] for place in places]
            columns = [list(column) for column in zip(*(args for _, args in part), strict=True)]
            _local.contexts = tuple(context for context, _ in part if context is not None)
            try:
                returned = self.function(*([made] if self.made else []), *columns)
            finally:
                _local.contexts = ()
            for place, result in zip(places, self._listed(returned, len(places)), strict=True):
                results[place] = result
        return results

    def _parts(self, pairs: list[_Item]) -> list[list[int]]:
        """The places of the items that go to the function together."""
        if not self.same_size:
            return [list(range(len(pairs)))]
        parts: dict[Any, list[int]] = {}
        for place, (_, args) in enumerate(pairs):
            parts.setdefault(getattr(args[0], "shape", None), []).append(place)
        return list(parts.values())

    def _listed(self, returned: Any, items: int) -> Sequence[Any]:
        try:
            results = list(returned)
        except TypeError:
            raise TypeError(
                f"{self.name} returned {_texts.type_name(returned)}: a batched function returns a "
                f"list with a result for each of its {items} items"
            ) from None
        if len(results) != items:
            raise ValueError(
                f"{self.name} returned {len(results)} results for {items} items: one for each, in "
                "their order"
            )
        return results


class _Setup:
    """Makes the models, on their threads."""

    def __init__(self, setup: Callable[..., Any] | None) -> None:
        self._setup = setup
        self._threads: set[int] = set()
        self._changed = threading.Condition()

    def __call__(self, replica: int) -> Any:
        thread = threading.get_ident()
        with self._changed:
            self._threads.add(thread)
        try:
            return _set_up(self._setup, replica)
        finally:
            with self._changed:
                self._threads.discard(thread)
                self._changed.notify_all()

    def interrupt(self) -> None:
        """Raises KeyboardInterrupt in them too: the interpreter aborts if it ends while they run
        Python. A call into C does not see it before it returns, and is not waited for."""
        with self._changed:
            for thread in self._threads:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt)
                )
            self._changed.wait_for(lambda: not self._threads, INTERRUPT_SECONDS)


class Batched:
    """A function of lists, called with single values; what ``batched`` makes.

    ``__wrapped__`` is the function itself, for tests and other uses outside of streams.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        max_batch: int,
        max_wait_ms: float,
        same_size: bool,
        newest: bool,
        setup: Callable[..., Any] | None,
        replicas: int,
    ) -> None:
        name = _signatures.name_of(function)
        _check(function, name, max_batch, max_wait_ms, setup, replicas)
        functools.update_wrapper(self, function)
        self.__wrapped__ = function
        self._name = name
        made = setup is not None
        self._signature = _signature(function, name, made)
        self._plan = _Plan(function, name, made, same_size)
        self._setup = _Setup(setup)
        try:
            self._core = _core.Batcher(
                self._setup,
                self._plan.run,
                max_batch,
                float(max_wait_ms),
                replicas,
                bool(newest),
            )
        except ValueError as problem:
            raise ValueError(f"@batched of {name}: {problem}") from None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function makes of these values, as a part of a batch. Call it in a stream's
        function, on the session's own thread.

        Raises what the function raised for them; RuntimeError where there can be no result;
        ``Superseded``, which is no error and must pass, when a newer frame came first.
        """
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        if bound.kwargs:
            raise TypeError(f"{self._name}: give {', '.join(bound.kwargs)} by position")
        return self._core.call((_context.current(), bound.args))

    def start(self) -> None:
        """Runs ``setup`` now, and waits for it: before ``launch()``, so that no session has to.
        With ``--processes`` leave it out: the parent runs the file too, and needs no model.

        Raises RuntimeError when it raises, and KeyboardInterrupt at Ctrl-C.
        """
        try:
            self._core.start()
        except KeyboardInterrupt:
            self._setup.interrupt()
            raise

    def __repr__(self) -> str:
        return f"batched({self._name})"


def contexts() -> list[Context]:
    """Within a batched function: the sessions of its items, in their order."""
    return list(_local.contexts)


class _Decorator:
    """``@batched`` and ``@batched(…)``."""

    contexts = staticmethod(contexts)

    @overload
    def __call__(self, function: Callable[..., Any], /) -> Batched: ...

    @overload
    def __call__(
        self,
        function: None = None,
        /,
        *,
        max_batch: int = 8,
        max_wait_ms: float = 4.0,
        same_size: bool = False,
        newest: bool = True,
        setup: Callable[..., Any] | None = None,
        replicas: int = 1,
    ) -> Callable[[Callable[..., Any]], Batched]: ...

    def __call__(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        max_batch: int = 8,
        max_wait_ms: float = 4.0,
        same_size: bool = False,
        newest: bool = True,
        setup: Callable[..., Any] | None = None,
        replicas: int = 1,
    ) -> Any:
        """One function for the frames of many sessions at once.

        ::

            @batched(max_batch=8)
            def infer(images, thresholds):    # lists
                return model(images)          # a result for each

            def detect(image, threshold):     # one session's function
                boxes = infer(image, threshold)
                ...

        Calls that come while the function is busy become its next batch, of ``max_batch`` at most,
        each from another session. The function runs on a thread of its own. ``setup`` runs there
        first, and what it returns is then the function's first argument: a model that is bound to
        the thread that loads it. With ``replicas`` there are as many threads, one for each device,
        and ``setup(replica)`` is given the number of its own, from 0.

        The function waits up to ``max_wait_ms`` for sessions that are due to call, where that pays.
        A session that is alone never waits. With ``same_size`` the images of one call have one
        shape, so that they can be stacked.

        With ``skip_frames`` a newer frame takes the place of one that still waits: the call raises
        ``Superseded``, which no ``except Exception`` catches, and the stream's function is called
        with the newer frame. ``newest=False`` turns that off, for functions with state that must
        see each frame to its end.

        An exception costs the session whose item it is: put it into the list in place of a result,
        or raise it, and each item is tried by itself. A function that has worked, and then fails
        for all sessions, ends the process with a failure, and another takes its sessions.
        """
        make = functools.partial(
            Batched,
            max_batch=max_batch,
            max_wait_ms=max_wait_ms,
            same_size=same_size,
            newest=newest,
            setup=setup,
            replicas=replicas,
        )
        return make if function is None else make(function)


batched = _Decorator()


def _set_up(setup: Callable[..., Any] | None, replica: int) -> Any:
    if setup is None:
        return None
    return setup(replica) if _takes_replica(setup) else setup()


def _takes_replica(setup: Callable[..., Any]) -> bool:
    """Whether its first parameter has no default, or is called ``replica``: others mean something
    else."""
    try:
        first = next(iter(inspect.signature(setup).parameters.values()), None)
    except ValueError:
        return False
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return (
        first is not None
        and first.kind in by_position
        and (first.default is inspect.Parameter.empty or first.name == "replica")
    )


def _signature(function: Callable[..., Any], name: str, made: bool) -> inspect.Signature:
    """What the function is called with for one item."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        # A builtin's: positional values, as many as are given.
        values = inspect.Parameter("values", inspect.Parameter.VAR_POSITIONAL)
        return inspect.Signature([values])
    parameters = list(signature.parameters.values())[int(made) :]
    if not parameters:
        what = "setup's model and " if made else ""
        raise TypeError(f"@batched: {name} takes no list: {what}a list of images at least")
    return signature.replace(parameters=parameters)


def _check(
    function: Any, name: str, max_batch: Any, max_wait_ms: Any, setup: Any, replicas: Any
) -> None:
    if not callable(function):
        raise TypeError(f"@batched is for a function, not for {_texts.type_name(function)}")
    if inspect.iscoroutinefunction(function) or _signatures.is_generator_function(function):
        raise TypeError(f"@batched: {name} is async or a generator; it must be a plain function")
    if setup is not None and not callable(setup):
        raise TypeError(f"@batched: setup is {_texts.type_name(setup)}, not a function")
    for what, value in (("max_batch", max_batch), ("replicas", replicas)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 256:
            raise ValueError(f"@batched: {what}={_texts.short(value)} is no number from 1 to 256")
    number = isinstance(max_wait_ms, int | float) and not isinstance(max_wait_ms, bool)
    if not number or not 0 <= max_wait_ms <= 1000:
        raise ValueError(
            f"@batched: max_wait_ms={_texts.short(max_wait_ms)} is no number from 0 to 1000"
        )
