"""The gateway beside an application that mounts a stream: the real one, in another interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from reframe import _core

pytest.importorskip("fastapi")
pytestmark = pytest.mark.skipif(not hasattr(_core, "__file__"), reason="no compiled half is here")

PROGRAM = """
import asyncio, json, os
from fastapi import FastAPI
from reframe import Stream, _mount

before = dict(os.environ)
stream = Stream(lambda image: image)
stream.mount(FastAPI(), "/video")
offer = {"webrtc_id": "0123456789abcdef", "type": "offer", "sdp": "none"}
answer = _mount._offer(stream.name, json.dumps(offer).encode(), None)
said = {"status": answer.status, "error": json.loads(answer.body)["meta"]["error"]}

async def outputs():
    # No such session: it ends, and is no error.
    return [each async for each in stream.output_stream("0123456789abcdef")]

said |= {"outputs": asyncio.run(outputs()), "tls": _mount._gateway.tls is not None}
print(json.dumps(said | {"same": dict(os.environ) == before}))
"""


@pytest.mark.parametrize("variables", [{}, {"REFRAME_TLS": "self-signed"}])
def test_the_environment_stays_the_programs(variables, tmp_path):
    environment = {name: v for name, v in os.environ.items() if not name.startswith("REFRAME_")}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=environment | variables | {"REFRAME_MEDIA": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout.splitlines()[-1])
    assert said.pop("error") == "invalid_offer"
    assert said == {"status": 400, "outputs": [], "tls": bool(variables), "same": True}
