"""What an installed wheel must have. Run from a folder without the sources."""

import sys
from importlib.metadata import files, requires
from pathlib import Path

import reframe
from reframe import Stream

# What OpenH264 writes into logs: in a library without symbols that is what tells that it is there.
H264 = b"[OpenH264]"

names = {str(file) for file in files("reframe-rtc") or ()}
wanted = {"reframe/py.typed", "reframe/_core.pyi", "reframe/_core.abi3.so"}
assert wanted <= names, f"missing in the wheel: {wanted - names}"
licenses = {Path(name).name for name in names if ".dist-info/licenses/" in name}
wanted = {"LICENSE-APACHE", "LICENSE-MIT", "libvpx.txt"}
h264 = not reframe.__version__.endswith("+vpx")
assert licenses == wanted | ({"openh264.txt"} if h264 else set()), licenses
assert requires("reframe-rtc") == ["numpy>=1.24"], requires("reframe-rtc")
assert "site-packages" in Path(reframe.__file__).parts, reframe.__file__
core = Path(reframe.__file__).with_name("_core.abi3.so").read_bytes()
assert (H264 in core) == h264, f"{reframe.__version__}: OpenH264 is in it: {H264 in core}"
assert repr(Stream(lambda image: image)) == "Stream(name='default', mode='send-receive')"
codecs = "VP8, VP9 and H.264" if h264 else "VP8 and VP9"
print(f"    {sys.version.split()[0]}: reframe {reframe.__version__} is whole, with {codecs}")
