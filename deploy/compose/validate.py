#!/usr/bin/env python3
"""Whether the compose file is secure as shipped: what `docker compose config` says, on standard input.

    docker compose --profile monitoring config | validate.py
    docker compose --profile monitoring config | validate.py test

The second puts one fault after the other into it, and fails where one is not seen.
"""

import copy
import re
import sys

import yaml

# Which service stands in which networks. Who shares none does not reach each other.
NETWORKS = {
    "certificates": set(),
    "gateway": {"edge", "workers", "redis", "monitoring"},
    "worker": {"workers"},
    "redis": {"redis"},
    "prometheus": {"monitoring", "dashboards"},
    "grafana": {"dashboards"},
}
# Without a way out, and those in which not even the host has an address.
INTERNAL = {"workers", "redis", "monitoring"}
WITHOUT_HOST = {"workers", "redis"}
# What other machines may reach, of the gateway.
PUBLIC = {8080, 7000}
# It keeps its own database in its image's folders.
WRITES = {"grafana"}


def published(service):
    """Port of the container and address of the host, of each port that is published."""
    for port in service.get("ports", []):
        if isinstance(port, dict):
            yield int(port["target"]), port.get("host_ip", "")
        else:
            *host, _, target = port.split(":")
            yield int(target.split("/")[0]), host[0] if host else ""


def confined(services):
    for name, service in services.items():
        for limit in ("mem_limit", "pids_limit"):
            if not service.get(limit):
                yield f"{name}: no {limit}"
        if "nofile" not in service.get("ulimits", {}):
            yield f"{name}: no limit of descriptors"
        if service.get("cap_drop") != ["ALL"] or service.get("cap_add") or service.get("privileged"):
            yield f"{name}: has capabilities"
        if "no-new-privileges:true" not in service.get("security_opt", []):
            yield f"{name}: may gain rights"
        if not service.get("read_only") and name not in WRITES:
            yield f"{name}: may write to its root"


def closed(services, networks):
    for name, service in services.items():
        if set(service.get("networks") or []) != NETWORKS.get(name):
            yield f"{name}: is in other networks"
        if service.get("network_mode", "none") != "none":
            yield f"{name}: has its host's network"
        for target, host in published(service):
            if not (host.startswith("127.") or name == "gateway" and target in PUBLIC):
                yield f"{name}: everybody reaches port {target}"
    for network in INTERNAL:
        if not networks[network].get("internal"):
            yield f"network {network}: has a way out"
    for network in WITHOUT_HOST:
        if networks[network].get("driver_opts", {}).get("com.docker.network.bridge.inhibit_ipv4") != "true":
            yield f"network {network}: reaches the host"


def secret(services):
    for name, service in services.items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|SECRET|TOKEN", variable) and not variable.endswith("_FILE"):
                yield f"{name}: {variable} is no file"
            if re.search("://[^/]*@", str(value)):
                yield f"{name}: {variable} has a login in its address"
    gateway, redis = services["gateway"]["environment"], " ".join(services["redis"]["command"])
    if not gateway.get("REFRAME_REDIS", "").startswith("rediss://") or "REFRAME_REDIS_CA" not in gateway:
        yield "gateway: Redis without TLS"
    if gateway.get("REFRAME_AUTH", "none") == "none":
        yield "gateway: anybody may open a stream"
    if "--port 0" not in redis or "--tls-port" not in redis:
        yield "redis: listens without TLS"
    if "--aclfile" not in redis:
        yield "redis: takes everybody"
    for name in ("gateway", "worker"):
        if "REFRAME_CLUSTER_TLS_KEY" not in services[name]["environment"]:
            yield f"{name}: no certificate"
    mounted = {}
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume["source"] if isinstance(volume, dict) else volume.split(":")[0]
            if source.endswith("-certificates") and name != "certificates":
                mounted.setdefault(source, []).append(name)
    for source, names in mounted.items():
        if names != [source.removesuffix("-certificates")]:
            yield f"{source}: {names} see it"


def problems(project):
    services = project["services"]
    return [*confined(services), *closed(services, project["networks"]), *secret(services)]


# What is done to the file, and what must be said.
FAULTS = [
    (lambda all, nets: all["worker"].pop("mem_limit"), "worker: no mem_limit"),
    (lambda all, nets: all["redis"].pop("pids_limit"), "redis: no pids_limit"),
    (lambda all, nets: all["gateway"].pop("ulimits"), "gateway: no limit of descriptors"),
    (lambda all, nets: all["worker"].update(cap_add=["NET_RAW"]), "worker: has capabilities"),
    (lambda all, nets: all["worker"].pop("security_opt"), "worker: may gain rights"),
    (lambda all, nets: all["redis"].update(read_only=False), "redis: may write to its root"),
    (lambda all, nets: all["worker"].update(networks=["workers", "redis"]), "worker: is in other networks"),
    (lambda all, nets: all["worker"].update(network_mode="host"), "worker: has its host's network"),
    (lambda all, nets: all["gateway"]["ports"].append("9090:9090"), "gateway: everybody reaches port 9090"),
    (lambda all, nets: all["redis"].update(ports=[{"target": 6379, "published": 6379}]), "reaches port 6379"),
    (lambda all, nets: nets["workers"].update(internal=False), "network workers: has a way out"),
    (lambda all, nets: nets["redis"].pop("driver_opts"), "network redis: reaches the host"),
    (lambda all, nets: all["gateway"]["environment"].update(REFRAME_TURN_SECRET="s"), "is no file"),
    (lambda all, nets: all["gateway"]["environment"].update(REFRAME_REDIS="redis://redis:6379"), "without TLS"),
    (lambda all, nets: all["gateway"]["environment"].update(REFRAME_REDIS="rediss://:p@redis"), "has a login"),
    (lambda all, nets: all["gateway"]["environment"].update(REFRAME_AUTH="none"), "anybody may open"),
    (lambda all, nets: all["redis"].update(command=["redis-server"]), "redis: takes everybody"),
    (lambda all, nets: all["worker"]["environment"].pop("REFRAME_CLUSTER_TLS_KEY"), "worker: no certificate"),
    (lambda all, nets: all["worker"]["volumes"].append("gateway-certificates:/g"), "gateway-certificates: "),
]


def missed(project):
    for fault, told in FAULTS:
        other = copy.deepcopy(project)
        fault(other["services"], other["networks"])
        if not any(told in problem for problem in problems(other)):
            yield f"not seen: {told}"


def main():
    project = yaml.safe_load(sys.stdin)
    found = problems(project)
    if sys.argv[1:] == ["test"]:
        print(f"    {len(FAULTS)} faults")
        found += missed(project)
    for problem in found:
        print(f"    {problem}", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
