"""What is asked of manifests again and again."""

NAME = "app.kubernetes.io/name"


def name(manifest):
    return manifest["metadata"]["name"]


def of_kind(manifests, kind):
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pods(manifests):
    for kind in ("Deployment", "StatefulSet"):
        for manifest in of_kind(manifests, kind):
            yield name(manifest), manifest["spec"]["template"]


def environment(container):
    return {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}
