#!/bin/sh
# Clients of other projects, in environments of their own below target/clients/: `test` installs the two that `make test`
# tries, and `all` those of `make test-clients`. PYTHON=... chooses another interpreter than the system's.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
clients=$root/target/clients

case ${1:-} in
test) versions='1.10.1 1.16.0' ;;
# The newest, and older ones, of which each offer has ICE credentials for each section and a pre-RFC 8841 data section.
all) versions='1.9.0 1.10.1 1.11.0 1.16.0' ;;
*) echo "usage: $0 test|all" >&2 && exit 1 ;;
esac

python=${PYTHON:-/usr/bin/python3}
for version in $versions; do
    environment=$clients/aiortc-$version
    # The versions of all that it needs, of an installation that worked.
    constraints=$root/tests/clients/constraints-$version.txt
    if ! cmp -s "$constraints" "$environment/installed"; then
        echo "==> installing aiortc $version"
        rm -rf "$environment"
        "$python" -m venv "$environment"
        if ! "$environment/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
            --constraint "$constraints" "aiortc==$version" numpy; then
            echo "aiortc $version could not be installed for $("$python" --version). Its packages are for Python 3.11 to 3.13:" \
                "name one of these (PYTHON=/usr/bin/python3.13 $0 $1), or look whether PyPI can be reached." >&2
            exit 1
        fi
        cp "$constraints" "$environment/installed"
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
