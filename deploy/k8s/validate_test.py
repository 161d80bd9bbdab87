#!/usr/bin/env python3
"""Whether validate.py sees what is wrong: manifests on standard input that are right, and each fault in turn.

    kubectl kustomize OVERLAY | validate_test.py
"""

import contextlib
import copy
import sys

import validate
import yaml


def spec(manifests, kind, name):
    return next(each for each in manifests if each["kind"] == kind and validate.name(each) == name)["spec"]


def pod(manifests, name):
    return spec(manifests, "Deployment", name)["template"]["spec"]


def variables(manifests, name="reframe-gateway"):
    return pod(manifests, name)["containers"][0]["env"]


def say(manifests, variable, value, name="reframe-gateway"):
    for each in variables(manifests, name):
        if each["name"] == variable:
            each["value"] = value


def argument(manifests, old, new):
    container = pod(manifests, "reframe-redis")["containers"][0]
    container["args"] = [new if each == old else each for each in container["args"]]


def without(manifests, kind, name):
    manifests[:] = [each for each in manifests if (each["kind"], validate.name(each)) != (kind, name)]


def rule(manifests, policy, direction, number):
    return spec(manifests, "NetworkPolicy", policy)[direction][number]


def trigger(manifests, number):
    return spec(manifests, "ScaledObject", "reframe-worker")["triggers"][number]


def anybody(manifests, policy, number):
    rule(manifests, policy, "ingress", number).pop("from")


# What is done to the manifests, and a part of what must be said.
FAULTS = [
    (lambda all: pod(all, "reframe-worker").update(hostnetwork=True), "hostnetwork"),
    (lambda all: pod(all, "reframe-worker").update(hostNetwork=True), "hostNetwork"),
    (lambda all: pod(all, "reframe-worker")["securityContext"].pop("runAsUser"), "runs as root"),
    (lambda all: pod(all, "reframe-redis")["securityContext"].pop("seccompProfile"), "seccompProfile"),
    (lambda all: pod(all, "reframe-redis").pop("automountServiceAccountToken"), "token of the cluster"),
    (lambda all: pod(all, "reframe-redis")["containers"][0].pop("securityContext"), "may gain rights"),
    (lambda all: pod(all, "reframe-worker")["containers"][0]["securityContext"].update(
        capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]}), "has capabilities"),
    (lambda all: pod(all, "reframe-worker")["containers"][0]["resources"]["limits"].pop("memory"), "limits of memory"),
    (lambda all: pod(all, "reframe-gateway")["containers"][0]["resources"]["limits"].pop("ephemeral-storage"),
     "limits of ephemeral-storage"),
    (lambda all: variables(all).append({"name": "REFRAME_TURN_SECRET", "value": "s"}), "is no file"),
    (lambda all: say(all, "REFRAME_REDIS", "rediss://:p@reframe-redis:6379"), "login in its address"),
    (lambda all: argument(all, '--save ""', "--requirepass p"), "password in an argument"),
    (lambda all: without(all, "Secret", "reframe-redis-acl"), "nobody makes the secret reframe-redis-acl"),
    (lambda all: say(all, "REFRAME_CLUSTER_TLS", "off"), "reframe-gateway: REFRAME_CLUSTER_TLS"),
    (lambda all: say(all, "REFRAME_CLUSTER_TLS", "prefer", "reframe-worker"), "reframe-worker: REFRAME_CLUSTER_TLS"),
    (lambda all: say(all, "REFRAME_CLUSTER_TLS_KEY", "/tmp/key", "reframe-worker"), "`/tmp/key` is in no secret"),
    (lambda all: say(all, "REFRAME_REDIS", "redis://reframe-redis:6379"), "Redis without TLS"),
    (lambda all: say(all, "REFRAME_REDIS_USER", "default"), "without a user"),
    (lambda all: say(all, "REFRAME_REDIS_PASSWORD_FILE", ""), "is in no secret"),
    (lambda all: say(all, "REFRAME_AUTH", "none"), "anybody may open"),
    (lambda all: argument(all, "--port 0", "--port 6380"), "listens without TLS"),
    (lambda all: argument(all, "--aclfile /run/secrets/acl/users.acl", "--hz 10"), "is in no secret"),
    (lambda all: without(all, "NetworkPolicy", "default-deny"), "denies everything else"),
    (lambda all: without(all, "NetworkPolicy", "reframe-redis"), "reframe-redis: no NetworkPolicy"),
    (lambda all: anybody(all, "reframe-gateway", 1), "port 9090 is open to *"),
    (lambda all: anybody(all, "reframe-gateway", 2), "port 9092 is open to *"),
    (lambda all: anybody(all, "reframe-worker", 0), "port 50051 is open to *"),
    (lambda all: anybody(all, "reframe-redis", 0), "port 6379 is open to *"),
    (lambda all: rule(all, "reframe-gateway", "ingress", 1)["from"].append({"namespaceSelector": {}}), "9090"),
    (lambda all: rule(all, "reframe-gateway", "ingress", 0)["ports"].append({"protocol": "TCP", "port": 9092}), "9092"),
    (lambda all: rule(all, "reframe-gateway", "ingress", 0).pop("ports"), "port 9090 is open to *"),
    (lambda all: spec(all, "NetworkPolicy", "reframe-worker").update(egress=[{}]), "reframe-worker: it has a way out"),
    (lambda all: rule(all, "reframe-gateway", "egress", -1).pop("ports"), "a way out to everybody"),
    (lambda all: spec(all, "ScaledObject", "reframe-worker")["scaleTargetRef"].update(name="workers"),
     "no Deployment workers"),
    (lambda all: spec(all, "Deployment", "reframe-worker").update(replicas=4), "replicas beside"),
    (lambda all: trigger(all, 0)["metadata"].update(threshold="16"), "all 16 slots"),
    (lambda all: trigger(all, 1).update(metricType="Value"), "trigger model: not by worker"),
]


def problems(manifests):
    # Without what the schemas' rule prints.
    with contextlib.redirect_stdout(None):
        return [problem for check in validate.RULES for problem in check(manifests)]


def main():
    right = [manifest for manifest in yaml.safe_load_all(sys.stdin) if manifest]
    missed = [f"it is right: {problem}" for problem in problems(right)]
    for number, (fault, told) in enumerate(FAULTS):
        manifests = copy.deepcopy(right)
        fault(manifests)
        if manifests == right:
            missed.append(f"fault {number} changes nothing: {told}")
        elif not any(told in problem for problem in problems(manifests)):
            missed.append(f"not seen: {told}")
    print(f"    {len(FAULTS)} faults")
    for each in missed:
        print(f"    {each}", file=sys.stderr)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
