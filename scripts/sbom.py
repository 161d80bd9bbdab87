#!/usr/bin/env python3
"""Prints a software bill of materials, CycloneDX 1.5, of one of our programs: its crates, and the libraries in C and
C++ that are linked into it, with the versions that are found here. The same tree gives the same text.

    scripts/sbom.py reframe-gateway amd64 [OPTION OF CARGO...]     # as --no-default-features

It fails where a crate compiles or links C of which NATIVE does not know the origin.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib
import urllib.parse
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
# By Debian's names.
TARGETS = {"amd64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}
# What runs a compiler, when a crate is built.
COMPILERS = {"cc", "cmake", "nasm-rs"}


def output(*command):
    run = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{' '.join(command)}: {run.stderr.strip()}")
    return run.stdout


def found(path, pattern):
    match = re.search(pattern, path.read_text(), re.MULTILINE)
    if not match:
        sys.exit(f"{path}: no `{pattern}`: mend scripts/sbom.py")
    return match[1]


def libvpx(_, architecture, __):
    """Of Debian: gateway/build.rs links its archive, or names its shared library."""
    package = f"libvpx-dev:{architecture}"
    command = ["dpkg-query", "--show", "--showformat", "${Version}", package]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    if run.returncode or not run.stdout:
        sys.exit(
            f"{package} is not installed, so its version is not known: as root, scripts/cross.sh install {architecture}"
        )
    version = urllib.parse.quote(run.stdout, safe="")
    return {
        "name": "libvpx",
        "version": run.stdout,
        "purl": f"pkg:deb/debian/libvpx-dev@{version}?arch={architecture}",
        "licenses": [{"expression": "BSD-3-Clause"}],
    }


def openh264(source, *_):
    """The crate has its source, and says of which commit."""
    commit = found(source / "upstream/VERSION", r"^([0-9a-f]{40})$")
    header = source / "upstream/codec/api/wels/codec_ver.h"
    numbers = [found(header, rf"#define OPENH264_{part} \((\d+)\)") for part in ("MAJOR", "MINOR", "REVISION")]
    return {
        "name": "openh264",
        "version": ".".join(numbers),
        "purl": f"pkg:github/cisco/openh264@{commit}",
        "licenses": [{"expression": "BSD-2-Clause"}],
    }


def mimalloc(source, _, features):
    """The crate has the sources of two, and builds the newer one unless it is asked for the other."""
    header = source / f"c_src/mimalloc/{'v2' if 'v2' in features else 'v3'}/include/mimalloc.h"
    number = int(found(header, r"#define MI_MALLOC_VERSION +(\d{5})\b"))
    version = f"{number // 10000}.{number // 100 % 100}.{number % 100}"
    return {
        "name": "mimalloc",
        "version": version,
        "purl": f"pkg:github/microsoft/mimalloc@v{version}",
        "licenses": [{"expression": "MIT"}],
    }


def nothing_else(*_):
    """Its C and assembler have no other origin than the crate; or it links nothing."""
    return None


NATIVE = {
    "libvpx-native-sys": libvpx,
    "openh264-sys2": openh264,
    "libmimalloc-sys": mimalloc,
    "ring": nothing_else,
    # No library: it marks that there is one of it in a program.
    "rayon-core": nothing_else,
    # The interpreter that loads the module.
    "pyo3": nothing_else,
    "pyo3-ffi": nothing_else,
}


def tree(package, target, edges, options):
    """Name and version of each crate in it."""
    lines = output(
        "cargo", "tree", "--locked", "--package", package, "--target", target, "--edges", edges, "--prefix", "none",
        "--format", "{p}", *options,
    )  # fmt: skip
    return {tuple(line.replace(" v", " ", 1).split()[:2]) for line in lines.splitlines() if line}


def crate(package, checksum, needed):
    component = {
        "type": "library",
        "bom-ref": f"{package['name']}@{package['version']}",
        "name": package["name"],
        "version": package["version"],
        "scope": "required" if needed else "excluded",
        "purl": f"pkg:cargo/{package['name']}@{package['version']}",
    }
    if checksum:
        component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["license"]:
        # As some crates still write it.
        component["licenses"] = [{"expression": re.sub(r" ?/ ?", " OR ", package["license"])}]
    return component


def main():
    match sys.argv[1:]:
        case [program, architecture, *options] if architecture in TARGETS:
            target = TARGETS[architecture]
        case _:
            sys.exit(__doc__)
    linked = tree(program, target, "normal", options)
    built = tree(program, target, "normal,build", options)
    metadata = json.loads(output("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target))
    packages = {(package["name"], package["version"]): package for package in metadata["packages"]}
    names = {package["id"]: key for key, package in packages.items()}
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in lock}

    components, needs, features = [], {}, {}
    for node in metadata["resolve"]["nodes"]:
        key = names[node["id"]]
        if key in built:
            features[key] = node["features"]
            needs[key] = sorted({"@".join(names[each]) for each in node["dependencies"] if names[each] in built})
    for key in sorted(built):
        package = packages[key]
        components.append(crate(package, checksums.get(key), key in linked))
        compiles = any(each["kind"] == "build" and each["name"] in COMPILERS for each in package["dependencies"])
        # What only builds leaves nothing in the program.
        if key not in linked or not (package["links"] or compiles):
            continue
        if package["name"] not in NATIVE:
            sys.exit(
                f"{'@'.join(key)} links or compiles C: say in NATIVE of scripts/sbom.py what, and of which version"
            )
        native = NATIVE[package["name"]](pathlib.Path(package["manifest_path"]).parent, architecture, features[key])
        if native:
            native = {"type": "library", "bom-ref": native["purl"], **native, "scope": "required"}
            components.append(native)
            needs[key].append(native["bom-ref"])
    # The program itself is what the list is of.
    [subject] = [each for each in components if each["name"] == program]
    components.remove(subject)
    text = json.dumps(components, sort_keys=True)
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{target} {options} {text}')}",
        "version": 1,
        "metadata": {
            "component": {**subject, "type": "application"},
            "properties": [{"name": "reframe:target", "value": target}],
        },
        "components": components,
        "dependencies": [{"ref": "@".join(key), "dependsOn": needs[key]} for key in sorted(needs)],
    }
    print(json.dumps(bom, indent=1))


if __name__ == "__main__":
    main()
