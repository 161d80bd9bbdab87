"""Takes offers of GStreamer's webrtcbin for this folder (packages: scripts/packages.sh test-clients):

    /usr/bin/python3 tests/corpus/offers/capture_gstreamer.py

Each becomes gstreamer-SCENE.sdp here.
"""

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstWebRTC  # noqa: E402
from capture import HERE, without_addresses  # noqa: E402

AUDIO = (
    "audiotestsrc is-live=true ! opusenc ! rtpopuspay pt=97"
    " ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! rtc. "
)
ENCODERS = {
    "vp8": ("vp8enc deadline=1 ! rtpvp8pay", "VP8"),
    "h264": ("x264enc tune=zerolatency ! video/x-h264,profile=baseline ! rtph264pay config-interval=-1", "H264"),
}
POLICIES = ["none", "balanced", "max-compat", "max-bundle"]


def video(codec, payload):
    encoder, name = ENCODERS[codec]
    return (
        "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 ! videoconvert"
        f" ! {encoder} pt={payload} ! application/x-rtp,media=video,encoding-name={name},payload={payload} ! rtc. "
    )


def take(policy, media, data):
    pipeline = Gst.parse_launch(f"webrtcbin name=rtc bundle-policy={policy} {media}")
    rtc, loop, taken = pipeline.get_by_name("rtc"), GLib.MainLoop(), []

    def created(promise, *_):
        promise.wait()
        reply = promise.get_reply()
        rtc.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

    def gathered(*_):
        if rtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            taken.append(rtc.get_property("local-description").sdp.as_text())
            loop.quit()

    rtc.connect(
        "on-negotiation-needed",
        lambda rtc: rtc.emit("create-offer", None, Gst.Promise.new_with_change_func(created, None)),
    )
    rtc.connect("notify::ice-gathering-state", gathered)
    GLib.timeout_add_seconds(10, loop.quit)
    if data:
        pipeline.set_state(Gst.State.READY)
        channel = rtc.emit("create-data-channel", "text", None)
        assert channel, "a data channel"
    pipeline.set_state(Gst.State.PLAYING)
    loop.run()
    pipeline.set_state(Gst.State.NULL)
    return without_addresses(taken[0])


Gst.init(None)
for policy in POLICIES:
    scenes = {f"{policy}-{codec}": (video(codec, 96), False) for codec in ENCODERS}
    scenes[f"{policy}-vp8-audio"] = (AUDIO + video("vp8", 96), False)
    scenes[f"{policy}-h264-audio-data"] = (AUDIO + video("h264", 96), True)
    for scene, (media, data) in scenes.items():
        (HERE / f"gstreamer-{scene}.sdp").write_bytes(take(policy, media, data).encode())
