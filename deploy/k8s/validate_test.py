#!/usr/bin/env python3
"""Whether validate.py sees what is wrong: manifests on standard input that are right, and each fault in turn.

    kubectl kustomize OVERLAY | validate_test.py
"""

import copy
import pathlib
import sys
import tempfile

import builds
import pod_security
import probes
import validate
import yaml
from manifests import name as name_of

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))
from faults import missed, report  # noqa: E402


def spec(manifests, kind, name):
    return next(each for each in manifests if each["kind"] == kind and name_of(each) == name)["spec"]


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
    manifests[:] = [each for each in manifests if (each["kind"], name_of(each)) != (kind, name)]


def rule(manifests, policy, direction, number):
    return spec(manifests, "NetworkPolicy", policy)[direction][number]


def trigger(manifests, number):
    return spec(manifests, "ScaledObject", "reframe-worker")["triggers"][number]


def anybody(manifests, policy, number):
    rule(manifests, policy, "ingress", number).pop("from")


def container(manifests, name="reframe-worker"):
    return pod(manifests, name)["containers"][0]


def labels(manifests):
    return next(each for each in manifests if each["kind"] == "Namespace")["metadata"]["labels"]


def scaled(manifests, name="reframe-worker"):
    return spec(manifests, "ScaledObject", name)


# What is done to the manifests, and a part of what must be said.
FAULTS = [
    (lambda all: pod(all, "reframe-worker").update(hostnetwork=True), "hostnetwork"),
    (lambda all: pod(all, "reframe-worker").update(hostNetwork=True), "hostNetwork"),
    (lambda all: pod(all, "reframe-worker")["securityContext"].pop("runAsUser"), "runs as root"),
    (lambda all: pod(all, "reframe-redis")["securityContext"].pop("seccompProfile"), "seccompProfile"),
    (lambda all: pod(all, "reframe-redis").pop("automountServiceAccountToken"), "token of the cluster"),
    (lambda all: pod(all, "reframe-redis")["containers"][0].pop("securityContext"), "allowPrivilegeEscalation"),
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
    (lambda all: rule(all, "reframe-worker", "ingress", 0)["ports"].append({"protocol": "TCP", "port": 50052}),
     "port 50052 is open to reframe-gateway"),
    (lambda all: rule(all, "reframe-gateway", "ingress", 1)["from"].append({"namespaceSelector": {}}), "9090"),
    (lambda all: rule(all, "reframe-gateway", "ingress", 0)["ports"].append({"protocol": "TCP", "port": 9092}), "9092"),
    (lambda all: rule(all, "reframe-gateway", "ingress", 0).pop("ports"), "port 9090 is open to *"),
    (lambda all: spec(all, "NetworkPolicy", "reframe-worker").update(egress=[{}]), "reframe-worker: it has a way out"),
    (lambda all: rule(all, "reframe-gateway", "egress", -1).pop("ports"), "a way out to everybody"),
    (lambda all: rule(all, "reframe-gateway", "egress", 0)["ports"].append({"protocol": "TCP", "port": 80}),
     "a way to the metadata"),
    (lambda all: rule(all, "reframe-gateway", "egress", -1)["to"][0]["ipBlock"].pop("except"), "a way to the metadata"),
    (lambda all: spec(all, "ScaledObject", "reframe-worker")["scaleTargetRef"].update(name="workers"),
     "no Deployment workers"),
    (lambda all: spec(all, "Deployment", "reframe-worker").update(replicas=4), "replicas beside"),
    (lambda all: trigger(all, 0)["metadata"].update(threshold="16"), "all 16 slots"),
    (lambda all: trigger(all, 1).update(metricType="Value"), "trigger model: not by worker"),
    (lambda all: trigger(all, 1)["metadata"].pop("ignoreNullValues"), "trigger model: no data counts as 0"),
    (lambda all: scaled(all, "reframe-gateway")["triggers"][0]["metadata"].update(ignoreNullValues="true"),
     "trigger load: no data counts as 0"),
    (lambda all: scaled(all)["fallback"].pop("behavior"), "reframe-worker: without data it takes replicas away"),
    (lambda all: scaled(all, "reframe-gateway").pop("fallback"), "reframe-gateway: without data"),
    (lambda all: scaled(all).update(maxReplicas=9), "ScaledObject reframe-worker: Additional properties"),
    (lambda all: scaled(all)["advanced"]["horizontalPodAutoscalerConfig"]["behavior"].update(scaledown={}),
     "ScaledObject reframe-worker: Additional properties"),
    (lambda all: scaled(all)["fallback"].update(behavior="never"),
     "ScaledObject reframe-worker: 'never' is not one of"),
    (lambda all: all.append({"apiVersion": "a/v1", "kind": "Other", "metadata": {"name": "x"}}), "nor in schemas/"),
    (lambda all: labels(all).pop("pod-security.kubernetes.io/enforce"), "reframe-gateway: hostPort is not restricted"),
    (lambda all: labels(all).update({"pod-security.kubernetes.io/enforce": "baseline"}), "hostPort is not baseline"),
    (lambda all: labels(all).update({"pod-security.kubernetes.io/enforce": "any"}), "there is no level any"),
    (lambda all: container(all)["ports"][0].update(hostPort=50051), "reframe-worker: hostPort is not restricted, and"),
    (lambda all: pod(all, "reframe-gateway").update(hostNetwork=True),
     "reframe-gateway: hostNetwork is not restricted"),
    (lambda all: pod(all, "reframe-gateway")["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
     "reframe-gateway: hostPath is not restricted"),
    (lambda all: pod(all, "reframe-worker")["volumes"].append({"name": "x", "emptyDir": {}}), "without a limit"),
    (lambda all: variables(all).append({"name": "REFRAME_PUBLIC_IP", "value": "192.0.2.1", "valueFrom": {
        "fieldRef": {"fieldPath": "status.hostIP"}}}), "REFRAME_PUBLIC_IP has a value and is taken from elsewhere"),
    (lambda all: variables(all).insert(0, {"name": "X", "value": "$(POD_IPS)"}),
     "X is made of POD_IPS, which does not"),
    (lambda all: spec(all, "PodDisruptionBudget", "reframe-worker").pop("unhealthyPodEvictionPolicy"),
     "PodDisruptionBudget reframe-worker: pods that are not ready"),
    (lambda all: pod(all, "reframe-redis").pop("tolerations"), "stays at a node that is unreachable"),
    (lambda all: container(all).pop("startupProbe"), "killed after 50 s, and its model takes 120 s"),
    (lambda all: container(all)["startupProbe"].update(failureThreshold=20), "killed after 95 s"),
    (lambda all: container(all)["startupProbe"].update(periodSeconds=90), "is ready after"),
    (lambda all: container(all)["resources"]["limits"].update({"nvidia.com/gpu": 1}), "takes 600 s to load"),
    (lambda all: spec(all, "Deployment", "reframe-worker").update(progressDeadlineSeconds=100),
     "a rollout fails before"),
    (lambda all: container(all).pop("livenessProbe"), "not killed when it hangs"),
    (lambda all: rule(all, "reframe-worker", "ingress", 0)["from"].append({"ipBlock": {"cidr": "10.0.0.0/8"}}),
     "port 50051 is open to 10.0.0.0/8"),
    (lambda all: pod(all, "reframe-gateway").update(initContainers=[{
        **container(all), "env": [{"name": "REFRAME_LISTEN", "value": "0.0.0.0:50051"}]}]), "is not a Unix socket"),
]

# What is done to a pod that keeps to `restricted`, and the field that is then not allowed by `baseline` and by
# `restricted` alone.
BASELINE = [
    (lambda pod, one: pod.update(hostNetwork=True), "hostNetwork"),
    (lambda pod, one: pod.update(hostPID=True), "hostPID"),
    (lambda pod, one: pod.update(hostIPC=True), "hostIPC"),
    (lambda pod, one: pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}}), "hostPath"),
    (lambda pod, one: pod["securityContext"].update(sysctls=[{"name": "net.core.rmem_max"}]),
     "sysctl net.core.rmem_max"),
    (lambda pod, one: one["securityContext"].update(windowsOptions={"hostProcess": True}), "hostProcess"),
    (lambda pod, one: one["securityContext"].update(privileged=True), "privileged"),
    (lambda pod, one: one["securityContext"]["capabilities"].update(add=["NET_ADMIN"]), "capability NET_ADMIN"),
    (lambda pod, one: one["securityContext"].update(appArmorProfile={"type": "Unconfined"}), "appArmorProfile"),
    (lambda pod, one: pod["securityContext"].update(seLinuxOptions={"type": "spc_t"}), "seLinuxOptions"),
    (lambda pod, one: pod["securityContext"].update(seLinuxOptions={"role": "any"}), "seLinuxOptions"),
    (lambda pod, one: one["securityContext"].update(procMount="Unmasked"), "procMount"),
    (lambda pod, one: one["securityContext"].update(seccompProfile={"type": "Unconfined"}), "seccompProfile"),
    (lambda pod, one: one["ports"].append({"containerPort": 1, "hostPort": 1}), "hostPort"),
    (lambda pod, one: one["livenessProbe"]["tcpSocket"].update(host="10.0.0.1"), "host of a probe"),
    (lambda pod, one: pod.update(initContainers=[{**one, "securityContext": {"privileged": True}}]), "privileged"),
]
RESTRICTED = [
    (lambda pod, one: pod["volumes"].append({"name": "x", "nfs": {"server": "x", "path": "/"}}), "volume nfs"),
    (lambda pod, one: one["securityContext"].update(runAsUser=0), "runAsUser"),
    (lambda pod, one: one["securityContext"].pop("allowPrivilegeEscalation"), "allowPrivilegeEscalation"),
    (lambda pod, one: one["securityContext"].update(runAsNonRoot=False), "runAsNonRoot"),
    (lambda pod, one: pod["securityContext"].pop("runAsNonRoot"), "runAsNonRoot"),
    (lambda pod, one: pod["securityContext"].pop("seccompProfile"), "seccompProfile"),
    (lambda pod, one: one["securityContext"]["capabilities"].pop("drop"), "capabilities"),
    (lambda pod, one: one["securityContext"]["capabilities"].update(add=["CHOWN"]), "capabilities"),
    (lambda pod, one: pod.update(initContainers=[{**one, "securityContext": {}}]), "allowPrivilegeEscalation"),
]


def levels(right):
    """Whether each field is seen at its level, and at no other."""
    template = spec(right, "Deployment", "reframe-worker")["template"]
    if list(pod_security.restricted(template)):
        yield "the workers do not keep to `restricted`"
    for level, faults in {"baseline": BASELINE, "restricted": RESTRICTED}.items():
        for number, (fault, field) in enumerate(faults):
            faulty = copy.deepcopy(template)
            fault(faulty["spec"], faulty["spec"]["containers"][0])
            if (field in pod_security.baseline(faulty)) != (level == "baseline"):
                yield f"{level} {number}: {field} at baseline"
            if field not in pod_security.restricted(faulty):
                yield f"{level} {number}: {field} is not seen at restricted"


# Probes, when the port opens and when it hangs; when it is ready and when it is killed.
TCP = {"periodSeconds": 10, "failureThreshold": 3}
TIMES = [
    ({"livenessProbe": TCP}, 0, 3600, (None, None)),
    ({"livenessProbe": TCP}, 120, 3600, (None, 20)),
    ({"livenessProbe": TCP | {"initialDelaySeconds": 101}}, 120, 3600, (None, None)),
    ({"livenessProbe": TCP | {"initialDelaySeconds": 99}}, 120, 3600, (None, 119)),
    ({"startupProbe": TCP | {"failureThreshold": 12}, "livenessProbe": TCP}, 120, 3600, (None, 110)),
    ({"startupProbe": TCP | {"failureThreshold": 13}, "livenessProbe": TCP}, 120, 3600, (None, None)),
    ({"startupProbe": TCP | {"failureThreshold": 13}, "livenessProbe": TCP}, 1, 50, (None, 70)),
    ({"readinessProbe": TCP}, 35, 3600, (40, None)),
    ({"startupProbe": TCP, "readinessProbe": TCP | {"initialDelaySeconds": 30}}, 5, 3600, (40, None)),
]


# What kubectl warns of, and what it does not build.
KUSTOMIZATIONS = [
    ("patchesStrategicMerge: [object.yaml]\n", "deprecated"),
    ("commonLabels: { a: b }\n", "deprecated"),
    ("resource: []\n", "unknown field"),
]


def warnings():
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "object.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: { name: a }\n")
        for text, told in KUSTOMIZATIONS:
            (pathlib.Path(folder) / "kustomization.yaml").write_text(f"resources: [object.yaml]\n{text}")
            try:
                builds.build(folder)
                yield f"builds: {text}"
            except ValueError as error:
                if told not in str(error):
                    yield f"{text}: {error}"


def timings():
    for number, (container, opens, hangs, told) in enumerate(TIMES):
        found = probes.simulate(container, opens, hangs)
        if found != told:
            yield f"timing {number}: ready and killed at {found}, not {told}"


def main():
    right = [manifest for manifest in yaml.safe_load_all(sys.stdin) if manifest]
    found = [*missed(right, FAULTS, validate.problems), *levels(right), *timings(), *warnings()]
    tried = f"{len(FAULTS)} faults, {len(BASELINE) + len(RESTRICTED)} of levels, {len(TIMES)} timings"
    return report(tried, found)


if __name__ == "__main__":
    sys.exit(main())
