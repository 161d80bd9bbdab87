"""TURN credentials from services, by a server of our own in their place."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

import reframe
from reframe import _turn


@pytest.fixture
def service(monkeypatch):
    """Answers as it is told, and keeps what it is asked."""
    asked = []
    answer = [200, b'{"iceServers": []}']

    class Service(BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.command, self.path, self.headers["Authorization"], body))
            self.send_response(answer[0])
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(answer[1])

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    here = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(_turn, "FASTRTC_URL", f"{here}/fastrtc")
    monkeypatch.setattr(_turn, "CLOUDFLARE_URL", here + "/cloudflare/{}")
    monkeypatch.setattr(_turn, "TWILIO_URL", here + "/twilio/{}")
    for name in list(os.environ):
        if name.startswith(("HF_", "CLOUDFLARE_", "TWILIO_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    asked_and_answer = (asked, answer)
    yield asked_and_answer
    server.shutdown()
    thread.join()
    server.server_close()


def test_each_service_is_asked_as_it_wants(service, monkeypatch):
    asked, answer = service
    assert reframe.get_hf_turn_credentials("token", 60) == {"iceServers": []}
    reframe.get_turn_credentials(turn_key_id="key", turn_key_api_token="secret", ttl=60)
    monkeypatch.setenv("HF_TOKEN", "of the environment")
    asyncio.run(reframe.get_cloudflare_turn_credentials_async(client=object()))
    answer[1] = json.dumps({"ice_servers": [{"url": "turn:a", "urls": "turn:a"}]}).encode()
    assert reframe.get_turn_credentials("twilio", twilio_sid="sid", twilio_token="secret") == {
        "iceServers": [{"url": "turn:a", "urls": "turn:a"}],
        "iceTransportPolicy": "relay",
    }
    assert asked == [
        ("GET", "/fastrtc?ttl=60", "Bearer token", b""),
        ("POST", "/cloudflare/key", "Bearer secret", b'{"ttl": 60}'),
        ("GET", "/fastrtc?ttl=600", "Bearer of the environment", b""),
        ("POST", "/twilio/sid", "Basic c2lkOnNlY3JldA==", b""),
    ]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((403, b"no such token"), "403 no such token"),
        ((302, b""), "no TURN credentials from 127.0.0.1:[0-9]+: 302"),
        ((200, b"<html>"), "no TURN credentials from 127.0.0.1"),
        ((200, b"[]"), r"it answers \[\]"),
    ],
)
def test_a_service_that_does_not_help(service, answer, says):
    service[1][:] = answer
    with pytest.raises(RuntimeError, match=says) as error:
        asyncio.run(reframe.get_turn_credentials_async("hf", token="secret"))
    assert "secret" not in str(error.value)


@pytest.mark.usefixtures("service")
def test_what_is_missing():
    with pytest.raises(ValueError, match="HF_TOKEN"):
        asyncio.run(reframe.get_hf_turn_credentials_async())
    with pytest.raises(ValueError, match="CLOUDFLARE_TURN_KEY_ID"):
        reframe.get_cloudflare_turn_credentials()
    with pytest.raises(ValueError, match="TWILIO_ACCOUNT_SID"):
        reframe.get_twilio_turn_credentials()
    with pytest.raises(ValueError, match="none of hf, twilio, cloudflare"):
        reframe.get_turn_credentials("other")
