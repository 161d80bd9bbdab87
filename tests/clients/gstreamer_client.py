"""A client of GStreamer's webrtcbin: offers to a gateway, and says what became of it, as JSON on one line."""

import argparse
import json
import time
import urllib.error
import urllib.request
import uuid

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

PATIENCE_S = 20
ENCODERS = {
    "VP8": "vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay pt=96",
    "H264": "x264enc tune=zerolatency speed-preset=ultrafast ! video/x-h264,profile=baseline"
    " ! rtph264pay pt=96 config-interval=-1",
}


class Client:
    def __init__(self, options):
        self.options, self.said = options, {"version": ".".join(map(str, Gst.version()[:3]))}
        self.loop, self.pictures, self.began = GLib.MainLoop(), 0, None
        audio = (
            "audiotestsrc is-live=true ! opusenc ! rtpopuspay pt=97"
            " ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! rtc. "
            if options.audio
            else ""
        )
        self.pipeline = Gst.parse_launch(
            f"webrtcbin name=rtc bundle-policy={options.bundle} {audio}"
            "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1"
            f" ! videoconvert ! {ENCODERS[options.codec]}"
            f" ! application/x-rtp,media=video,encoding-name={options.codec},payload=96 ! rtc."
        )
        self.rtc = self.pipeline.get_by_name("rtc")
        self.rtc.connect("on-negotiation-needed", self.offer)
        self.rtc.connect("notify::ice-gathering-state", self.gathered)
        self.rtc.connect("pad-added", self.show)

    def offer(self, rtc):
        def created(promise, *_):
            promise.wait()
            # The offer lives in the reply.
            reply = promise.get_reply()
            rtc.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

        rtc.emit("create-offer", None, Gst.Promise.new_with_change_func(created, None))

    def gathered(self, rtc, *_):
        if rtc.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            return
        sdp = rtc.get_property("local-description").sdp.as_text()
        body = {"sdp": sdp, "type": "offer", "webrtc_id": str(uuid.uuid4())}
        request = urllib.request.Request(
            self.options.url, json.dumps(body).encode(), {"content-type": "application/json"}
        )
        self.began = time.perf_counter()
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            answer = json.load(error)
        if answer.get("type") != "answer":
            self.said["refused"] = answer
            self.loop.quit()
            return
        _, parsed = GstSdp.SDPMessage.new_from_text(answer["sdp"])
        described = GstWebRTC.WebRTCSessionDescription.new(
            GstWebRTC.WebRTCSDPType.ANSWER, parsed
        )
        rtc.emit("set-remote-description", described, Gst.Promise.new())

    def show(self, _, pad):
        if pad.direction != Gst.PadDirection.SRC:
            return
        decode = Gst.parse_bin_from_description(
            "decodebin ! videoconvert ! fakesink name=shown signal-handoffs=true sync=false", True
        )
        decode.get_by_name("shown").connect("handoff", self.count)
        self.pipeline.add(decode)
        decode.sync_state_with_parent()
        pad.link(decode.sinkpads[0])

    def count(self, *_):
        self.pictures += 1
        if self.pictures == 1:
            self.said["first_picture_ms"] = round((time.perf_counter() - self.began) * 1000, 1)
        if self.pictures == 30:
            GLib.idle_add(self.loop.quit)

    def run(self):
        GLib.timeout_add_seconds(PATIENCE_S, self.loop.quit)
        self.pipeline.set_state(Gst.State.PLAYING)
        self.loop.run()
        self.said["pictures"] = self.pictures
        self.said["state"] = self.rtc.get_property("connection-state").value_nick
        self.pipeline.set_state(Gst.State.NULL)
        return self.said


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--url", required=True, help="where to offer")
parser.add_argument("--bundle", default="none", help="bundle-policy of webrtcbin")
parser.add_argument("--codec", default="VP8", choices=ENCODERS)
parser.add_argument("--audio", action="store_true", help="offer a microphone, too")
Gst.init(None)
print(json.dumps(Client(parser.parse_args()).run()))
