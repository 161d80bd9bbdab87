"""What of the objects is a value of the chart: components, which a value switches on, and texts, in whose place it
stands."""

import json
import re

import yaml

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
# An object of the whole cluster, and one for each release.
STUNNER_CLASS = "reframe-stunner-{{ .Release.Namespace }}"
# What is a value of the chart: where it stands (kind and name, then a path in which items of lists have their key), or
# what it is anywhere.
PLACES = {
    ("*/reframe-gateway", "spec.replicas"): "{{ .Values.gateway.replicas | int }}",
    ("*/reframe-worker", "spec.replicas"): "{{ .Values.worker.replicas | int }}",
    ("*/*", "*.env.REFRAME_CAPACITY.value"): "{{ .Values.worker.capacity | quote }}",
    ("*/*", "*.env.REFRAME_DEMO.value"): "{{ .Values.worker.demo | quote }}",
    ("*/*", "*.env.REFRAME_ICE_SERVERS.value"): "{{ .Values.iceServers | quote }}",
    ("*/*", "metadata.labels.release"): "{{ .Values.prometheusRelease | quote }}",
    ("*/reframe", "spec.ingressClassName"): {"traefik": "{{ .Values.ingressClassName | quote }}"},
    ("GatewayClass/reframe-stunner", "metadata.name"): STUNNER_CLASS,
    ("Gateway/reframe-turn", "spec.gatewayClassName"): STUNNER_CLASS,
    ("HTTPRoute/reframe", "spec.parentRefs.public.name"): "{{ .Values.gatewayApi.name | quote }}",
    ("HTTPRoute/reframe", "spec.parentRefs.public.namespace"): "{{ .Values.gatewayApi.namespace | quote }}",
    **{
        (f"ScaledObject/reframe-{role}", f"spec.{side}ReplicaCount"):
            f"{{{{ .Values.autoscale.{role}s.{side} | int }}}}"
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


def scalar(kind, name, value, path):
    """What stands in the template for a number or a text: a value of the chart, or itself as YAML."""
    here = (f"{kind}/{name}", ".".join(path))
    for (of, where), expression in PLACES.items():
        fits = of in (here[0], "*/*") or of == f"*/{name}"
        if fits and (where == here[1] or where[0] == "*" and here[1].endswith(where[1:])):
            if not isinstance(expression, dict):
                return expression
            if value in expression:
                return expression[value]
    if path[-1] == "image" and value in ("reframe-gateway", "reframe-worker"):
        role = value.removeprefix("reframe-")
        return f'{{{{ include "reframe.image" (list .Values.{role}.image .Chart.AppVersion) | quote }}}}'
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
