"""Takes offers of aiortc for this folder, by the interpreter of an environment that has it (scripts/clients.sh makes them):

    for version in 1.9.0 1.16.0; do target/clients/aiortc-$version/bin/python tests/corpus/offers/capture_aiortc.py; done

Each becomes aiortc-VERSION-SCENE.sdp here. Of versions that offer alike not every scene is kept.
"""

import asyncio

import aiortc
from aiortc import RTCConfiguration, RTCPeerConnection, VideoStreamTrack
from aiortc.mediastreams import AudioStreamTrack
from capture import HERE, without_addresses

SCENES = {
    "video": (),
    "video-data": ("data",),
    "video-audio-data": ("audio", "data"),
    "max-bundle-video-audio-data": ("audio", "data", "max-bundle"),
    "max-compat-video-audio-data": ("audio", "data", "max-compat"),
    "everything": ("audio", "data", "more"),
}


async def take(more):
    policy = next((what for what in more if what.startswith("max-")), None)
    # Versions before 1.12 have none, and are as "balanced".
    configuration = {"bundlePolicy": aiortc.RTCBundlePolicy(policy)} if policy else {}
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[], **configuration))
    if "audio" in more:
        connection.addTrack(AudioStreamTrack())
    connection.addTrack(VideoStreamTrack())
    if "more" in more:
        connection.addTransceiver("video")
    if "data" in more:
        connection.createDataChannel("text")
    await connection.setLocalDescription(await connection.createOffer())
    sdp = connection.localDescription.sdp
    await connection.close()
    return without_addresses(sdp)


for name, scene in SCENES.items():
    if name.startswith("max-") and not hasattr(aiortc, "RTCBundlePolicy"):
        continue
    path = HERE / f"aiortc-{aiortc.__version__}-{name}.sdp"
    path.write_bytes(asyncio.run(take(scene)).encode())
