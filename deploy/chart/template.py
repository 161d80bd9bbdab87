"""Writes an object as a template of Helm."""

import json
import re

from parameters import condition, scalar
from variants import Values, key_of

# Variables of which the worker in a gateway's pod keeps its own values: it listens on a socket, and ends after the
# gateway.
OF_SIDECAR = '"REFRAME_LISTEN" "REFRAME_HEALTH" "REFRAME_GRACE"'
GENERATED = "# Made by generate.py of deploy/k8s: change it there.\n"


def joined(lines):
    """Without the end and the beginning of a condition between two that are the same."""
    result, opened, ended = [], [], None
    for line in lines:
        begins = line.startswith(("{{- if ", "{{- with ", "{{- define "))
        if begins:
            opened.append(line)
            if line == ended:
                result.pop()
                ended = None
                continue
        elif line.startswith("{{- else"):
            # What comes after it is under another condition.
            opened[-1] = None
        ended = opened.pop() if line == "{{- end }}" else None
        result.append(line)
    return result


class Template:
    """Writes one object, or the group of values that it has at a path, as lines of YAML with conditions."""

    def __init__(self, identity):
        self.kind, self.name = identity
        # Named templates, by name: lines.
        self.defined = {}

    def literal(self, value, path):
        """Lines of a value, without conditions."""
        return self.group(Values({None: value}, True), path)

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
            return [scalar(self.kind, self.name, base, path)]
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

    def optional(self, lines, present, values):
        """Lines that only some of all variants have."""
        everywhere = values.has(lambda _: True)
        if present == everywhere:
            return lines
        said = f"not ({condition(everywhere - present)})" if None in present else condition(present)
        return [f"{{{{- if {said} }}}}", *lines, "{{- end }}"]

    def entry(self, key, values, path):
        """Lines of a field."""
        inner = values.pick(lambda value: value.get(key))
        lines = self.field(key, self.group(inner, (*path, key)), inner[None])
        return self.optional(self.adapted(key, lines, path), values.has(lambda value: key in value), values)

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
            found = values.pick(lambda value: next((item for item in value if item[key] == each), None))
            # The key first: it is always there.
            fields = {field for item in found.values() for field in item}
            fields = sorted(fields, key=lambda field: (field != key, field))
            item = [line for field in fields for line in self.entry(field, found, (*path, str(each)))]
            present = values.has(lambda value: any(item[key] == each for item in value))
            lines += self.optional(self.item(item), present, values)
        return lines

    def adapted(self, key, lines, path):
        """What the chart's values may replace, or add."""
        role = self.name.removeprefix("reframe-")
        if self.kind != "Deployment" or role not in ("gateway", "worker"):
            return lines
        pod = path == ("spec", "template", "spec")
        if path == ("spec", "template", "spec", "initContainers", "worker") and key == "env":
            return self.environment("sidecar", f"(omit .Values.worker.env {OF_SIDECAR})", lines)
        if path[:3] == ("spec", "template", "spec") and path[3:4] == ("containers",) and len(path) == 5:
            if key == "env":
                return self.environment(role, f".Values.{role}.env", lines)
            if key == "resources":
                return ["resources:", f"  {{{{- with .Values.{role}.resources }}}}",
                        "  {{- toYaml . | nindent INDENT }}", "  {{- else }}", *lines[1:], "  {{- end }}"]
        if pod and key == "enableServiceLinks":
            lines = [*lines, f"{{{{- with .Values.{role}.nodeSelector }}}}", "nodeSelector:",
                     "  {{- toYaml . | nindent INDENT }}", "{{- end }}",
                     "{{- with .Values.imagePullSecrets }}", "imagePullSecrets:",
                     "  {{- toYaml . | nindent INDENT }}", "{{- end }}"]
        return lines

    def environment(self, container, values, lines):
        """A container's variables, in a template of their own, and `values` in their place or beside them."""
        name = f"reframe.env.{container}"
        self.defined[name] = [line.removeprefix("  ") for line in lines[1:]]
        return ["env:", f'  {{{{- include "reframe.env" (dict "own" (include "{name}" .) "values" '
                        f"{values}) | nindent INDENT }}}}"]

    def whole(self, values):
        inner = values.pick(lambda value: value)
        body = self.group(inner, ())
        body = self.optional(body, values.has(lambda value: value is not None), values)
        lines = []
        for name, defined in self.defined.items():
            lines += [f'{{{{- define "{name}" }}}}', *defined, "{{- end }}"]
        indented = []
        for line in joined([*lines, *body]):
            depth = len(line) - len(line.lstrip())
            stripped = line.lstrip()
            # A condition is told from what it holds at a glance: it begins the line.
            indented.append((stripped if stripped.startswith("{{-") else line).replace("INDENT", str(depth)))
        return GENERATED + "\n".join(indented) + "\n"
