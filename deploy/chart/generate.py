#!/usr/bin/env python3
"""Makes the chart's templates of what kustomize builds, so that there is one source of both.

    generate.py BUILT             # FOLDER of ../k8s/builds.py; writes templates/
    generate.py BUILT --check     # fails where a template is not what it would write

What a component changes alone on the base becomes a condition on its value. A component that is new in ../k8s/components
needs a line in COMPONENTS."""

import json
import pathlib
import re
import sys

import yaml

TEMPLATES = pathlib.Path(__file__).resolve().parent / "templates"
GENERATED = "# Made by generate.py of deploy/k8s: change it there.\n"
# Components and the values that switch them on.
COMPONENTS = {
    **{f"media/{name}": ("media", name) for name in ("host-port", "host-network", "stunner", "lb-per-pod")},
    **{f"front/{name}": ("front", name) for name in ("ingress", "gateway-api", "alb", "gke")},
    "gpu": ("gpu", True),
    "sidecar": ("sidecar", True),
    "zones": ("zones", True),
    "turn": ("turn", True),
    "https-out": ("httpsOut", True),
    "cluster-tls": ("certManager", True),
    "monitoring": ("monitoring", True),
    "autoscale/workers": ("autoscale.workers.enabled", True),
    "autoscale/gateways": ("autoscale.gateways.enabled", True),
}
# Not in the chart: a namespace and its labels, and Secrets, are made beside it. front/host is a part of the others.
LEFT_OUT = {"secrets", "psa-restricted", "front/host"}
KINDS_LEFT_OUT = {"Namespace", "Secret"}
# What is a value of the chart: where it stands (kind and name, then a path in which items of lists have their key), or what
# it is anywhere.
PLACES = {
    ("*/reframe-gateway", "spec.replicas"): "{{ .Values.gateway.replicas | int }}",
    ("*/reframe-worker", "spec.replicas"): "{{ .Values.worker.replicas | int }}",
    ("*/*", "*.env.REFRAME_CAPACITY.value"): "{{ .Values.worker.capacity | quote }}",
    ("*/*", "*.env.REFRAME_DEMO.value"): "{{ .Values.worker.demo | quote }}",
    ("*/*", "*.env.REFRAME_ICE_SERVERS.value"): "{{ .Values.iceServers | quote }}",
    ("*/*", "metadata.labels.release"): "{{ .Values.prometheusRelease | quote }}",
    ("*/reframe", "spec.ingressClassName"): {"traefik": "{{ .Values.ingressClassName | quote }}"},
    ("HTTPRoute/reframe", "spec.parentRefs.public.name"): "{{ .Values.gatewayApi.name | quote }}",
    ("HTTPRoute/reframe", "spec.parentRefs.public.namespace"): "{{ .Values.gatewayApi.namespace | quote }}",
    **{
        (f"ScaledObject/reframe-{role}", f"spec.{side}ReplicaCount"): f"{{{{ .Values.autoscale.{role}s.{side} | int }}}}"
        for role in ("gateway", "worker") for side in ("min", "max")
    },
    ("ScaledObject/reframe-worker", "spec.triggers.slots.metadata.threshold"):
        "{{ .Values.autoscale.workers.slots | quote }}",
    ("ScaledObject/reframe-worker", "spec.triggers.model.metadata.threshold"):
        "{{ .Values.autoscale.workers.batch | quote }}",
}
TEXTS = {
    "reframe.example.com": "{{ .Values.host | quote }}",
    "http://prometheus-operated.monitoring:9090": "{{ .Values.autoscale.prometheus | quote }}",
}
# Parts of texts.
PARTS = {
    'namespace=\\"reframe\\"': 'namespace=\\"{{ .Release.Namespace }}\\"',
    'stream=\\"detection\\"': 'stream=\\"{{ .Values.worker.stream }}\\"',
    "media.example.com": "{{ .Values.mediaDomain }}",
    "203.0.113.7": "{{ .Values.balancerAddress }}",
}
# By what items of a list are told apart.
KEYS = ("mountPath", "topologyKey", "name", "key")


def load(text):
    """The objects of a build by kind and name. A StatefulSet is what a component has made of the Deployment."""
    manifests = [manifest for manifest in yaml.safe_load_all(text) if manifest]
    manifests = [manifest for manifest in manifests if manifest["kind"] not in KINDS_LEFT_OUT]
    for manifest in manifests:
        if manifest["kind"] != "GatewayClass":
            manifest["metadata"]["namespace"] = "reframe"
    kind = {"StatefulSet": "Deployment"}
    return {(kind.get(each["kind"], each["kind"]), each["metadata"]["name"]): each for each in manifests}


def variants(built):
    """What the base is, as None, and what it is with each component."""
    found = {None: load((built / "base.yaml").read_text())}
    folder = pathlib.Path(__file__).resolve().parents[1] / "k8s/components"
    for file in sorted(folder.rglob("kustomization.yaml")):
        name = str(file.parent.relative_to(folder))
        if name in COMPONENTS:
            found[name] = load((built / f"base+{name.replace('/', '_')}.yaml").read_text())
        elif name not in LEFT_OUT:
            sys.exit(f"deploy/chart/generate.py does not know the component {name}")
    return found


def condition(names):
    """When one of these components is on."""
    by_value = {}
    for name in sorted(names):
        value, wanted = COMPONENTS[name]
        by_value.setdefault(value, []).append(wanted)
    every = {value: sum(1 for known, _ in COMPONENTS.values() if known == value) for value, _ in COMPONENTS.values()}
    terms = []
    for value, wanted in by_value.items():
        if wanted == [True] or len(wanted) == every[value]:
            terms.append(f".Values.{value}")
        else:
            terms.append(f"(has .Values.{value} (list {' '.join(map(json.dumps, wanted))}))" if len(wanted) > 1
                         else f"(eq .Values.{value} {json.dumps(wanted[0])})")
    if len(terms) == 1:
        return terms[0].removeprefix("(").removesuffix(")") if terms[0].startswith("(") else terms[0]
    return "or " + " ".join(terms)


def key_of(lists):
    """The field by which the items of all these lists are told apart, or None."""
    for key in KEYS:
        if all(
            all(isinstance(item, dict) and key in item for item in each) and len({item[key] for item in each}) == len(each)
            for each in lists
        ):
            return key
    return None


class Template:
    """Writes one object, or the group of values that it has at a path, as lines of YAML with conditions."""

    def __init__(self, identity):
        self.kind, self.name = identity
        # Named templates, by name: lines.
        self.defined = {}

    def scalar(self, value, path):
        here = (f"{self.kind}/{self.name}", ".".join(path))
        for (of, where), expression in PLACES.items():
            fits = of in (here[0], "*/*") or of == f"*/{self.name}"
            if fits and (where == here[1] or where[0] == "*" and here[1].endswith(where[1:])):
                if not isinstance(expression, dict):
                    return expression
                if value in expression:
                    return expression[value]
        if path[-1] == "image" and value in ("reframe-gateway", "reframe-worker"):
            return f"{{{{ .Values.{value.removeprefix('reframe-')}.image | quote }}}}"
        if path[-1] == "namespace" and value == "reframe":
            return "{{ .Release.Namespace }}"
        if path[-1] == "cidr" and value == "10.0.0.0/8":
            return "{{ .Values.nodesNetwork | quote }}"
        if path[-2:] == ("REFRAME_TRUSTED_PROXIES", "value") and value == "10.0.0.0/8":
            return "{{ .Values.trustedProxies | quote }}"
        if value in TEXTS:
            return TEXTS[value]
        if not isinstance(value, str):
            return json.dumps(value)
        plain = re.fullmatch(r"[A-Za-z/][\w./-]*", value) and not isinstance(yaml.safe_load(value), (bool, type(None)))
        text = value if plain else json.dumps(value, ensure_ascii=False)
        text = text.replace("{{", '{{ "{{" }}')
        for part, expression in PARTS.items():
            text = text.replace(part, expression)
        return text if plain and "{{" not in text or text.startswith('"') else f'"{text}"'

    def literal(self, value, path):
        """Lines of a value, without conditions."""
        return self.group({None: value}, path)

    def group(self, values, path):
        """Lines of a value that is another with some components; None, the base, is among them."""
        base = values[None]
        if all(isinstance(value, dict) for value in values.values()):
            if not any(values.values()):
                return ["{}"]
            return [line for key in sorted({key for value in values.values() for key in value})
                    for line in self.entry(key, values, path)]
        if all(isinstance(value, list) for value in values.values()):
            if not any(values.values()):
                return ["[]"]
            key = key_of(values.values())
            if key and all(values.values()):
                return self.items(key, values, path)
            if all(value == base for value in values.values()):
                return [line for item in base for line in self.item(self.literal(item, path))]
        if all(value == base for value in values.values()):
            return [self.scalar(base, path)]
        return self.chain(values, path)

    def chain(self, values, path):
        """One of several values that have nothing in common."""
        lines, others = [], {}
        for name, value in values.items():
            if value != values[None]:
                others.setdefault(json.dumps(value, sort_keys=True), []).append(name)
        written = {name: self.literal(values[names[0]], path) for names in others.values() for name in names[:1]}
        base = self.literal(values[None], path)
        if all(lines == base for lines in written.values()):
            return base
        for number, names in enumerate(others.values()):
            lines += [f"{{{{- {'if' if not number else 'else if'} {condition(names)} }}}}", *written[names[0]]]
        return [*lines, "{{- else }}", *base, "{{- end }}"]

    def optional(self, lines, present, everywhere):
        """Lines that only some of all variants have."""
        if None in present:
            absent = everywhere - present
            return [f"{{{{- if not ({condition(absent)}) }}}}", *lines, "{{- end }}"] if absent else lines
        return [f"{{{{- if {condition(present)} }}}}", *lines, "{{- end }}"]

    def known(self, values, present):
        """The values of the variants that have one, with a base."""
        some = {name: value for name, value in values.items() if name in present}
        # Of components alone, the first stands for the base.
        return some if None in some else {None: next(iter(some.values())), **some}

    def entry(self, key, values, path):
        """Lines of a field."""
        present = {name for name, value in values.items() if key in value}
        inner = self.known({name: value[key] for name, value in values.items() if key in value}, present)
        lines = self.field(key, self.group(inner, (*path, key)), inner[None])
        lines = self.adapted(key, lines, path)
        return self.optional(lines, present, set(values))

    def field(self, key, lines, value):
        name = key if re.fullmatch(r"[\w./-]+", key) else json.dumps(key)
        if isinstance(value, (dict, list)) and value:
            return [f"{name}:", *(line if line.startswith("{{-") else f"  {line}" for line in lines)]
        return [line if line.startswith("{{-") else f"{name}: {line}" for line in lines]

    def item(self, lines):
        first = next(number for number, line in enumerate(lines) if not line.startswith("{{-"))
        if first:
            raise ValueError(f"{self.kind} {self.name}: the first field of an item is not always there")
        return [f"- {lines[0]}", *(line if line.startswith("{{-") else f"  {line}" for line in lines[1:])]

    def items(self, key, values, path):
        """Lines of a list: the base's items, and each that a component adds before the one that it stands before."""
        order = [item[key] for item in values[None]]
        for value in values.values():
            following = None
            for item in reversed(value):
                if item[key] not in order:
                    order.insert(order.index(following) if following else len(order), item[key])
                following = item[key]
        lines = []
        for each in order:
            found = {name: item for name, value in values.items() for item in value if item[key] == each}
            inner = self.known(found, set(found))
            # The key first: it is always there.
            fields = [line for field in sorted({field for item in inner.values() for field in item}, key=lambda f: (f != key, f))
                      for line in self.entry(field, inner, (*path, str(each)))]
            lines += self.optional(self.item(fields), set(found), set(values))
        return lines

    def adapted(self, key, lines, path):
        """What the chart's values may replace, or add."""
        role = self.name.removeprefix("reframe-")
        if self.kind != "Deployment" or role not in ("gateway", "worker"):
            return lines
        pod = path == ("spec", "template", "spec")
        if path[:3] == ("spec", "template", "spec") and path[3:4] == ("containers",) and len(path) == 5:
            if key == "env":
                self.defined[f"reframe.env.{role}"] = [line.removeprefix("  ") for line in lines[1:]]
                return ["env:", f'  {{{{- include "reframe.env" (dict "own" (include "reframe.env.{role}" .) "values" '
                                f".Values.{role}.env) | nindent INDENT }}}}"]
            if key == "resources":
                return ["resources:", f"  {{{{- with .Values.{role}.resources }}}}",
                        "  {{- toYaml . | nindent INDENT }}", "  {{- else }}", *lines[1:], "  {{- end }}"]
        if pod and key == "enableServiceLinks":
            lines = [*lines, f"{{{{- with .Values.{role}.nodeSelector }}}}", "nodeSelector:",
                     "  {{- toYaml . | nindent INDENT }}", "{{- end }}",
                     "{{- with .Values.imagePullSecrets }}", "imagePullSecrets:",
                     "  {{- toYaml . | nindent INDENT }}", "{{- end }}"]
        return lines

    def whole(self, values):
        present = {name for name, value in values.items() if value is not None}
        body = self.group(self.known(values, present), ())
        body = self.optional(body, present, set(values))
        lines = []
        for name, defined in self.defined.items():
            lines += [f'{{{{- define "{name}" }}}}', *defined, "{{- end }}"]
        indented = []
        for line in [*lines, *body]:
            depth = len(line) - len(line.lstrip())
            stripped = line.lstrip()
            # A condition is told from what it holds at a glance: it begins the line.
            indented.append((stripped if stripped.startswith("{{-") else line).replace("INDENT", str(depth)))
        return GENERATED + "\n".join(indented) + "\n"


def templates(built):
    """The text of each file."""
    found = variants(built)
    identities = dict.fromkeys(identity for objects in found.values() for identity in objects)
    for kind, name in identities:
        values = {variant: objects.get((kind, name)) for variant, objects in found.items()}
        yield f"{kind.lower()}-{name}.yaml", Template((kind, name)).whole(values)


def main():
    built, check = pathlib.Path(sys.argv[1]), "--check" in sys.argv[2:]
    made = dict(templates(built))
    old = {file.name: file.read_text() for file in TEMPLATES.glob("*.yaml")}
    if check:
        wrong = sorted(name for name in old.keys() | made.keys() if old.get(name) != made.get(name))
        sys.exit(f"not current, run deploy/check.sh chart: {', '.join(wrong)}" if wrong else None)
    for name in old.keys() - made.keys():
        (TEMPLATES / name).unlink()
    for name, text in made.items():
        (TEMPLATES / name).write_text(text)


if __name__ == "__main__":
    main()
