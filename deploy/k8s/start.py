#!/usr/bin/env python3
"""Starts what a build of builds.py says, with real programs and without a cluster: Redis, a worker and a gateway, with
the variables and arguments of their containers, in a network and a file system of their own. Needs root, Redis and the
programs' folder; half a minute.

    start.py BUILT PROGRAMS      # FOLDER of builds.py; FOLDER of reframe-gateway and reframe-worker

For IPv4, IPv6 and both: the gateway takes the worker and Redis by certificates, and each serves what its probes ask for
at each address."""

import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import pod_security
import yaml
from manifests import pods

# Builds, and the pod's addresses.
TRIED = [
    ("base", "10.9.0.5"),
    ("base", "fd00::5"),
    ("base", "10.9.0.5,fd00::5"),
    ("base+media_host-port", "10.9.0.5,fd00::5"),
    ("base+media_host-network", "10.9.0.5"),
    ("base+media_lb-per-pod", "10.9.0.5"),
    ("base+media_stunner", "10.9.0.5"),
    ("base+sidecar", "10.9.0.5"),
    ("base+zones", "10.9.0.5"),
    ("base+front_gke", "10.9.0.5"),
]
# Seconds until all is well.
PATIENCE = 20
# Files of `cluster-init`, where the Secrets of components/secrets have them.
FILES = {
    "access": {"auth.key": "auth.key", "session.key": "session.key", "admin.token": "admin.token"},
    "redis": {"password": "redis.password"},
    "acl": {"users.acl": "redis.acl"},
    **{f"{role}-tls": {"ca.crt": "ca.pem", "tls.crt": f"{role}.pem", "tls.key": f"{role}-key.pem"}
       for role in ("gateway", "worker", "redis")},
}


def variables(container, addresses):
    """What Kubernetes would set."""
    fields = {
        "status.podIPs": addresses, "status.hostIPs": addresses, "metadata.name": "reframe-gateway-0",
        # As before Kubernetes 1.35.
        "metadata.labels['topology.kubernetes.io/zone']": "",
    }
    known = {}
    for variable in container.get("env", []):
        value = variable.get("value")
        if value is None:
            value = fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
        for other, text in known.items():
            value = value.replace(f"$({other})", text)
        known[variable["name"]] = value
    return known


def secrets(programs, scratch):
    """Writes what pods mount; /run/secrets/cluster, another one for each role, is mounted when it starts."""
    subprocess.run([programs / "reframe-gateway", "cluster-init", scratch / "made"], check=True, capture_output=True)
    root = pathlib.Path("/run/secrets")
    root.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", root], check=True)
    for folder, files in FILES.items():
        (root / folder).mkdir()
        for file, made in files.items():
            shutil.copy(scratch / "made" / made, root / folder / file)
    (root / "cluster").mkdir()
    (root / "turn").mkdir()
    (root / "turn/secret").write_text("a secret of sixteen characters\n")


def network(addresses, scratch):
    """Loopback with the pod's addresses, and the names of Services."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in addresses.split(","):
        size = ["128", "nodad"] if ":" in address else ["32"]
        subprocess.run(["ip", "address", "add", f"{address}/{size[0]}", "dev", "lo", *size[1:]], check=True)
    names = "reframe-redis reframe-worker reframe-gateway-0.media.example.com"
    lines = ["127.0.0.1 localhost", *(f"{address} {names}" for address in addresses.split(","))]
    (scratch / "hosts").write_text("\n".join(lines) + "\n")
    subprocess.run(["mount", "--bind", scratch / "hosts", "/etc/hosts"], check=True)


def start(role, container, command, environment, scratch):
    """Starts a container's program with its pod's certificate in a file system of its own."""
    mount = f"mount --bind /run/secrets/{role}-tls /run/secrets/cluster && exec {shlex.join(map(str, command))}"
    log = (scratch / f"{role}-{container}.log").open("w")
    return subprocess.Popen(
        ["unshare", "--mount", "bash", "-c", mount], stdout=log, stderr=log,
        env={"PATH": os.environ["PATH"], **environment},
    )


def ask(address, port, path):
    host = f"[{address}]" if ":" in address else address
    try:
        with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=2) as answer:
            return answer.read().decode()
    except (OSError, urllib.error.URLError):
        return None


def missing(addresses, workers):
    """What is not as it must be yet."""
    for address in addresses.split(","):
        for port in (8080, 9090):
            for probe in ("/readyz", "/healthz"):
                if ask(address, port, probe) is None:
                    yield f"no {probe} at {address}, port {port}"
        for port in (50051, 50052):
            try:
                socket.create_connection((address, port), timeout=2).close()
            except OSError as error:
                yield f"the worker at {address}, port {port}: {error}"
    metrics = ask(addresses.split(",")[0], 9090, "/metrics") or ""
    for line in ("reframe_placement_up 1", f"reframe_workers_serving {workers}"):
        if f"\n{line}\n" not in metrics:
            yield f"the gateway's metrics do not have {line}"


def tried(file, addresses, programs):
    """Within a network of its own. Problems, with the logs."""
    containers = {
        pod: pod_security.containers(template["spec"])
        for pod, template in pods([each for each in yaml.safe_load_all(file.read_text()) if each])
    }
    # One with several addresses is one.
    workers = sum(each["name"] == "worker" for pod in containers.values() for each in pod)
    running = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        network(addresses, scratch)
        secrets(programs, scratch)
        try:
            for pod, role in (("reframe-redis", "redis"), ("reframe-worker", "worker"), ("reframe-gateway", "gateway")):
                # A sidecar comes first.
                for container in containers[pod]:
                    environment = variables(container, addresses)
                    program = programs / f"reframe-{container['name']}"
                    command = container.get("args") or [program, *(["serve"] if container["name"] == "worker" else [])]
                    if environment.get("REFRAME_LISTEN", "").startswith("unix:"):
                        pathlib.Path("/run/worker").mkdir(exist_ok=True)
                        subprocess.run(["mount", "-t", "tmpfs", "none", "/run/worker"], check=True)
                    running.append(start(role, container["name"], command, environment, scratch))
            deadline = time.monotonic() + PATIENCE
            while problems := list(missing(addresses, workers)):
                if time.monotonic() > deadline:
                    logs = "".join(f"--- {log.name}\n{log.read_text()}" for log in scratch.glob("*.log"))
                    return "\n".join([*problems, logs])
                time.sleep(0.2)
        finally:
            for process in running:
                process.kill()
                process.wait()
    return None


def main():
    built, programs = (pathlib.Path(each).resolve() for each in sys.argv[1:3])
    if len(sys.argv) > 3:
        problem = tried(built / f"{sys.argv[3]}.yaml", sys.argv[4], programs)
        sys.exit(problem)
    failed = False
    for name_of_build, addresses in TRIED:
        print(f"  {name_of_build} at {addresses}", flush=True)
        again = [sys.executable, __file__, built, programs, name_of_build, addresses]
        done = subprocess.run(["unshare", "--mount", "--net", *again], capture_output=True, text=True)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
