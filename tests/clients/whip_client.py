"""A client of aiortc for WHIP and WHEP: says what became of it, as JSON on one line.

`--whip URL` sends a picture, `--whep URL` waits for one. It has no data channel, and trickles nothing: aiortc
gathers before it offers.
"""

import argparse
import asyncio
import json
import urllib.error
import urllib.parse
import urllib.request

import aiortc
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError

PATIENCE_S = 20


def send(method, url, body=None, headers=None):
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return response.status, {name.lower(): value for name, value in response.headers.items()}, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers.items()), error.read().decode()


async def run(options):
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    said = {"version": aiortc.__version__}
    shown = asyncio.get_running_loop().create_future()
    connected = asyncio.get_running_loop().create_future()

    @connection.on("connectionstatechange")
    def on_state():
        if connection.connectionState == "connected" and not connected.done():
            connected.set_result(None)

    @connection.on("track")
    def on_track(track):
        async def read():
            try:
                await track.recv()
                if not shown.done():
                    shown.set_result(None)
            except MediaStreamError:
                pass

        asyncio.ensure_future(read())

    if options.whip:
        connection.addTransceiver(VideoStreamTrack(), direction="sendonly")
    else:
        connection.addTransceiver("video", direction="recvonly")
    await connection.setLocalDescription(await connection.createOffer())
    url = options.whip or options.whep
    body = connection.localDescription.sdp.encode()
    loop = asyncio.get_running_loop()
    kind = {"content-type": "application/sdp"}
    status, headers, answer = await loop.run_in_executor(None, send, "POST", url, body, kind)
    said["status"] = status
    if status != 201:
        said["refused"] = answer
        return said
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    try:
        await asyncio.wait_for(connected if options.whip else shown, PATIENCE_S)
        await asyncio.sleep(options.stays)
        said["done"] = True
    except asyncio.TimeoutError:
        said["done"] = False
    resource = urllib.parse.urljoin(url, headers["location"])
    status, _, _ = await loop.run_in_executor(None, send, "DELETE", resource)
    said["deleted"] = status
    await connection.close()
    return said


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--whip", help="where to send")
parser.add_argument("--whep", help="where to watch")
parser.add_argument("--stays", type=float, default=1, help="seconds that it stays")
print(json.dumps(asyncio.run(run(parser.parse_args()))))
