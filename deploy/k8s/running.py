"""Whether pods start, stay and go as they should: rules that yield what is wrong."""

import re

import pod_security
import probes
from manifests import environment, name, of_kind, pods

# Seconds that a worker's model may take to load.
SLOW_MODEL = 120


def in_order(manifests):
    """A variable has one value, and what it is made of comes before it."""
    for pod, template in pods(manifests):
        for container in pod_security.containers(template["spec"]):
            known = set()
            for variable in container.get("env", []):
                here = f"{pod}/{container['name']}: {variable['name']}"
                if "value" in variable and "valueFrom" in variable:
                    yield f"{here} has a value and is taken from elsewhere"
                for used in set(re.findall(r"\$\((\w+)\)", variable.get("value", ""))) - known:
                    yield f"{here} is made of {used}, which does not come before it"
                known.add(variable["name"])


def patient(manifests):
    """A worker whose model takes its time is not killed, and one that hangs is."""
    for kind in ("Deployment", "StatefulSet"):
        for manifest in of_kind(manifests, kind):
            if name(manifest) != "reframe-worker":
                continue
            container = manifest["spec"]["template"]["spec"]["containers"][0]
            gpus = "nvidia.com/gpu" in container["resources"].get("limits", {})
            opens = 5 * SLOW_MODEL if gpus else SLOW_MODEL
            ready, killed = probes.simulate(container, opens)
            if killed is not None:
                yield f"reframe-worker: killed after {killed} s, and its model takes {opens} s to load"
            elif ready is None or ready > opens + 10:
                yield f"reframe-worker: serves after {opens} s and is ready after {ready} s"
            elif manifest["spec"].get("progressDeadlineSeconds", 600) <= opens + 10:
                yield f"reframe-worker: a rollout fails before a model of {opens} s is loaded"
            elif probes.simulate(container, 1, hangs=20)[1] is None:
                yield "reframe-worker: not killed when it hangs"


def recovers(manifests):
    """A lost or a drained node keeps nobody waiting."""
    for budget in of_kind(manifests, "PodDisruptionBudget"):
        if budget["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield f"PodDisruptionBudget {name(budget)}: pods that are not ready keep a node from being drained"
    for pod, template in pods(manifests):
        if pod == "reframe-redis":
            waits = {each["key"]: each.get("tolerationSeconds") for each in template["spec"].get("tolerations", [])}
            for condition in ("not-ready", "unreachable"):
                # Kubernetes' default.
                if (waits.get(f"node.kubernetes.io/{condition}") or 300) > 60:
                    yield f"{pod}: stays at a node that is {condition} for more than a minute"


def scaled(manifests):
    """What a ScaledObject says of its target is what the cluster does, and it takes no silence for idleness."""
    deployments = {name(manifest): manifest["spec"] for manifest in of_kind(manifests, "Deployment")}
    for scaled in of_kind(manifests, "ScaledObject"):
        target = scaled["spec"]["scaleTargetRef"]["name"]
        if target not in deployments:
            yield f"ScaledObject: there is no Deployment {target}"
            continue
        if deployments[target].get("replicas") is not None:
            yield f"{target}: a number of replicas beside the ScaledObject's"
        fallback = scaled["spec"].get("fallback", {})
        if fallback.get("behavior") != "currentReplicasIfHigher":
            yield f"ScaledObject {target}: without data it takes replicas away"
        triggers = {trigger.get("name"): trigger for trigger in scaled["spec"]["triggers"]}
        for of, trigger in triggers.items():
            if trigger["metadata"].get("ignoreNullValues") != "false":
                yield f"trigger {of}: no data counts as 0"
        if target != "reframe-worker":
            continue
        container = deployments[target]["template"]["spec"]["containers"][0]
        capacity = int(environment(container).get("REFRAME_CAPACITY", 0))
        for of, trigger in triggers.items():
            if trigger.get("metricType") != "AverageValue":
                yield f"trigger {of}: not by worker (AverageValue)"
        if "slots" not in triggers or float(triggers["slots"]["metadata"]["threshold"]) >= capacity:
            yield f"trigger slots: workers are added when all {capacity} slots of each are taken"
