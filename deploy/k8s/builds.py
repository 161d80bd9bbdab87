#!/usr/bin/env python3
"""Builds what may be combined here, and validates each (validate.py): the base, each overlay, each component alone on
the base, and each row of the table in docs/kubernetes.md. kubectl must not warn.

    builds.py [FOLDER]      # keeps what was built in FOLDER: base+media_host-port+zones.yaml
"""

import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import validate
import yaml

HERE = pathlib.Path(__file__).resolve().parent
DOCUMENT = HERE.parent.parent / "docs/kubernetes.md"
# What `reframe-gateway cluster-init` makes.
MADE = [
    "ca.pem", "auth.key", "session.key", "admin.token", "redis.acl", "redis.password",
    *(f"{role}{part}.pem" for role in ("gateway", "worker", "redis") for part in ("", "-key")),
]
# What goes with each row.
WITH_ANY = ["gpu", "zones", "autoscale/workers"]
# Secrets that an operator makes by hand, as the component says.
ELSEWHERE = frozenset({"reframe-turn"})
# Those that components/secrets makes, of which the base knows the names.
ACCESS = frozenset({
    "reframe-access", "reframe-gateway-tls", "reframe-worker-tls", "reframe-redis-tls", "reframe-redis-acl",
    "reframe-redis-password",
})


def components():
    """The components, by their path below components/."""
    folders = sorted(file.parent for file in (HERE / "components").rglob("kustomization.yaml"))
    return [str(folder.relative_to(HERE / "components")) for folder in folders]


def documented():
    """The components of each row of the table in docs/kubernetes.md, and with what goes with each."""
    table = DOCUMENT.read_text().partition("\n| where | components |")[2].partition("\n\n")[0]
    known = set(components())
    for row in table.splitlines():
        named = re.findall("`([^`]+)`", row.split("|")[2]) if row.startswith("| ") else []
        if unknown := set(named) - known:
            sys.exit(f"docs/kubernetes.md names components that are not there: {unknown}")
        if named:
            yield tuple(named)
            yield tuple(dict.fromkeys([*named, *WITH_ANY]))


def overlay(folder, base, names):
    """Writes an overlay as an operator would: base, namespace, secrets and components."""
    folder.mkdir(parents=True)
    resources = [f"../../{base}"]
    if base == "base":
        (folder / "namespace.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: { name: reframe }\n")
        resources.append("namespace.yaml")
        names = ["secrets", *(name for name in names if name != "secrets")]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "reframe",
        "resources": resources,
        "components": [f"../../components/{name}" for name in names],
    }))


def build(folder):
    """The text that kubectl makes of a folder; what it warns of is an error."""
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
    if done.returncode or done.stderr:
        raise ValueError(done.stderr)
    return done.stdout


def everything(copy):
    """Names and folders of all that is built, in a copy of this folder."""
    made = copy / "components/secrets/made"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    for file in MADE:
        (made / file).write_text(f"{file}\n")
    yield "base", copy / "base"
    for folder in sorted((copy / "overlays").iterdir()):
        yield f"overlays/{folder.name}", folder
    rows = list(dict.fromkeys(documented()))
    alone = [(name,) for name in components() if name != "secrets"]
    for names in [*alone, *(row for row in rows if row not in alone)]:
        folder = copy / "builds" / " ".join(names).replace("/", "-")
        overlay(folder, "base", names)
        yield " + ".join(["base", *names]), folder


def main():
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        # All of deploy: components take files from beside this folder.
        copy = pathlib.Path(scratch) / "deploy/k8s"
        shutil.copytree(HERE.parent, copy.parent)
        builds = list(everything(copy))
        with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
            texts = [(name, pool.submit(build, folder)) for name, folder in builds]
        for name, text in texts:
            print(f"  {name}")
            try:
                manifests = [manifest for manifest in yaml.safe_load_all(text.result()) if manifest]
                found = validate.problems(manifests, ELSEWHERE | (ACCESS if name == "base" else set()))
            except ValueError as error:
                found = [f"does not build without a warning: {error}"]
            for problem in found:
                print(f"    {problem}", file=sys.stderr)
            failed = failed or bool(found)
            if len(sys.argv) > 1 and not found:
                kept = pathlib.Path(sys.argv[1]) / f"{name.replace('/', '_').replace(' + ', '+')}.yaml"
                kept.write_text(text.result())
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
