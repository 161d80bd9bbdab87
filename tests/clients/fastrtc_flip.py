"""FastRTC with a function that turns the picture upside down, for `make bench BENCH="--only python"`."""

import asyncio
import contextlib
import os
import socket
import time

import numpy as np
import uvicorn
from fastapi import FastAPI
from fastrtc import Stream, VideoStreamHandler


SECONDS = float(os.environ.get("HANDLER_SECONDS", "0"))


def flip(image):
    if SECONDS:
        time.sleep(SECONDS)
    return np.flip(image, axis=0)


handler = VideoStreamHandler(flip, skip_frames=True) if SECONDS else flip
stream = Stream(handler, modality="video", mode="send-receive", concurrency_limit=10)


async def set_inputs():
    """Until a session's input is set, FastRTC shows the camera as it is. The first is overwritten
    by the frame."""
    while True:
        for webrtc_id in list(stream.connections):
            stream.set_input(webrtc_id, None)
        await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def life(_):
    inputs = asyncio.create_task(set_inputs())
    yield
    inputs.cancel()


app = FastAPI(lifespan=life)
stream.mount(app)


@app.get("/")
def index():
    return "FastRTC"


listener = socket.create_server(("127.0.0.1", 0))
print(f"page http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
uvicorn.run(app, fd=listener.fileno(), log_level="warning")
