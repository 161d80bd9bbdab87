"""A client of aiortc: offers to a gateway, and says what became of it, as JSON on one line.

The stream is `flip`; what comes back is its own picture, upside down: dark below instead of above.
"""

import argparse
import asyncio
import json
import time
import urllib.request
import uuid

import aiortc
import numpy
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError
from av import VideoFrame

WIDTH, HEIGHT = 320, 240
# Far more than a picture takes to come.
PATIENCE_S = 20


class HalfDark(VideoStreamTrack):
    """Dark above, bright below, at 30 fps."""

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        picture = numpy.full((HEIGHT, WIDTH, 3), 220, numpy.uint8)
        picture[: HEIGHT // 2] = 30
        frame = VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = pts, time_base
        return frame


def is_flipped(frame):
    grey = frame.to_ndarray(format="gray")
    return grey[: grey.shape[0] // 4].mean() > 150 > 100 > grey[-grey.shape[0] // 4 :].mean()


def post(url, body):
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        return json.load(error)


async def answer_of_itself(offer):
    """The same client in the server's place, which sends its own picture upside down."""
    server = RTCPeerConnection(RTCConfiguration(iceServers=[]))

    class Flipped(VideoStreamTrack):
        def __init__(self, source):
            super().__init__()
            self.source = source

        async def recv(self):
            frame = await self.source.recv()
            picture = frame.to_ndarray(format="rgb24")[::-1].copy()
            flipped = VideoFrame.from_ndarray(picture, format="rgb24")
            flipped.pts, flipped.time_base = frame.pts, frame.time_base
            return flipped

    @server.on("track")
    def on_track(track):
        if track.kind == "video":
            server.addTrack(Flipped(track))

    await server.setRemoteDescription(offer)
    await server.setLocalDescription(await server.createAnswer())
    return server, {"type": "answer", "sdp": server.localDescription.sdp}


async def run(options):
    configuration = RTCConfiguration(iceServers=[])
    if options.bundle:
        # Older versions have no such thing.
        configuration.bundlePolicy = aiortc.RTCBundlePolicy(options.bundle)
    connection = RTCPeerConnection(configuration)
    said = {"version": aiortc.__version__, "texts": []}
    if options.audio:
        connection.addTrack(AudioStreamTrack())
    for _ in range(options.videos):
        connection.addTrack(HalfDark())
    if options.data:
        channel = connection.createDataChannel("text")
        channel.on("message", lambda text: said["texts"].append(json.loads(text).get("type")))
    first = asyncio.get_running_loop().create_future()

    @connection.on("track")
    def on_track(track):
        async def read():
            try:
                while True:
                    frame = await track.recv()
                    if is_flipped(frame) and not first.done():
                        first.set_result(time.perf_counter())
            except MediaStreamError:
                pass

        if track.kind == "video":
            asyncio.ensure_future(read())

    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription
    began = time.perf_counter()
    server = None
    if options.url:
        body = {"sdp": offer.sdp, "type": offer.type, "webrtc_id": str(uuid.uuid4())}
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(None, post, options.url, body)
    else:
        server, answer = await answer_of_itself(offer)
    said["answered_ms"] = round((time.perf_counter() - began) * 1000, 1)
    if answer.get("type") != "answer":
        said["refused"] = answer
        return said
    await connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
    try:
        shown = await asyncio.wait_for(first, PATIENCE_S)
        said["first_picture_ms"] = round((shown - began) * 1000, 1)
    except asyncio.TimeoutError:
        said["first_picture_ms"] = None
    if options.data:
        # `stats` come once a second.
        deadline = time.perf_counter() + 5
        while not said["texts"] and time.perf_counter() < deadline:
            await asyncio.sleep(0.05)
    said["state"] = connection.connectionState
    await connection.close()
    if server:
        await server.close()
    return said


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--url", help="where to offer; without it the client answers itself")
parser.add_argument("--audio", action="store_true", help="offer a microphone, too")
parser.add_argument("--videos", type=int, default=1, help="offer so many cameras")
parser.add_argument("--bundle", help="the bundle policy; aiortc's default is balanced")
parser.add_argument("--data", action="store_true", help="open a data channel")
print(json.dumps(asyncio.run(run(parser.parse_args()))))
