#!/usr/bin/env python3
"""Makes the chart's templates of what kustomize builds, so that there is one source of both.

    generate.py BUILT             # FOLDER of ../k8s/builds.py; writes templates/
    generate.py BUILT --check     # fails where a template is not what it would write

What a component changes alone on the base becomes a condition on its value. A component that is new needs a line in
COMPONENTS of parameters.py."""

import pathlib
import sys

from template import Template
from variants import Values, variants

TEMPLATES = pathlib.Path(__file__).resolve().parent / "templates"


def templates(built):
    """The text of each file."""
    found = variants(built)
    identities = dict.fromkeys(identity for objects in found.values() for identity in objects)
    for kind, name in identities:
        values = Values({variant: objects.get((kind, name)) for variant, objects in found.items()}, True)
        yield f"{kind.lower()}-{name}.yaml", Template((kind, name)).whole(values)


def main():
    built, check = pathlib.Path(sys.argv[1]), "--check" in sys.argv[2:]
    made = dict(templates(built))
    old = {file.name: file.read_text() for file in TEMPLATES.glob("*.yaml")}
    if check:
        wrong = sorted(name for name in old.keys() | made.keys() if old.get(name) != made.get(name))
        sys.exit(f"not current, run deploy/check.sh chart: {', '.join(wrong)}" if wrong else None)
    for name in old.keys() - made.keys():
        (TEMPLATES / name).unlink()
    for name, text in made.items():
        (TEMPLATES / name).write_text(text)


if __name__ == "__main__":
    main()
