"""What an installed wheel must have. Run from a folder without the sources."""

import sys
from importlib.metadata import files, requires
from pathlib import Path

import reframe
from reframe import Stream

names = {str(file) for file in files("reframe-rtc") or ()}
wanted = {"reframe/py.typed", "reframe/_core.pyi", "reframe/_core.abi3.so"}
assert wanted <= names, f"missing in the wheel: {wanted - names}"
assert requires("reframe-rtc") == ["numpy>=1.24"], requires("reframe-rtc")
assert "site-packages" in Path(reframe.__file__).parts, reframe.__file__
assert repr(Stream(lambda image: image)) == "Stream(name='default', mode='send-receive')"
print(f"    {sys.version.split()[0]}: reframe {reframe.__version__} is whole")
