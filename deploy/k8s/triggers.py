#!/usr/bin/env python3
"""How many workers each trigger of a ScaledObject wants, as Prometheus rules that promtool can test.

    kubectl kustomize OVERLAY | triggers.py

A rule is named `workers:` and the trigger's name. As KEDA does with AverageValue, it divides the query's value by the
threshold and rounds up."""

import json
import sys

import yaml


def main():
    rules = [
        {
            "record": f"workers:{trigger['name']}",
            "expr": f"ceil(({trigger['metadata']['query']}) / {trigger['metadata']['threshold']})",
        }
        for manifest in yaml.safe_load_all(sys.stdin)
        if manifest and manifest["kind"] == "ScaledObject"
        for trigger in manifest["spec"]["triggers"]
    ]
    # JSON, which is YAML too.
    print(json.dumps({"groups": [{"name": "triggers", "rules": rules}]}))


if __name__ == "__main__":
    main()
