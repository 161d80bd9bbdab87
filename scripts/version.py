#!/usr/bin/env python3
"""Keeps the version in one place, `version` of [workspace.package] in Cargo.toml, wherever else it stands.

    scripts/version.py               # prints it
    scripts/version.py check         # each other place has the same one
    scripts/version.py set 0.2.0     # writes another one there, to Cargo.lock and to each other place

The Python package takes its own from Cargo.toml when it is built; images get theirs as a tag, by scripts/release.sh.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "Cargo.toml"
SOURCE = re.compile(r'(?<=^\[workspace\.package\]\n)(?P<before>(?:.+\n)*?version = ")(?P<version>[^"]+)', re.MULTILINE)
# What semver.org allows, without build metadata: a tag of an image has no `+`.
VERSION = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
ANY = r"(?P<version>[0-9][\w.-]*)"

# Files (a pattern of git's), what stands before the version there, and how often at least: a rule that finds nothing
# has gone blind.
PLACES = [
    ("Cargo.toml", r'^reframe-[a-z]+ = \{ path = "[\w/]+", version = "=', 5),
    ("Cargo.lock", r'^name = "reframe-[a-z]+"\nversion = "', 7),
    ("docs/openapi.json", r'"version": "', 2),
    # An image of ours in one line or in several, and no further than to the next image.
    ("deploy/**/kustomization.yaml", r"name: reframe-[a-z]+\b(?:(?!name: )[^#])*?newTag: [\"']?", 2),
    # The chart, of which an image's tag is `appVersion` unless a value says otherwise.
    ("deploy/**/Chart.yaml", r"^(?:version|appVersion): [\"']?", 2),
    ("deploy/examples/*", r"REFRAME_VERSION(?:=|: [\"']?)", 3),
]


def files(pattern):
    command = ["git", "ls-files", "--", f":(glob){pattern}"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in names.splitlines()]


def current():
    found = SOURCE.search(MANIFEST.read_text())
    if not found:
        sys.exit("Cargo.toml: [workspace.package] has no `version`")
    return found["version"]


def places():
    """Each place: its file, the match, and the file's text."""
    for pattern, before, least in PLACES:
        rule = re.compile(f"(?P<before>{before}){ANY}", re.MULTILINE)
        count = 0
        for path in files(pattern):
            text = path.read_text()
            for place in rule.finditer(text):
                count += 1
                yield path, place, text
        if count < least:
            sys.exit(f"{pattern}: {count} versions found where {least} were: mend PLACES in scripts/version.py")


def check():
    version = current()
    for path, place, text in places():
        if place["version"] != version:
            line = text.count("\n", 0, place.start("version")) + 1
            yield (
                f"{path.relative_to(ROOT)}:{line}: {place['version']}, and Cargo.toml has {version}; "
                f"`scripts/version.py set {version}` writes it there"
            )


def write(version):
    if not VERSION.fullmatch(version):
        sys.exit(f"{version}: not a version; give one like 0.2.0 or 0.2.0-rc.1")
    changed = {}
    for path, place, text in places():
        changed.setdefault(path, (text, []))[1].append(place.span("version"))
    for path, (text, spans) in changed.items():
        for start, end in sorted(spans, reverse=True):
            text = text[:start] + version + text[end:]
        path.write_text(text)
    text = MANIFEST.read_text()
    MANIFEST.write_text(SOURCE.sub(lambda found: found["before"] + version, text))


def main():
    match sys.argv[1:]:
        case []:
            print(current())
        case ["check"]:
            sys.exit("\n".join(check()) or None)
        case ["set", version]:
            write(version)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
