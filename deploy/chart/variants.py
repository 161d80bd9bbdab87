"""What kustomize builds of the base, and of the base with each component."""

import pathlib
import sys

import yaml
from parameters import COMPONENTS, KINDS_LEFT_OUT, LEFT_OUT

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
            sys.exit(f"deploy/chart/parameters.py does not know the component {name}")
    return found


def key_of(lists):
    """The field by which the items of all these lists are told apart, or None."""
    for key in KEYS:
        if all(
            all(isinstance(item, dict) and key in item for item in each)
            and len({item[key] for item in each}) == len(each)
            for each in lists
        ):
            return key
    return None


class Values(dict):
    """What something is in each variant that has it. The base, None, is always there: where it has nothing itself, the
    first component stands in for it, and `real` is False."""

    def __init__(self, values, real):
        super().__init__(values)
        self.real = real and None in self
        if None not in self:
            self[None] = next(iter(self.values()))

    def has(self, test):
        """The variants of which it is true."""
        return {name for name, value in self.items() if test(value) and (name is not None or self.real)}

    def pick(self, get):
        """What `get` takes of each, where that is not None."""
        picked = {name: get(value) for name, value in self.items() if name is not None or self.real}
        return Values({name: value for name, value in picked.items() if value is not None}, self.real)
