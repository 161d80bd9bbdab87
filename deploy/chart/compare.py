#!/usr/bin/env python3
"""Whether the chart lints, and makes the same objects as kustomize: of the base, of each overlay, and of all that
../k8s/builds.py has built.

    compare.py BUILT      # its FOLDER

Namespaces and Secrets are not in the chart. Lists whose items have a name are compared without their order, which means
something for variables alone: ../k8s/validate.py sees to that, of the chart too."""

import pathlib
import re
import sys

import helm_python
import variants
import yaml
from parameters import COMPONENTS

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "k8s"))
sys.path.append(str(HERE.parent))
import builds  # noqa: E402
import validate  # noqa: E402
from faults import missed, report  # noqa: E402

SMALL = {"requests": {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "64Mi"},
         "limits": {"memory": "2Gi", "ephemeral-storage": "256Mi"}}
PROD = {
    "gateway": {"image": "registry.example.com/reframe-gateway", "replicas": 3},
    "worker": {"image": "registry.example.com/reframe-worker", "replicas": 4},
    "media": "host-port", "front": "ingress", "monitoring": True,
}
OVERLAYS = {
    "overlays_dev": {
        "gateway": {"image": "reframe-gateway:dev", "replicas": 1, "resources": SMALL},
        "worker": {"image": "reframe-worker:dev", "replicas": 1, "resources": SMALL},
        "media": "host-port",
    },
    "overlays_prod": PROD,
    "overlays_keda": PROD | {"autoscale": {"workers": {"enabled": True}, "gateways": {"enabled": True}}},
}
# Changes to the base, and a part of the difference that must be seen: in a value, in a type, and of a whole object.
CHANGES = [
    ("maxUnavailable: 1", "maxUnavailable: 2", "maxUnavailable: kustomize has 2"),
    ('"7000"', "7000", "kustomize has 7000"),
    ("name: default-deny", "name: deny", "kustomize has None"),
]
# Values that must be refused, and a part of what must be said.
WRONG = [
    ({"media": "hostport"}, "media"),
    ({"replicas": 3}, "replicas"),
    ({"gateway": {"replica": 3}}, "replica"),
    ({"gateway": {"replicas": "3"}}, "replicas"),
    ({"gateway": {"env": {"REFRAME_GRACE": 15}}}, "REFRAME_GRACE"),
    ({"worker": {"capacity": 0}}, "capacity"),
    ({"host": "https://example.com/"}, "host"),
    ({"media": "lb-per-pod", "gateway": {"replicas": 4}}, "replicas"),
    ({"media": "lb-per-pod", "gateway": {"replicas": 2}}, "replicas"),
    ({"media": "lb-per-pod", "autoscale": {"gateways": {"enabled": True}}}, "enabled"),
    ({"autoscale": {"worker": {}}}, "worker"),
]


def values(name):
    """The values for a build: an overlay's, or those that its components' names say. None: the chart cannot say it."""
    if name in OVERLAYS:
        return OVERLAYS[name]
    result = {}
    for component in name.replace("_", "/").split("+")[1:]:
        if component in COMPONENTS:
            *parents, last = COMPONENTS[component][0].split(".")
            at = result
            for parent in parents:
                at = at.setdefault(parent, {})
            at[last] = COMPONENTS[component][1]
        elif component == "front/host":
            return None
    if result.get("media") == "lb-per-pod":
        result["gateway"] = {"replicas": 3}
    return result


def normal(value):
    """Without the order of what has names."""
    if isinstance(value, dict):
        return {key: normal(each) for key, each in value.items()}
    if isinstance(value, list):
        key = variants.key_of([value])
        return [normal(each) for each in (sorted(value, key=lambda item: item[key]) if key else value)]
    return value


def differences(one, other, path=""):
    """Where two values differ: a path, and both."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from differences(one.get(key), other.get(key), f"{path}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other)):
            yield from differences(left, right, f"{path}[{number}]")
    elif one != other or type(one) is not type(other):
        yield f"{path}: kustomize has {one!r}, the chart {other!r}"


def variables(chart, own, containers):
    """Those of the first of a gateway's containers, or of its initContainers."""
    return {
        variable["name"]: variable.get("value")
        for manifest in render(chart, own)
        if manifest["metadata"]["name"] == "reframe-gateway" and manifest["kind"] == "Deployment"
        for variable in manifest["spec"]["template"]["spec"][containers][0]["env"]
    }


def render(chart, own, namespace="reframe"):
    rendered = chart.render(own, name="reframe", namespace=namespace)
    texts = [text for file, text in rendered.items() if file.endswith(".yaml")]
    return [each for text in texts for each in yaml.safe_load_all(text) if each]


def compared(chart, text, own):
    manifests = render(chart, own)
    for problem in validate.problems(manifests_with_namespace(manifests, text), made(text)):
        yield f"the chart's: {problem}"
    # An image without a tag is of this version for the chart; for kustomize the overlay says the tag.
    version = chart.metadata["appVersion"]
    # The chart names STUNner's class, an object of the whole cluster, after its namespace.
    text = re.sub(r"(gatewayClassName: reframe-stunner)$", r"\1-reframe", text, flags=re.MULTILINE)
    text = re.sub(r"(kind: GatewayClass\nmetadata:\n  name: reframe-stunner)$", r"\1-reframe", text, flags=re.M)
    text = re.sub(r"(image: reframe-(?:gateway|worker))$", rf"\1:{version}", text, flags=re.MULTILINE)
    wanted, found = variants.load(text), variants.load(yaml.safe_dump_all(manifests))
    for identity in wanted.keys() | found.keys():
        here = " ".join(identity)
        yield from differences(normal(wanted.get(identity)), normal(found.get(identity)), here)


def manifests_with_namespace(manifests, text):
    """With the namespace of the other side, whose labels say what its pods may."""
    return manifests + [each for each in yaml.safe_load_all(text) if each and each["kind"] == "Namespace"]


def made(text):
    """The Secrets of the other side, and those that are made by hand."""
    names = {each["metadata"]["name"] for each in yaml.safe_load_all(text) if each and each["kind"] == "Secret"}
    return names | builds.ELSEWHERE | builds.ACCESS


def faults_missed(chart, base):
    """Whether a changed base differs from the chart's, and wrong values are refused."""
    def changed(old, new):
        return lambda built: built.update(text=built["text"].replace(old, new))

    def refused(values):
        try:
            chart.validate_schema(values)
        except helm_python.HelmError as error:
            yield str(error)

    changes = [(changed(old, new), told) for old, new, told in CHANGES]
    yield from missed({"text": base}, changes, lambda built: compared(chart, built["text"], {}))
    yield from missed({}, [(lambda values, wrong=wrong: values.update(wrong), told) for wrong, told in WRONG], refused)


def main():
    chart = helm_python.Chart.load(HERE)
    problems, count = [], 0
    for file in sorted(pathlib.Path(sys.argv[1]).glob("*.yaml")):
        own = values(file.stem)
        if own is None:
            continue
        count += 1
        lint = helm_python.lint(HERE, own, strict=True, namespace="reframe")
        # 1 is a remark.
        problems += [f"{file.stem}: {each}" for each in lint["errors"]]
        problems += [f"{file.stem}: {each}" for each in lint["messages"] if each["severity"] > 1]
        problems += [f"{file.stem}: {each}" for each in compared(chart, file.read_text(), own)]
    if count < 8:
        problems.append(f"only {count} sets of values")
    problems += faults_missed(chart, (pathlib.Path(sys.argv[1]) / "base.yaml").read_text())
    # What is given takes the place of what the chart says, and nothing else changes.
    own = {"media": "host-port", "gateway": {"env": {"REFRAME_PUBLIC_IP": "stun:x"}}}
    environment = variables(chart, own, "containers")
    if environment["REFRAME_PUBLIC_IP"] != "stun:x" or environment["REFRAME_AUTH"] != "token":
        problems.append(f"a variable of the values: {environment}")
    # Those of workers, also of the one in the gateway's pod; the socket stays.
    own = {"sidecar": True, "worker": {"env": {"MODEL": "m.onnx", "REFRAME_DEMO": "flip", "REFRAME_LISTEN": "0.0.0.0:1"}}}
    environment = variables(chart, own, "initContainers")
    wanted = {"MODEL": "m.onnx", "REFRAME_DEMO": "flip", "REFRAME_LISTEN": "unix:/run/worker/socket"}
    if not wanted.items() <= environment.items():
        problems.append(f"a variable of the values, in the sidecar: {environment}")
    # A TURN server of yours: its address reaches the gateway.
    environment = variables(chart, {"turn": True, "iceServers": "turn:mine.example.org:3478"}, "containers")
    if environment.get("REFRAME_ICE_SERVERS") != "turn:mine.example.org:3478":
        problems.append(f"iceServers with turn: {environment}")
    # STUNner's class belongs to the whole cluster: its name is another one in each namespace.
    names = {
        manifest["kind"]: manifest["spec"].get("gatewayClassName", manifest["metadata"]["name"])
        for manifest in render(chart, {"media": "stunner"}, "cell")
        if manifest["kind"] in ("GatewayClass", "Gateway")
    }
    if names != dict.fromkeys(("GatewayClass", "Gateway"), "reframe-stunner-cell"):
        problems.append(f"the class of STUNner's Gateway: {names}")
    return report(f"{count} sets of values, {len(WRONG)} that are refused", problems)


if __name__ == "__main__":
    sys.exit(main())
