#!/usr/bin/env python3
"""Whether the compose file is secure as shipped: what `docker compose config` says, on standard input.

    docker compose --profile monitoring config | validate.py
    docker compose … --file production.yml … config | validate.py DEMO

The second compares it with the first one's input, in the file DEMO: they may differ by secrets and TLS alone.
validate_test.py tries whether faults are seen.
"""

import copy
import pathlib
import re
import sys

import yaml

# Which service is in which networks. Who shares none does not reach each other.
NETWORKS = {
    "certificates": set(),
    "proxy": {"public", "front"},
    "gateway": {"edge", "front", "peers", "workers", "redis", "monitoring"},
    "worker": {"workers"},
    "redis": {"redis"},
    "prometheus": {"monitoring", "dashboards"},
    "grafana": {"dashboards"},
}
# Without a way out; those of them in which not even the host has an address; and those for published ports alone.
INTERNAL = {"front", "peers", "workers", "redis", "monitoring"}
WITHOUT_HOST = {"front", "peers", "workers", "redis"}
PUBLISHED = {"public", "dashboards"}
# What other machines may reach.
PUBLIC = {"proxy": {8080, 8443}, "gateway": {7000}}
# It keeps its own database in its image's folders.
WRITES = {"grafana"}


def kind(name):
    """Gateways have numbers."""
    return "gateway" if re.fullmatch(r"gateway-\d+", name) else name


def published(service):
    """Of each published port: that of the container, the protocol, the host's port, and the host's address."""
    for port in service.get("ports", []):
        if isinstance(port, dict):
            yield int(port["target"]), port.get("protocol", "tcp"), str(port["published"]), port.get("host_ip", "")
        else:
            *host, outside, target = port.split(":")
            target, _, protocol = target.partition("/")
            yield int(target), protocol or "tcp", outside, host[0] if host else ""


def source(volume):
    return volume["source"] if isinstance(volume, dict) else volume.split(":")[0]


def confined(services):
    for name, service in services.items():
        for limit in ("mem_limit", "pids_limit", "cpus"):
            # Zero is no limit.
            if str(service.get(limit) or 0) in ("0", "0.0"):
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
        if set(service.get("networks") or []) != NETWORKS.get(kind(name)):
            yield f"{name}: is in other networks"
        if service.get("network_mode", "none") != "none":
            yield f"{name}: has its host's network"
        for target, _, _, host in published(service):
            if not (host.startswith("127.") or target in PUBLIC.get(kind(name), ())):
                yield f"{name}: everybody reaches port {target}"
        if kind(name) in PUBLIC and str((service.get("sysctls") or {}).get("net.ipv4.ip_forward")) != "0":
            yield f"{name}: is a way from one network to another"
    for network in INTERNAL:
        if not networks[network].get("internal"):
            yield f"network {network}: has a way out"
    for network in WITHOUT_HOST:
        if networks[network].get("driver_opts", {}).get("com.docker.network.bridge.inhibit_ipv4") != "true":
            yield f"network {network}: reaches the host"
    for network in PUBLISHED:
        if networks[network].get("driver_opts", {}).get("com.docker.network.bridge.enable_ip_masquerade") != "false":
            yield f"network {network}: has a way out"


def gateways(services):
    """Each has a media port of its own, by UDP and TCP, and tells it; nothing else is its own."""
    found = {name: service for name, service in services.items() if kind(name) == "gateway"}
    if len(found) < 2:
        yield "one gateway alone: nobody takes its place"
    taken, common = {}, {}
    for name, service in found.items():
        told = str(service["environment"].get("REFRAME_PUBLIC_PORT"))
        ports = {(protocol, outside) for target, protocol, outside, _ in published(service) if target == 7000}
        if ports != {("udp", told), ("tcp", told)}:
            yield f"{name}: tells browsers port {told}, which is not its own by UDP and TCP"
        taken.setdefault(told, []).append(name)
        rest = {key: value for key, value in service.items() if key != "ports"}
        rest["environment"] = {**service["environment"], "REFRAME_PUBLIC_PORT": None}
        common[name] = rest
    for told, names in taken.items():
        if len(names) > 1:
            yield f"{names}: have the same media port, {told}"
    first = next(iter(common.values()), None)
    for name, rest in common.items():
        if rest != first:
            yield f"{name}: is not as the other gateways"


def secret(services):
    for name, service in services.items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|SECRET|TOKEN", variable) and not variable.endswith("_FILE"):
                yield f"{name}: {variable} is no file"
            if re.search("://[^/]*@", str(value)):
                yield f"{name}: {variable} has a login in its address"
    for name, service in services.items():
        if kind(name) == "gateway":
            environment = service["environment"]
            redis = environment.get("REFRAME_REDIS", "")
            if not redis.startswith("rediss://") or "REFRAME_REDIS_CA" not in environment:
                yield f"{name}: Redis without TLS"
            if environment.get("REFRAME_AUTH", "none") == "none":
                yield f"{name}: anybody may open a stream"
            # The proxy signs nobody in, and takes away the header that would name somebody.
            if environment.get("REFRAME_AUTH") == "proxy":
                yield f"{name}: nobody may open a stream"
        if kind(name) in ("gateway", "worker"):
            if "REFRAME_CLUSTER_TLS_KEY" not in service["environment"]:
                yield f"{name}: no certificate"
            if service["environment"].get("REFRAME_CLUSTER_TLS") != "required":
                yield f"{name}: takes others without a certificate"
    redis = " ".join(services["redis"]["command"])
    if "--port 0" not in redis or "--tls-port" not in redis:
        yield "redis: listens without TLS"
    if "--aclfile" not in redis:
        yield "redis: takes everybody"
    for name, service in services.items():
        if name == "certificates":
            continue
        for volume in service.get("volumes", []):
            # A named volume of the demo, or a folder of the host's.
            owner = re.search(r"(\w+)-certificates$|/(gateway|worker|redis|proxy)$", source(volume))
            inside = volume["target"] if isinstance(volume, dict) else volume.split(":")[1]
            if inside.startswith("/certificates") and not owner:
                yield f"{name}: sees the files of everybody"
            if owner and inside != "/etc/reframe" and kind(name) != (owner[1] or owner[2]):
                yield f"{name}: sees the files of {owner[1] or owner[2]}"


def problems(project):
    services = project["services"]
    return [
        *confined(services),
        *closed(services, project["networks"]),
        *gateways(services),
        *secret(services),
    ]


def without_secrets(project):
    """What production.yml may not change."""
    project = copy.deepcopy(project)
    for name, service in project["services"].items():
        service["networks"] = sorted(service.get("networks") or [])
        kept = (volume for volume in service.get("volumes", []) if "certificates" not in str(volume))
        service["volumes"] = sorted(map(str, kept))
        if kind(name) == "gateway":
            for variable in ("REFRAME_ALLOWED_HOSTS", "REFRAME_PUBLIC_IP"):
                service["environment"].pop(variable)
        if name == "proxy":
            service["command"] = [part.replace("https.cfg", "http.cfg") for part in service["command"]]
            service["ports"] = [port for port in published(service) if port[0] != 8443]
    return project["services"]


def differences(project, demo):
    ours, theirs = without_secrets(project), without_secrets(demo)
    for name in sorted({*ours, *theirs}):
        one, other = ours.get(name, {}), theirs.get(name, {})
        for key in sorted({*one, *other}):
            if one.get(key) != other.get(key):
                yield f"{name}: another {key} than in the demo"
    if project["networks"] != demo["networks"]:
        yield "other networks than in the demo"
    if "/etc/reframe/https.cfg" not in project["services"]["proxy"]["command"]:
        yield "proxy: no https"
    for name, service in project["services"].items():
        if any(source(volume).endswith("-certificates") for volume in service.get("volumes", [])):
            yield f"{name}: has the demo's secrets"


def main():
    project = yaml.safe_load(sys.stdin)
    found = problems(project)
    match sys.argv[1:]:
        case []:
            pass
        case [demo]:
            found += differences(project, yaml.safe_load(pathlib.Path(demo).read_text()))
        case _:
            sys.exit(__doc__)
    for problem in found:
        print(f"    {problem}", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
