"""``rtc_configuration``: the STUN and TURN servers that browsers are told of."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from reframe import _texts

_FIELDS = ("urls", "username", "credential")


def servers(configuration: Any) -> list[dict[str, Any]]:
    """The servers of an ``rtc_configuration``: a dict like ``{"iceServers": […]}``, or a function
    that returns one, also ``async``.

    Raises TypeError or ValueError when it is none, and whatever the function raises.
    """
    if callable(configuration):
        configuration = _called(configuration)
        warnings.warn(
            "rtc_configuration is a function, which is called once, at the start: when the "
            "credentials that it returns expire, new browsers cannot use the TURN server. Of a "
            "TURN server of your own, give the gateway the secret, and it makes credentials for "
            "each browser: --ice-servers turn:HOST:3478 --turn-secret-file FILE, or "
            "REFRAME_ICE_SERVERS and REFRAME_TURN_SECRET_FILE. Of a service, get credentials that "
            "last (ttl=…), and start the program again before they expire",
            stacklevel=2,
        )
    if configuration is None:
        return []
    if not isinstance(configuration, dict):
        raise TypeError(
            f"rtc_configuration is {_texts.type_name(configuration)}, not a dict like "
            '{"iceServers": [{"urls": "stun:host:3478"}]}'
        )
    if configuration.get("iceTransportPolicy") == "relay":
        warnings.warn(
            "rtc_configuration: iceTransportPolicy is not passed on, browsers also try the direct "
            "way",
            stacklevel=2,
        )
    given = configuration.get("iceServers") or []
    return [_server(server) for server in ([given] if isinstance(given, dict) else given)]


@contextlib.contextmanager
def option(given: Iterable[dict[str, Any]]) -> Iterator[list[str]]:
    """The command line's option for these servers. Credentials go through a file that nobody else
    may read, and that is removed at the end: everybody may list a process' arguments."""
    given = list(given)
    if not given:
        yield []
    elif any("credential" in server for server in given):
        descriptor, path = tempfile.mkstemp(prefix="reframe-ice-", suffix=".json")
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(given, file)
            yield ["--ice-servers", path]
        finally:
            os.unlink(path)
    else:
        urls = [url for server in given for url in _urls(server["urls"])]
        yield ["--ice-servers", ",".join(urls)]


def _server(given: Any) -> dict[str, Any]:
    # Programs in the wild have "url", as browsers once did.
    urls = given.get("urls", given.get("url")) if isinstance(given, dict) else None
    if not urls:
        raise ValueError(
            "rtc_configuration: a server is a dict like "
            '{"urls": "turn:host:3478", "username": …, "credential": …}'
        )
    server = {"urls": urls} | {name: given.get(name) for name in _FIELDS[1:]}
    return {name: value for name, value in server.items() if value is not None}


def _urls(urls: Any) -> list[str]:
    return [urls] if isinstance(urls, str) else list(urls)


def _called(function: Any) -> Any:
    """On a thread of its own, as a notebook's thread has an event loop already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_result, function).result()


def _result(function: Any) -> Any:
    # FastRTC also knows functions of a token and two more texts, of a page that has none here.
    needed = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    returned = function(*[None] * len(needed))
    return asyncio.run(_awaited(returned)) if inspect.isawaitable(returned) else returned


async def _awaited(returned: Any) -> Any:
    return await returned
