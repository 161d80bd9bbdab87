#!/usr/bin/env python3
"""The queries of the dashboard. Without an argument: as Prometheus rules, whose syntax `promtool check rules` knows.
With the address of a Prometheus: each is asked, and the titles of those panels are printed that have no data. Exit code
1 when one is refused."""

import json
import pathlib
import sys
import urllib.error
import urllib.parse
import urllib.request

DASHBOARD = pathlib.Path(__file__).parent / "dashboards" / "reframe.json"
# What Grafana puts in place of its variables.
VARIABLES = {"$__rate_interval": "1m", "$namespace": ".*", "$gateway": ".*"}


def queries():
    """Pairs of a panel's title and a query of it."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for variable, value in VARIABLES.items():
                query = query.replace(variable, value)
            yield panel["title"], query


def rules():
    """JSON, which is YAML too."""
    recorded = [{"record": f"dashboard:query{n}", "expr": query} for n, (_, query) in enumerate(queries())]
    return json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]})


def ask(prometheus, query):
    """The number of series in the answer."""
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=10) as reply:
        result = json.load(reply)["data"]["result"]
    # A quantile of nothing is a series of NaN.
    return sum(series["value"][1] != "NaN" for series in result)


def main():
    if len(sys.argv) == 1:
        print(rules())
        return 0
    refused, found = False, {}
    for title, query in queries():
        try:
            found[title] = found.get(title, 0) + ask(sys.argv[1], query)
        except urllib.error.HTTPError as error:
            print(f"{title}: {query}: {error.read().decode()}", file=sys.stderr)
            refused = True
    for title, series in found.items():
        if series == 0:
            print(title)
    return int(refused)


if __name__ == "__main__":
    sys.exit(main())
