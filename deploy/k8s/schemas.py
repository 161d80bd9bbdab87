"""Whether manifests fit the schemas of Kubernetes and of schemas/, strictly."""

import functools
import json
import pathlib

import jsonschema
import kubernetes_validate
import yaml
from manifests import name

# Of custom resources: the fields that are used here. Anything else without a schema is an error.
SCHEMAS = pathlib.Path(__file__).parent / "schemas"


def strict(part):
    """The schema, with every field refused that it does not name."""
    if isinstance(part, list):
        return [strict(each) for each in part]
    if not isinstance(part, dict):
        return part
    closed = {"type": "object", "additionalProperties": False} if isinstance(part.get("properties"), dict) else {}
    return closed | {key: strict(value) for key, value in part.items()}


# What every custom resource has beside its `spec`.
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
METADATA = {"required": ["name"], "properties": {
    "name": {"type": "string"}, "namespace": {"type": "string"}, "labels": TEXTS, "annotations": TEXTS,
}}


@functools.cache
def schema(kind):
    """The schema of a custom resource, or None."""
    file = SCHEMAS / f"{kind}.yaml"
    if not file.exists():
        return None
    whole = yaml.safe_load(file.read_text())
    if not whole["$comment"].startswith("https://"):
        raise ValueError(f"{file} does not name its documentation")
    whole["required"] = ["apiVersion", "kind", "metadata", "spec"]
    whole["properties"] |= {"kind": {"const": kind}, "metadata": METADATA}
    return strict(whole)


@functools.cache
def misfit(text):
    """What the schema of a manifest, as JSON, says of it. Kept: most manifests come again in the next overlay."""
    manifest = json.loads(text)
    ours = schema(manifest["kind"])
    try:
        if ours:
            jsonschema.validate(manifest, ours, cls=jsonschema.Draft202012Validator)
        else:
            kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        return error.message
    except kubernetes_validate.SchemaNotFoundError as error:
        return f"{error.message}, nor in schemas/"
    return None


def schemas(manifests):
    for manifest in manifests:
        if problem := misfit(json.dumps(manifest)):
            yield f"{manifest['kind']} {name(manifest)}: {problem}"
