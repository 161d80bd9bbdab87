"""FastRTC with a function that turns the picture upside down, for `make bench BENCH="--only python"`."""

import socket

import numpy as np
import uvicorn
from fastapi import FastAPI
from fastrtc import Stream


def flip(image):
    return np.flip(image, axis=0)


stream = Stream(flip, modality="video", mode="send-receive", concurrency_limit=10)
app = FastAPI()
stream.mount(app)


@app.get("/")
def index():
    return "FastRTC"


listener = socket.create_server(("127.0.0.1", 0))
print(f"page http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
uvicorn.run(app, fd=listener.fileno(), log_level="warning")
