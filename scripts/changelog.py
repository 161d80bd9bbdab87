#!/usr/bin/env python3
"""Reads CHANGELOG.md, and turns what is unreleased into a version.

scripts/changelog.py check             # its form
scripts/changelog.py notes 0.2.0       # prints the section of a version, or of `Unreleased`
scripts/changelog.py release 0.2.0     # gives what is unreleased that number and today's date
"""

import datetime
import itertools
import pathlib
import re
import sys

FILE = pathlib.Path(__file__).resolve().parent.parent / "CHANGELOG.md"
UNRELEASED = "Unreleased"
# Keep a Changelog's, in the order in which they stand here.
KINDS = ["Changed", "Added", "Deprecated", "Removed", "Fixed", "Security"]
HEADING = re.compile(r"^## (?P<name>\S+)(?: - (?P<date>\d{4}-\d\d-\d\d))?$", re.MULTILINE)


def sections(text):
    """Name, date and text of each version, as they stand."""
    found = list(HEADING.finditer(text))
    ends = [heading.start() for heading in found[1:]] + [len(text)]
    for heading, end in zip(found, ends):
        yield heading["name"], heading["date"], text[heading.end() : end].strip()


def order(version):
    """As semver.org compares: 0.2.0-rc.1 is before 0.2.0."""
    numbers, _, early = version.partition("-")
    # Numbers are before words, and compared as numbers.
    parts = [(not part.isdigit(), part.zfill(9)) for part in early.split(".")]
    return [int(number) for number in numbers.split(".")], not early, parts


def check(text):
    unknown = [line for line in text.splitlines() if line.startswith("## ") and not HEADING.fullmatch(line)]
    if unknown:
        yield f"`{unknown[0]}`: a version's line is `## 0.2.0 - 2026-12-31`, or `## {UNRELEASED}`"
        return
    all_of_them = list(sections(text))
    if not all_of_them or all_of_them[0][0] != UNRELEASED:
        yield f"the first section must be `## {UNRELEASED}`"
        return
    versions = [(name, date) for name, date, _ in all_of_them[1:]]
    for name, date in versions:
        if not re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", name) or not date:
            yield f"`## {name}`: a version's line is `## 0.2.0 - 2026-12-31`"
            return
    for (newer, _), (older, _) in itertools.pairwise(versions):
        if order(newer) <= order(older):
            yield f"{newer} stands above {older}: the newest version is first"
    for name, _, body in all_of_them:
        kinds = re.findall(r"^### (.+)$", body, re.MULTILINE)
        if kinds != [kind for kind in KINDS if kind in kinds]:
            yield f"{name} has the headings {', '.join(kinds)}: each of {', '.join(KINDS)} once at most, in this order"


def notes(text, version):
    for name, _, body in sections(text):
        if name == version and body:
            return body
    sys.exit(f"CHANGELOG.md says nothing of {version}: `scripts/release.sh prepare VERSION` makes a section")


def release(text, version):
    names = [name for name, _, _ in sections(text)]
    if version in names:
        sys.exit(f"CHANGELOG.md has a section {version} already")
    if len(names) > 1 and order(version) <= order(names[1]):
        sys.exit(f"{version} is not newer than {names[1]}, the last one in CHANGELOG.md")
    notes(text, UNRELEASED)
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return text.replace(f"## {UNRELEASED}\n", f"## {UNRELEASED}\n\n## {version} - {today}\n", 1)


def main():
    text = FILE.read_text()
    match sys.argv[1:]:
        case ["check"]:
            sys.exit("\n".join(f"CHANGELOG.md: {fault}" for fault in check(text)) or None)
        case ["notes", version]:
            print(notes(text, version))
        case ["release", version]:
            FILE.write_text(release(text, version))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
