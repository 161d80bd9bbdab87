#!/usr/bin/env python3
"""Manifests on standard input: against the schemas of Kubernetes and of schemas/, strictly, and whether they are secure
as shipped.

    kubectl kustomize OVERLAY | validate.py [SECRET...]

A field that does not exist is an error, and so is each rule below that does not hold. SECRET is one that somebody else
makes; every other one that a pod mounts must be among the manifests.
"""

import sys

import running
import secure
import yaml
from schemas import schemas

RULES = [
    schemas, secure.confined, secure.admitted, secure.encrypted, secure.closed,
    running.in_order, running.patient, running.recovers, running.scaled,
]


def problems(manifests, elsewhere=frozenset()):
    found = [problem for rule in RULES for problem in rule(manifests)]
    return found + list(secure.secrets_are_files(manifests, elsewhere))


def main():
    manifests = [manifest for manifest in yaml.safe_load_all(sys.stdin) if manifest]
    found = problems(manifests, frozenset(sys.argv[1:]))
    for problem in found:
        print(f"    {problem}", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
