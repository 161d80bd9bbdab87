"""Whether manifests are secure as shipped: rules that yield what is wrong."""

import ipaddress
import re

import pod_security
from manifests import NAME, environment, name, of_kind, pods

# Ports that are not for everybody: whose they are, and who may reach them.
INSIDE = {
    9090: ("reframe-gateway", {"reframe-gateway", "prometheus"}),
    9092: ("reframe-gateway", {"reframe-gateway"}),
    50051: ("reframe-worker", {"reframe-gateway"}),
    50052: ("reframe-worker", set()),
    6379: ("reframe-redis", {"reframe-gateway"}),
}
METADATA = ipaddress.ip_address("169.254.169.254")
# Who talks to nobody first.
SILENT = {"reframe-worker", "reframe-redis"}


def confined(manifests):
    """No process of a pod has more of its node than it needs."""
    for pod, template in pods(manifests):
        spec = template["spec"]
        context = spec.get("securityContext", {})
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            yield f"{pod}: runs as root, or as a user that only the image says"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{pod}: has a token of the cluster"
        for volume in spec.get("volumes", []):
            if "sizeLimit" not in volume.get("emptyDir", {"sizeLimit": None}):
                yield f"{pod}: the volume {volume['name']} may grow without a limit"
        for container in pod_security.containers(spec):
            here = f"{pod}/{container['name']}"
            context = container.get("securityContext", {})
            if not context.get("readOnlyRootFilesystem"):
                yield f"{here}: may write to its root"
            if context.get("capabilities", {}).get("add"):
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


def admitted(manifests):
    """Pods keep to the level of Pod Security that their namespace is labelled for: `restricted`, where it is not. Only
    gateways may have more, by their media port or by the node's network alone, in a namespace labelled for it."""
    labels = {}
    for namespace in of_kind(manifests, "Namespace"):
        labels |= namespace["metadata"].get("labels", {})
    level = labels.get("pod-security.kubernetes.io/enforce", "restricted")
    if level not in pod_security.LEVELS:
        yield f"Namespace: there is no level {level}"
        return
    for pod, template in pods(manifests):
        broken = set(pod_security.restricted(template))
        for field in pod_security.LEVELS[level](template):
            yield f"{pod}: {field} is not {level}"
        if level == "privileged" and not (pod == "reframe-gateway" and broken in ({"hostPort"}, {"hostNetwork"})):
            for field in broken:
                yield f"{pod}: {field} is not restricted, and needs not be in a namespace for `privileged`"


def secrets_are_files(manifests, elsewhere=frozenset()):
    """No secret in an environment, an argument or an address; and every one that is mounted is made by somebody."""
    for pod, template in pods(manifests):
        for container in pod_security.containers(template["spec"]):
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
    made = {name(secret) for secret in of_kind(manifests, "Secret")} | elsewhere
    made |= {certificate["spec"]["secretName"] for certificate in of_kind(manifests, "Certificate")}
    for pod, template in pods(manifests):
        for volume in template["spec"].get("volumes", []):
            if "secret" in volume and volume["secret"]["secretName"] not in made:
                yield f"{pod}: nobody makes the secret {volume['secret']['secretName']}"


def encrypted(manifests):
    """Gateways and workers by certificates, Redis by TLS and a user of its own."""
    for pod, template in pods(manifests):
        spec = template["spec"]
        for sidecar in spec.get("initContainers", []):
            listen = environment(sidecar).get("REFRAME_LISTEN")
            if listen and not listen.startswith("unix:"):
                yield f"{pod}/{sidecar['name']}: REFRAME_LISTEN is not a Unix socket"
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
    """Names of the pods that a rule is for, or networks; `*` for anybody."""
    for peer in rule.get(direction) or [{}]:
        if "ipBlock" in peer:
            cidr = peer["ipBlock"]["cidr"]
            yield "*" if cidr.endswith("/0") else cidr
            continue
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


def metadata(peer):
    """Whether a network has the address of a cloud's metadata server, which on GKE is a DNS server too."""
    block = peer.get("ipBlock", {})
    networks = [block["cidr"], *block.get("except", [])] if block else []
    inside = [METADATA in ipaddress.ip_network(network) for network in networks]
    return bool(inside) and inside[0] and not any(inside[1:])


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
    labels = {pod: template["metadata"]["labels"] for pod, template in pods(manifests)}
    # Network policies do not name pods in their node's network: they are the nodes.
    nodes = any(template["spec"].get("hostNetwork") for _, template in pods(manifests))
    closed_pods = set()
    for policy in policies:
        wanted = policy["podSelector"].get("matchLabels", {}).items()
        selected = {pod for pod in labels if wanted <= labels[pod].items()}
        closed_pods |= selected if policy["podSelector"] else set()
        of = ", ".join(selected) if wanted else None
        for rule in policy.get("ingress") or []:
            for port, (owner, allowed) in INSIDE.items():
                if owner in selected and covers(rule, port):
                    for peer in set(peers(rule, "from")) - allowed:
                        if not (nodes and "/" in peer):
                            yield f"NetworkPolicy of {of}: port {port} is open to {peer}"
        for rule in policy.get("egress") or []:
            if any(metadata(peer) for peer in rule.get("to") or []) and any(
                port.get("port") != 53 or port.get("endPort", 53) != 53 for port in rule.get("ports") or [{}]
            ):
                yield f"NetworkPolicy of {of}: a way to the metadata of the cloud"
            if selected & SILENT:
                yield f"NetworkPolicy of {of}: it has a way out"
            elif not rule.get("to") or not rule.get("ports"):
                yield f"NetworkPolicy of {of}: a way out to everybody, or to every port"
    for pod in labels.keys() - closed_pods:
        yield f"{pod}: no NetworkPolicy of its own"
