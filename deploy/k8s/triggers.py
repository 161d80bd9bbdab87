#!/usr/bin/env python3
"""What each trigger of a ScaledObject wants, as Prometheus rules that promtool can test.

    kubectl kustomize OVERLAY | triggers.py

A rule is named after target and trigger: `workers:slots`, `gateways:load`. As KEDA and the autoscaler do with
AverageValue, it divides the query's value by the threshold and rounds up: so many. With Value it is the quotient: so
many times those there are."""

import json
import sys

import yaml


def expression(trigger):
    quotient = f"({trigger['metadata']['query']}) / {trigger['metadata']['threshold']}"
    return f"ceil({quotient})" if trigger["metricType"] == "AverageValue" else quotient


def main():
    rules = [
        {
            "record": f"{manifest['spec']['scaleTargetRef']['name'].removeprefix('reframe-')}s:{trigger['name']}",
            "expr": expression(trigger),
        }
        for manifest in yaml.safe_load_all(sys.stdin)
        if manifest and manifest["kind"] == "ScaledObject"
        for trigger in manifest["spec"]["triggers"]
    ]
    # JSON, which is YAML too.
    print(json.dumps({"groups": [{"name": "triggers", "rules": rules}]}))


if __name__ == "__main__":
    main()
