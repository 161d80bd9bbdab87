"""Takes offers of a browser for this folder: serves a page that makes them, and keeps what the page sends back.

    python3 tests/corpus/offers/capture.py chromium     # or firefox: started without a window, and ended
    python3 tests/corpus/offers/capture.py --serve NAME # any other: open the address that is printed in it, by hand

Each becomes NAME-SCENE.sdp here. What names a machine is replaced, its addresses by those for documentation (RFC 5737, RFC 3849).
Other clients' offers: `capture_aiortc.py`, `capture_gstreamer.py`, `capture_werift.mjs`.
"""

import http.server
import os
import pathlib
import re
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).parent
# From the start of a browser to its last offer.
PATIENCE = 120
BROWSERS = {
    "chromium": lambda profile: [
        "chromium", "--headless=new", "--no-sandbox", f"--user-data-dir={profile}",
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        "--auto-select-desktop-capture-source=Entire screen",
    ],
    "firefox": lambda profile: ["firefox-esr", "--headless", "--no-remote", "--profile", profile],
}
FIREFOX_PREFERENCES = """
user_pref("media.navigator.streams.fake", true);
user_pref("media.navigator.permission.disabled", true);
user_pref("media.peerconnection.ice.loopback", true);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
"""


def without_addresses(sdp):
    """The text, with addresses for documentation in place of the machine's, as long as the longest of theirs, and
    without its name (GStreamer's CNAME has it)."""
    sdp = re.sub(r"\b(?!0\.0\.0\.0|127\.0\.0\.1)\d{1,3}(\.\d{1,3}){3}\b", "192.0.2.123", sdp)
    sdp = re.sub(r"user(\d+)@host-[0-9a-f]+", r"user\1@host-01234567", sdp)
    # Only there: a fingerprint looks alike.
    with_address = ("o=", "c=", "a=rtcp:", "a=candidate:")
    ipv6 = re.compile(r"(?<= )(?!::1?\s)[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*(?=\s)")
    lines = sdp.splitlines(keepends=True)
    return "".join(
        ipv6.sub("2001:db8:1234:5678:9abc:def0:1234:5678", line) if line.startswith(with_address) else line
        for line in lines
    )


def server(name, done):
    """Serves the page, and writes what it posts."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            page = (HERE / "capture.html").read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            scene = self.path.strip("/")
            if scene == "done":
                print(f"{name}: {body}")
                done.set()
            elif re.fullmatch("[a-z-]+", scene):
                (HERE / f"{name}-{scene}.sdp").write_bytes(without_addresses(body).encode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

    return Server(("127.0.0.1", 0), Handler)


def main():
    by_hand = sys.argv[1:2] == ["--serve"]
    name = sys.argv[-1]
    if len(sys.argv) != 2 + by_hand or not (by_hand or name in BROWSERS):
        sys.exit(__doc__)
    done = threading.Event()
    serving = server(name, done)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{serving.server_address[1]}/"
    if by_hand:
        print(f"open {address}")
        done.wait()
        return
    profile = tempfile.mkdtemp()
    pathlib.Path(profile, "user.js").write_text(FIREFOX_PREFERENCES)
    browser = subprocess.Popen(
        [*BROWSERS[name](profile), address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": profile},
    )
    ended = done.wait(PATIENCE)
    browser.terminate()
    browser.wait()
    shutil.rmtree(profile, ignore_errors=True)
    if not ended:
        sys.exit(f"{name} made no offers within {PATIENCE} s")


if __name__ == "__main__":
    main()
