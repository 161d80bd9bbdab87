#!/usr/bin/env python3
"""Manifests on standard input: against Kubernetes' own schemas, strictly, and whether they are secure as shipped.

    kubectl kustomize OVERLAY | validate.py [SECRET...]

A field that does not exist is an error, and so is each rule below that does not hold. SECRET is one that somebody else
makes; every other one that a pod mounts must be among the manifests.
"""

import re
import sys

import kubernetes_validate
import yaml

# Custom resources, whose schemas come with their operators. Anything else without a schema is an error.
WITHOUT_SCHEMA = {"Certificate", "Issuer", "PrometheusRule", "ScaledObject", "ServiceMonitor"}
# Ports that are not for everybody: whose they are, and who may reach them.
INSIDE = {
    9090: ("reframe-gateway", {"reframe-gateway", "prometheus"}),
    9092: ("reframe-gateway", {"reframe-gateway"}),
    50051: ("reframe-worker", {"reframe-gateway"}),
    6379: ("reframe-redis", {"reframe-gateway"}),
}
# Who talks to nobody first.
SILENT = {"reframe-worker", "reframe-redis"}
NAME = "app.kubernetes.io/name"


def name(manifest):
    return manifest["metadata"]["name"]


def of_kind(manifests, kind):
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pods(manifests):
    for manifest in of_kind(manifests, "Deployment"):
        yield name(manifest), manifest["spec"]["template"]


def environment(container):
    return {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}


def schemas(manifests):
    for manifest in manifests:
        if manifest["kind"] in WITHOUT_SCHEMA:
            print(f"    not validated, as its schema is an operator's: {manifest['kind']} {name(manifest)}")
            continue
        try:
            kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            yield f"{manifest['kind']} {name(manifest)}: {error.message}"


def confined(manifests):
    """No process of a pod has more of its node than it needs."""
    for pod, template in pods(manifests):
        spec = template["spec"]
        context = spec.get("securityContext", {})
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            yield f"{pod}: runs as root, or as a user that only the image says"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{pod}: no seccompProfile"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{pod}: has a token of the cluster"
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(field):
                yield f"{pod}: {field}"
        if any("hostPath" in volume for volume in spec.get("volumes", [])):
            yield f"{pod}: hostPath"
        for container in spec["containers"] + spec.get("initContainers", []):
            here = f"{pod}/{container['name']}"
            context = container.get("securityContext", {})
            if context.get("privileged") or context.get("allowPrivilegeEscalation") is not False:
                yield f"{here}: may gain rights"
            if not context.get("readOnlyRootFilesystem"):
                yield f"{here}: may write to its root"
            capabilities = context.get("capabilities", {})
            if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
                yield f"{here}: has capabilities"
            resources = container.get("resources", {})
            for kind, wanted in {
                "requests": ("cpu", "memory", "ephemeral-storage"),
                # No limit of CPU: throttling is jitter.
                "limits": ("memory", "ephemeral-storage"),
            }.items():
                for resource in wanted:
                    if resource not in resources.get(kind, {}):
                        yield f"{here}: no {kind} of {resource}"


def secrets_are_files(manifests):
    """No secret in an environment, an argument or an address; and every one that is mounted is made by somebody."""
    for pod, template in pods(manifests):
        for container in template["spec"]["containers"]:
            for variable in container.get("env", []):
                secret = re.search("PASSWORD|SECRET|TOKEN", variable["name"])
                if secret and not variable["name"].endswith("_FILE"):
                    yield f"{pod}: {variable['name']} is no file"
                if "secretKeyRef" in variable.get("valueFrom", {}):
                    yield f"{pod}: {variable['name']} is a secret in the environment"
                if re.search("://[^/]*@", variable.get("value", "")):
                    yield f"{pod}: {variable['name']} has a login in its address"
            for argument in container.get("args", []):
                if re.search("requirepass|://[^/]*@", argument):
                    yield f"{pod}: a password in an argument"
    made = {name(secret) for secret in of_kind(manifests, "Secret")} | set(sys.argv[1:])
    made |= {certificate["spec"]["secretName"] for certificate in of_kind(manifests, "Certificate")}
    for pod, template in pods(manifests):
        for volume in template["spec"].get("volumes", []):
            if "secret" in volume and volume["secret"]["secretName"] not in made:
                yield f"{pod}: nobody makes the secret {volume['secret']['secretName']}"


def encrypted(manifests):
    """Gateways and workers by certificates, Redis by TLS and a user of its own."""
    for pod, template in pods(manifests):
        spec = template["spec"]
        secret = {volume["name"] for volume in spec.get("volumes", []) if "secret" in volume}
        for container in spec["containers"]:
            mounts = [mount["mountPath"] for mount in container.get("volumeMounts", []) if mount["name"] in secret]
            files = []
            if pod in ("reframe-gateway", "reframe-worker"):
                variables = environment(container)
                if variables.get("REFRAME_CLUSTER_TLS") != "required":
                    yield f"{pod}: REFRAME_CLUSTER_TLS is not `required`"
                files += [variables.get(f"REFRAME_CLUSTER_TLS_{file}", "") for file in ("CA", "CERT", "KEY")]
            if pod == "reframe-gateway":
                if not variables.get("REFRAME_REDIS", "").startswith("rediss://"):
                    yield f"{pod}: Redis without TLS"
                if variables.get("REFRAME_REDIS_USER", "default") == "default":
                    yield f"{pod}: Redis without a user of its own"
                if variables.get("REFRAME_AUTH", "none") == "none":
                    yield f"{pod}: anybody may open a stream"
                files += [variables.get(f"REFRAME_{file}", "") for file in (
                    "REDIS_CA", "REDIS_PASSWORD_FILE", "AUTH_KEY_FILE", "CLUSTER_KEY_FILE", "ADMIN_TOKEN_FILE",
                )]
            if pod == "reframe-redis":
                options = dict(argument.split(" ", 1) for argument in container["args"] if " " in argument)
                if options.get("--port") != "0" or "--tls-port" not in options:
                    yield f"{pod}: listens without TLS"
                files += [options.get(file, "") for file in ("--aclfile", "--tls-cert-file", "--tls-key-file")]
            for file in files:
                if not any(file.startswith(f"{mount}/") for mount in mounts):
                    yield f"{pod}: `{file}` is in no secret that is mounted"


def peers(rule, direction):
    """Names of the pods that a rule is for; `*` for anybody."""
    for peer in rule.get(direction) or [{}]:
        pod = peer.get("podSelector", {}).get("matchLabels", {}).get(NAME)
        everywhere = "namespaceSelector" in peer and not peer["namespaceSelector"].get("matchLabels")
        yield pod if pod and not everywhere else "*"


def covers(rule, port):
    """Whether a rule is for a TCP port."""
    entries = rule.get("ports") or [{}]
    return any(
        entry.get("protocol", "TCP") == "TCP"
        and entry.get("port", port) <= port <= entry.get("endPort", entry.get("port", port))
        for entry in entries
    )


def closed(manifests):
    """Nothing gets in or out but what is named."""
    policies = [policy["spec"] for policy in of_kind(manifests, "NetworkPolicy")]
    both = {"Ingress", "Egress"}
    if not any(
        policy["podSelector"] == {} and set(policy["policyTypes"]) == both
        and not policy.get("ingress") and not policy.get("egress")
        for policy in policies
    ):
        yield "NetworkPolicy: none denies everything else"
    for policy in policies:
        of = policy["podSelector"].get("matchLabels", {}).get(NAME)
        for rule in policy.get("ingress") or []:
            for port, (owner, allowed) in INSIDE.items():
                if of in (owner, None) and covers(rule, port):
                    for peer in set(peers(rule, "from")) - allowed:
                        yield f"NetworkPolicy of {of}: port {port} is open to {peer}"
        for rule in policy.get("egress") or []:
            if of in SILENT:
                yield f"NetworkPolicy of {of}: it has a way out"
            elif not rule.get("to") or not rule.get("ports"):
                yield f"NetworkPolicy of {of}: a way out to everybody, or to every port"
    selected = {policy["podSelector"].get("matchLabels", {}).get(NAME) for policy in policies}
    for pod, template in pods(manifests):
        if template["metadata"]["labels"].get(NAME) not in selected:
            yield f"{pod}: no NetworkPolicy of its own"


def scaled(manifests):
    """What a ScaledObject says of its workers is what the cluster does."""
    deployments = {name(manifest): manifest["spec"] for manifest in of_kind(manifests, "Deployment")}
    for scaled in of_kind(manifests, "ScaledObject"):
        target = scaled["spec"]["scaleTargetRef"]["name"]
        if target not in deployments:
            yield f"ScaledObject: there is no Deployment {target}"
            continue
        if deployments[target].get("replicas") is not None:
            yield f"{target}: a number of replicas beside the ScaledObject's"
        container = deployments[target]["template"]["spec"]["containers"][0]
        capacity = int(environment(container).get("REFRAME_CAPACITY", 0))
        triggers = {trigger.get("name"): trigger for trigger in scaled["spec"]["triggers"]}
        for of, trigger in triggers.items():
            if trigger.get("metricType") != "AverageValue":
                yield f"trigger {of}: not by worker (AverageValue)"
        if "slots" not in triggers or float(triggers["slots"]["metadata"]["threshold"]) >= capacity:
            yield f"trigger slots: workers are added when all {capacity} slots of each are taken"


RULES = [schemas, confined, secrets_are_files, encrypted, closed, scaled]


def main():
    manifests = [manifest for manifest in yaml.safe_load_all(sys.stdin) if manifest]
    problems = [problem for rule in RULES for problem in rule(manifests)]
    for problem in problems:
        print(f"    {problem}", file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
