"""A client of GStreamer's webrtcbin: offers to a gateway, and says what became of it, as JSON on one line.

The stream is `flip`; what comes back is its own picture, upside down: bright above instead of below.
"""

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

WIDTH, HEIGHT = 320, 240
# Far more than a picture takes to come.
PATIENCE_S = 20
GREY = f"video/x-raw,format=GRAY8,width={WIDTH},height={HEIGHT}"
ENCODERS = {
    "VP8": "vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay pt=96",
    "H264": "x264enc tune=zerolatency speed-preset=ultrafast ! video/x-h264,profile=baseline"
    " ! rtph264pay pt=96 config-interval=-1",
}


class Client:
    def __init__(self, options):
        self.options, self.said = options, {"version": ".".join(map(str, Gst.version()[:3]))}
        self.loop, self.pictures, self.began, self.offered = GLib.MainLoop(), 0, None, False
        audio = (
            "audiotestsrc is-live=true ! opusenc ! rtpopuspay pt=97"
            " ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! rtc. "
            if options.audio
            else ""
        )
        self.pipeline = Gst.parse_launch(
            f"webrtcbin name=rtc bundle-policy={options.bundle} "
            "videotestsrc pattern=gradient is-live=true"
            f" ! video/x-raw,width={WIDTH},height={HEIGHT},framerate=30/1"
            f" ! videoconvert ! {ENCODERS[options.codec]}"
            f" ! application/x-rtp,media=video,encoding-name={options.codec},payload=96 ! rtc. {audio}"
        )
        self.rtc = self.pipeline.get_by_name("rtc")
        self.rtc.connect("on-negotiation-needed", self.offer)
        self.rtc.connect("notify::ice-gathering-state", self.gathered)
        self.rtc.connect("pad-added", self.show)

    def offer(self, rtc):
        # Once. What is not taken makes it want to negotiate again, and 1.22 then ends with a failed
        # assertion (`sdp_media_from_transceiver`) where a section was refused.
        if self.offered:
            return
        self.offered = True

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
        # Without its pads: the decoder's output is not linked yet, and of two free inputs GStreamer would
        # take videoconvert's for the whole's.
        show = Gst.parse_bin_from_description(
            f"decodebin name=in ! videoconvert ! videoscale ! {GREY}"
            " ! fakesink name=shown signal-handoffs=true sync=false",
            False,
        )
        show.add_pad(Gst.GhostPad.new("sink", show.get_by_name("in").get_static_pad("sink")))
        show.get_by_name("shown").connect("handoff", self.shown)
        self.pipeline.add(show)
        show.sync_state_with_parent()
        # A pad that leads nowhere stops all that webrtcbin receives, also the checks that it must answer.
        linked = pad.link(show.get_static_pad("sink"))
        if linked != Gst.PadLinkReturn.OK:
            self.said["not_linked"] = linked.value_nick

    def shown(self, _, buffer, *__):
        picture = buffer.extract_dup(0, buffer.get_size())
        rows = len(picture) // 4
        if sum(picture[:rows]) < 1.5 * sum(picture[-rows:]):
            return
        self.pictures += 1
        now = time.perf_counter()
        self.said.setdefault("first_picture_ms", round((now - self.began) * 1000, 1))
        self.said["last_picture_s"] = round(now - self.began, 1)
        if self.pictures >= 30 and now - self.began >= self.options.seconds:
            GLib.idle_add(self.loop.quit)

    def run(self):
        GLib.timeout_add_seconds(PATIENCE_S + self.options.seconds, self.loop.quit)
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
parser.add_argument("--seconds", type=int, default=0, help="stay at least so long")
parser.add_argument("--audio", action="store_true", help="offer a microphone, too")
Gst.init(None)
print(json.dumps(Client(parser.parse_args()).run()))
