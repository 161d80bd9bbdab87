#!/usr/bin/env python3
"""Keeps the names of images in one file, images.txt, whatever uses them.

    deploy/images.py check           # every image in the tree is ours, or is in images.txt as it is there
    deploy/images.py write           # copies images.txt to where its images are used
    deploy/images.py pin             # asks the registry for the digest of each tag, fills images.txt, and writes
    deploy/images.py name redis      # prints one, for scripts

`pin` ends with 2, and changes nothing, where the registry cannot be reached.
"""

import json
import pathlib
import re
import subprocess
import sys
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIST = ROOT / "deploy/images.txt"
# Docker Hub: all of them are there.
TOKEN = "https://auth.docker.io/token?service=registry.docker.io&scope=repository:{}:pull"
MANIFEST = "https://registry-1.docker.io/v2/{}/manifests/{}"
# Of an image for several architectures, then of one.
KINDS = ", ".join([
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
])
# Seconds.
PATIENCE = 20

# Where an image stands: in Dockerfiles (also in scripts), in compose and Kubernetes, in commands.
PLACES = re.compile(
    r"(?P<before>^ARG +\w*IMAGE=|^FROM +(?:--platform=\S+ +)?|^\s*(?:- +)?image: +[\"']?(?:\$\{\w+:-)?"
    r"|^[^#\n]*\bdocker (?:pull|run|create)(?: +--?[\w=-]+)* +\"?)"
    r"(?P<image>[^\s}\"'`]+)",
    re.MULTILINE,
)
FILES = re.compile(r"(Dockerfile|\.ya?ml|\.sh|\.rs|\.md|\.env)$|^Makefile$")
# Built here (also by base-images.sh), a stage of the same file, nothing at all, a variable, or a value of the chart.
OURS = re.compile(
    r"reframe-(gateway|worker|wheel|handler-base)(:\w+)?$|reframe-local/\w+$|(source|tree|scratch)$|\$|\{\{"
)


def read():
    """Maps each image to its digest; `-` means that none is known."""
    lines = [line.split() for line in LIST.read_text().splitlines()]
    return {image: digest for image, digest in (line for line in lines if line and not line[0].startswith("#"))}


def whole(image, digest):
    return image if digest == "-" else f"{image}@{digest}"


def repository(image):
    return image.partition("@")[0].rpartition(":")[0]


def files():
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in names.splitlines() if FILES.search(name)]


def check(images):
    """What stands somewhere and is not in the list."""
    listed = {whole(*image) for image in images.items()}
    for path in files():
        text = path.read_text()
        for place in PLACES.finditer(text):
            image = place["image"]
            if image not in listed and not OURS.match(image):
                line = text.count("\n", 0, place.start("image")) + 1
                yield f"{path.relative_to(ROOT)}:{line}: `{image}` is not in deploy/images.txt"


def write(images):
    known = {repository(image): whole(image, digest) for image, digest in images.items()}
    for path in files():
        text = path.read_text()
        new = PLACES.sub(lambda place: place["before"] + known.get(repository(place["image"]), place["image"]), text)
        if new != text:
            path.write_text(new)
            print(f"{path.relative_to(ROOT)}: written")


def digest(image):
    name, _, tag = image.rpartition(":")
    name = name if "/" in name else f"library/{name}"
    with urllib.request.urlopen(TOKEN.format(name), timeout=PATIENCE) as answer:
        token = json.load(answer)["token"]
    headers = {"Authorization": f"Bearer {token}", "Accept": KINDS}
    request = urllib.request.Request(MANIFEST.format(name, tag), headers=headers, method="HEAD")
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        found = answer.headers["Docker-Content-Digest"] or ""
    if not re.fullmatch("sha256:[0-9a-f]{64}", found):
        raise ValueError(f"the registry says no digest of {image}")
    return found


def pin(images):
    try:
        pinned = {image: digest(image) for image in images}
    except (OSError, ValueError, KeyError) as error:
        print(f"NOT PINNED: no answer of the registry: {error}", file=sys.stderr)
        sys.exit(2)
    text = LIST.read_text()
    for image, found in pinned.items():
        text = re.sub(rf"^({re.escape(image)} +)\S+$", rf"\g<1>{found}", text, flags=re.MULTILINE)
    LIST.write_text(text)
    write(pinned)


def main():
    images = read()
    match sys.argv[1:]:
        case ["check"]:
            sys.exit("\n".join(check(images)) or None)
        case ["write"]:
            write(images)
        case ["pin"]:
            pin(images)
        case ["name", name] if name in map(repository, images):
            print(next(whole(*image) for image in images.items() if repository(image[0]) == name))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
