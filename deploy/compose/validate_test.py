#!/usr/bin/env python3
"""Whether validate.py sees what is wrong: the demo and production as `docker compose config` says them, which are
right, and each fault in turn.

    validate_test.py DEMO PRODUCTION
"""

import pathlib
import sys

import validate
import yaml

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))
from faults import missed, report  # noqa: E402

# What is done to the file, and what must be said.
FAULTS = [
    (lambda all, nets: all["worker"].pop("mem_limit"), "worker: no mem_limit"),
    (lambda all, nets: all["redis"].pop("pids_limit"), "redis: no pids_limit"),
    (lambda all, nets: all["proxy"].update(cpus=0.0), "proxy: no cpus"),
    (lambda all, nets: all["gateway-1"].pop("ulimits"), "gateway-1: no limit of descriptors"),
    (lambda all, nets: all["worker"].update(cap_add=["NET_RAW"]), "worker: has capabilities"),
    (lambda all, nets: all["worker"].pop("security_opt"), "worker: may gain rights"),
    (lambda all, nets: all["redis"].update(read_only=False), "redis: may write to its root"),
    (lambda all, nets: all["worker"].update(networks=["workers", "redis"]), "worker: is in other networks"),
    (lambda all, nets: all["proxy"].update(networks=["public", "edge"]), "proxy: is in other networks"),
    (lambda all, nets: all["worker"].update(network_mode="host"), "worker: has its host's network"),
    (lambda all, nets: all["gateway-2"]["ports"].append("9090:9090"), "gateway-2: everybody reaches port 9090"),
    (lambda all, nets: all["gateway-1"]["ports"].append("8080:8080"), "gateway-1: everybody reaches port 8080"),
    (lambda all, nets: all["redis"].update(ports=[{"target": 6379, "published": 6379}]), "reaches port 6379"),
    (lambda all, nets: all["proxy"].pop("sysctls"), "proxy: is a way from one network to another"),
    (lambda all, nets: nets["workers"].update(internal=False), "network workers: has a way out"),
    (lambda all, nets: nets["front"].update(internal=False), "network front: has a way out"),
    (lambda all, nets: nets["public"].pop("driver_opts"), "network public: has a way out"),
    (lambda all, nets: nets["redis"].pop("driver_opts"), "network redis: reaches the host"),
    (lambda all, nets: nets["peers"].pop("driver_opts"), "network peers: reaches the host"),
    (lambda all, nets: all.pop("gateway-2"), "one gateway alone"),
    (lambda all, nets: all["gateway-2"].update(ports=all["gateway-1"]["ports"]), "gateway-2: tells browsers port"),
    (lambda all, nets: all["gateway-2"]["ports"].pop(), "gateway-2: tells browsers port"),
    (lambda all, nets: all.update({"gateway-3": all["gateway-2"]}), "have the same media port"),
    (lambda all, nets: all["gateway-2"].update(mem_limit="3g"), "gateway-2: is not as the other gateways"),
    (lambda all, nets: all["gateway-1"]["environment"].update(REFRAME_TURN_SECRET="s"), "is no file"),
    (lambda all, nets: all["gateway-1"]["environment"].update(REFRAME_REDIS="redis://redis:6379"), "without TLS"),
    (lambda all, nets: all["gateway-1"]["environment"].update(REFRAME_REDIS="rediss://:p@redis"), "has a login"),
    (lambda all, nets: all["gateway-2"]["environment"].update(REFRAME_AUTH="none"), "anybody may open"),
    (lambda all, nets: all["gateway-1"]["environment"].update(REFRAME_AUTH="proxy"), "nobody may open"),
    (lambda all, nets: all["redis"].update(command=["redis-server"]), "redis: takes everybody"),
    (lambda all, nets: all["worker"]["environment"].pop("REFRAME_CLUSTER_TLS_KEY"), "worker: no certificate"),
    (lambda all, nets: all["worker"]["environment"].update(REFRAME_CLUSTER_TLS="prefer"), "without a certificate"),
    (lambda all, nets: all["worker"]["volumes"].append("gateway-certificates:/g"), "worker: sees the files of gateway"),
    (lambda all, nets: all["redis"]["volumes"].append("/etc/reframe/worker:/w"), "redis: sees the files of worker"),
    (lambda all, nets: all["worker"].update(volumes=["/etc/reframe:/certificates"]), "sees the files of everybody"),
]
# The same, of what production.yml changes.
DIFFERENCES = [
    (lambda all, nets: all["worker"].update(mem_limit="9g"), "worker: another mem_limit"),
    (lambda all, nets: all["gateway-1"]["environment"].update(REFRAME_AUTH="proxy"), "gateway-1: another environment"),
    (lambda all, nets: all["proxy"]["ports"].append("80:8080"), "proxy: another ports"),
    (lambda all, nets: all["redis"]["networks"].update(public=None), "redis: another networks"),
    (lambda all, nets: nets["workers"].update(internal=False), "other networks than in the demo"),
    (lambda all, nets: all["proxy"].update(command=["haproxy"]), "proxy: no https"),
    (lambda all, nets: all["redis"]["volumes"].append("redis-certificates:/c"), "redis: has the demo's secrets"),
]


def of_project(faults):
    """The same faults, of a whole project."""
    return [
        (lambda project, fault=fault: fault(project["services"], project["networks"]), told) for fault, told in faults
    ]


def main():
    demo, production = (yaml.safe_load(pathlib.Path(name).read_text()) for name in sys.argv[1:])
    found = [
        *missed(demo, of_project(FAULTS), validate.problems),
        *missed(production, of_project(DIFFERENCES), lambda other: validate.differences(other, demo)),
    ]
    return report(f"{len(FAULTS) + len(DIFFERENCES)} faults", found)


if __name__ == "__main__":
    sys.exit(main())
