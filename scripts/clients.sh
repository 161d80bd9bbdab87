#!/bin/sh
# `make test-clients`: clients of other projects, in environments of their own below target/clients/.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
clients=$root/target/clients

# The newest, and those whose offers differ: 1.10 and 1.11 have an ICE user for each section.
for version in 1.9.0 1.10.1 1.11.0 1.16.0; do
    environment=$clients/aiortc-$version
    if [ ! -e "$environment/installed" ]; then
        echo "==> installing aiortc $version"
        rm -rf "$environment"
        # The system's own: older versions have no packages for newer ones.
        /usr/bin/python3 -m venv "$environment"
        "$environment/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: "aiortc==$version" numpy
        touch "$environment/installed"
    fi
done
