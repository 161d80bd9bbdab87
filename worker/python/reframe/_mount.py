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
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
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

MOST_SESSIONS = 4096
"""Whose tokens are kept; of more, the oldest are forgotten."""

_lock = threading.Lock()
_streams: dict[str, Stream] = {}
_tokens: dict[str, str] = {}
_gateway: Gateway | None = None


@dataclass(frozen=True)
class Gateway:
    """What runs beside the application."""

    address: Address
    tls: ssl.SSLContext | None

    def connect(self) -> http.client.HTTPConnection:
        host, port = self.address.connectable()
        if self.tls is None:
            return http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
        return http.client.HTTPSConnection(host, port, timeout=ANSWER_SECONDS, context=self.tls)


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

        # A page of another site can post anything else without the browser asking first.
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return Response("the body must be application/json", 415)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                return Response(f"the body has more than {MOST_BYTES} bytes", 413)
        client = request.client.host if request.client else None
        try:
            answer = await asyncio.to_thread(_offer, stream.name, body, client)
        except (OSError, http.client.HTTPException):
            return Response("the gateway has ended: start the application again", 503)
        return Response(answer.body, answer.status, answer.headers, "application/json")

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
    token = _tokens.get(webrtc_id)
    if token is None:
        raise WebRTCError(f"no session {webrtc_id!r} has begun here")
    body["session_token"] = token
    answer = _post(f"/{stream.name}/input_hook", json.dumps(body).encode(), {})
    told = json.loads(answer.body or b"{}")
    if answer.status >= 400 or told.get("status") == "failed":
        meta = told.get("meta", {})
        text = str(meta.get("message") or meta.get("error") or f"status {answer.status}")
        raise ValueError(text) if answer.status == 422 else WebRTCError(text)


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
            query = urlencode({"webrtc_id": webrtc_id, "session_token": _tokens.get(webrtc_id, "")})
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
        # Ends the thread's wait for the next line. The socket itself and not its TLS, which that
        # thread uses.
        with contextlib.suppress(OSError, TypeError):
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


@dataclass(frozen=True)
class Answer:
    """Of the gateway."""

    status: int
    headers: dict[str, str]
    body: bytes


def _offer(name: str, body: bytes, client: str | None) -> Answer:
    """Passes an offer or a candidate on. FastRTC's front-ends know no session token: for them it is
    kept here, as for an application its own rules say who may name a session."""
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    webrtc_id = told.get("webrtc_id") if isinstance(told, dict) else None
    token = _tokens.get(str(webrtc_id))
    is_further = isinstance(told, dict) and (
        told.get("type") == "ice-candidate" or told.get("renegotiate")
    )
    if token is not None and is_further and "session_token" not in told:
        body = json.dumps({**told, "session_token": token}).encode()
    # The gateway's limits for each client count by this address.
    headers = {} if client is None else {"X-Forwarded-For": client}
    answer = _post(f"/{name}/webrtc/offer", body, headers)
    if answer.status == 200 and not is_further and webrtc_id is not None:
        _remember(str(webrtc_id), answer.body)
    return answer


def _remember(webrtc_id: str, answer: bytes) -> None:
    given = json.loads(answer).get("session_token")
    if given is None:
        return
    with _lock:
        _tokens[webrtc_id] = given
        while len(_tokens) > MOST_SESSIONS:
            del _tokens[next(iter(_tokens))]


def _post(path: str, body: bytes, headers: dict[str, str]) -> Answer:
    connection = _connect()
    try:
        headers = {"Content-Type": "application/json", **headers}
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        kept = {
            name: value
            for name in ("Retry-After", "Cache-Control")
            if (value := answer.getheader(name)) is not None
        }
        return Answer(answer.status, kept, answer.read())
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
            # Of a mounted stream the application decides, and everybody else reaches no port.
            argv = ["launch", "--http", address.option(), "--admin", "127.0.0.1:0"]
            argv += ["--auth", "none", "--trusted-proxies", "127.0.0.1", "--processes", "1"]
            tls, stop = _tls(), _core.Stop()
            _launch.run_on_thread(list(_streams.values()), argv, address, stop)
            atexit.register(stop.set)
            _gateway = Gateway(address, tls)
        return _gateway.connect()


def _tls() -> ssl.SSLContext | None:
    """For a gateway that the program's environment gives a certificate. No option takes it away
    again, and the environment is the program's own, so https is spoken to this gateway too.

    Any certificate will do: it is for other names than this, and no other machine is asked.
    """
    if not any(os.environ.get(f"REFRAME_{option}") for option in ("TLS", "TLS_CERT")):
        return None
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
