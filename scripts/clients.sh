#!/bin/sh
# Clients of other projects, in environments of their own below target/clients/: `test` installs the two that `make test`
# tries, and `all` those of `make test-clients`.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
clients=$root/target/clients

case ${1:-} in
test) versions='1.10.1 1.16.0' ;;
# The newest, and those whose offers differ: 1.10 and 1.11 have an ICE user for each section.
all) versions='1.9.0 1.10.1 1.11.0 1.16.0' ;;
*) echo "usage: $0 test|all" >&2 && exit 1 ;;
esac

for version in $versions; do
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

werift=0.24.4
if [ "$1" = all ] && [ ! -e "$clients/werift/installed-$werift" ]; then
    echo "==> installing werift $werift"
    rm -rf "$clients/werift"
    mkdir -p "$clients/werift"
    npm install --prefix "$clients/werift" --no-audit --no-fund --silent "werift@$werift"
    touch "$clients/werift/installed-$werift"
fi
