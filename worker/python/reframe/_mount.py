"""``stream.mount(app)``: the signalling of streams as routes of an author's own web application.

A gateway runs beside the application in the same process, on a free port of the loopback
interface. The application's routes pass requests on to it, so that the application's own rules
(sign-in, CORS) hold for them. Video does not go through the application: it goes to the gateway's
media port.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from reframe import _address, _core, _launch
from reframe._address import Address
from reframe._errors import AdditionalOutputs, WebRTCError

if TYPE_CHECKING:
    from reframe._stream import Stream

MOST_BYTES = 128 * 1024
"""Of a request's body: what the gateway takes."""

ANSWER_SECONDS = 30.0
"""How long the gateway may take for an answer; it needs milliseconds."""

WAITING_OUTPUTS = 64
"""Outputs that wait for a slow reader of ``output_stream``; the oldest is dropped for a newer."""

_lock = threading.Lock()
_streams: dict[str, Stream] = {}
_gateway: Address | None = None


def mount(stream: Stream, app: Any, path: str, tags: list[str] | None) -> None:
    """Adds ``POST {path}/webrtc/offer`` to a FastAPI or Starlette application.

    Raises TypeError for another kind of application, ValueError for a second stream of one name,
    and RuntimeError once the gateway runs, which it does from the first request on.
    """
    if not (hasattr(app, "add_route") and hasattr(app, "router")):
        raise TypeError(
            f"stream.mount(app): {type(app).__name__} is no FastAPI or Starlette application"
        )
    with _lock:
        if _gateway is not None:
            raise RuntimeError("stream.mount(app): mount every stream before the first request")
        if _streams.get(stream.name, stream) is not stream:
            raise ValueError(
                f"two mounted streams are named {stream.name!r}: Stream(…, name='another')"
            )
        _streams[stream.name] = stream

    async def offer(request: Any) -> Any:
        from starlette.responses import Response

        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                return Response(status_code=413)
        status, answer = await asyncio.to_thread(_post, f"/{stream.name}/webrtc/offer", body)
        return Response(answer, status, media_type="application/json")

    route = f"{path.rstrip('/')}/webrtc/offer"
    if hasattr(app, "add_api_route"):
        # Typed as FastAPI wants it, which makes a parameter of what it does not know.
        from starlette.requests import Request

        offer.__annotations__["request"] = Request
        app.add_api_route(route, offer, methods=["POST"], tags=tags, response_model=None)
    else:
        app.add_route(route, offer, methods=["POST"])


def set_input(stream: Stream, names: list[str], webrtc_id: str, args: tuple[Any, ...]) -> None:
    """Sets a session's inputs, in the order in which they are declared.

    FastRTC's own handlers get what they pass first as the frame, so programs pass something there:
    with one value too many the first is left out.

    Raises WebRTCError when there is no such session, ValueError for values that do not fit.
    """
    values = list(args[1:] if len(args) == len(names) + 1 else args)
    if len(values) != len(names):
        raise ValueError(f"set_input() has {len(values)} values for {len(names)} inputs: {names}")
    body = {"webrtc_id": webrtc_id, **dict(zip(names, values, strict=True))}
    status, answer = _post(f"/{stream.name}/input_hook", json.dumps(body).encode())
    told = json.loads(answer or b"{}")
    if status >= 400 or told.get("status") == "failed":
        meta = told.get("meta", {})
        text = str(meta.get("message") or meta.get("error") or f"status {status}")
        raise ValueError(text) if status == 422 else WebRTCError(text)


async def output_stream(
    stream: Stream, names: list[str], webrtc_id: str
) -> AsyncIterator[AdditionalOutputs]:
    """The outputs of a session, as its page is shown them, until it ends."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[AdditionalOutputs | None] = asyncio.Queue(WAITING_OUTPUTS)
    connection = await asyncio.to_thread(_connect)

    def put(outputs: AdditionalOutputs | None) -> None:
        if waiting.full():
            waiting.get_nowait()
        waiting.put_nowait(outputs)

    def read() -> None:
        try:
            query = urlencode({"webrtc_id": webrtc_id})
            connection.request("GET", f"/{stream.name}/updates?{query}")
            answer = connection.getresponse()
            event = b""
            for line in answer if answer.status == 200 else ():
                field, _, text = line.strip().partition(b":")
                if field == b"event":
                    event = text.strip()
                elif field == b"data" and event == b"outputs":
                    values = json.loads(text)
                    outputs = AdditionalOutputs(*(values[name] for name in names))
                    loop.call_soon_threadsafe(put, outputs)
                elif not field:
                    event = b""
        except (OSError, http.client.HTTPException, RuntimeError):
            pass  # The gateway has ended, the reader has left, or its event loop is closed.
        finally:
            connection.close()
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(put, None)

    thread = threading.Thread(target=read, name="reframe-outputs", daemon=True)
    thread.start()
    try:
        while (outputs := await waiting.get()) is not None:
            yield outputs
    finally:
        # Ends the thread's wait for the next line.
        with contextlib.suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _post(path: str, body: bytes) -> tuple[int, bytes]:
    connection = _connect()
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _connect() -> http.client.HTTPConnection:
    """To the gateway, which the first call starts.

    Raises RuntimeError when it does not start, or nothing is mounted.
    """
    global _gateway
    with _lock:
        if not _streams:
            raise RuntimeError("no stream is mounted: stream.mount(app) comes first")
        if _gateway is None:
            address = _address.address("127.0.0.1", 0)
            argv = ["launch", "--http", address.option(), "--admin", "127.0.0.1:0"]
            stop = _core.Stop()
            _launch.run_on_thread(list(_streams.values()), argv, address, stop)
            atexit.register(stop.set)
            _gateway = address
        host, port = _gateway.connectable()
    return http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
