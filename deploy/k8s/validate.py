#!/usr/bin/env python3
"""Manifests on standard input against Kubernetes' own schemas, strictly: a field that does not exist is an error."""

import sys

import kubernetes_validate
import yaml

# Custom resources, whose schemas come with their operators. Anything else without a schema is an error.
WITHOUT_SCHEMA = {"Certificate", "Issuer", "ScaledObject", "ServiceMonitor"}


def main():
    problems = 0
    for manifest in yaml.safe_load_all(sys.stdin):
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        if manifest["kind"] in WITHOUT_SCHEMA:
            print(f"    not validated, as its schema is an operator's: {name}")
            continue
        try:
            kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            print(f"    {name}: {error.message}", file=sys.stderr)
            problems += 1
    return int(problems > 0)


if __name__ == "__main__":
    sys.exit(main())
