#!/bin/sh
# Builds for another processor than this machine's, as Debian does: with its compiler for that processor and its libvpx
# for it. ARCH is Debian's and Docker's name, amd64 or arm64; for this machine's own, nothing is different.
#
#   scripts/cross.sh install ARCH                    as root: the compiler, libvpx, and Rust's own library by rustup
#   scripts/cross.sh ARCH cargo build --release ...  that command, with the variables that name them
#   scripts/cross.sh ARCH install-program NAME DIR   copies what it built in release to DIR, without debug symbols
set -eu

stop() {
    printf '%s\n' "$@" >&2
    exit 1
}

# variables ARCH: what tells cargo, and the build scripts of crates with C in them, which tools to use.
variables() {
    [ "$1" != "$(dpkg --print-architecture)" ] || return 0
    case $1 in
    amd64) cpu=x86_64 ;;
    arm64) cpu=aarch64 ;;
    *) stop "$1: not a processor that Reframe is built for; these are: amd64 arm64" ;;
    esac
    tools=$cpu-linux-gnu
    lower=${cpu}_unknown_linux_gnu
    upper=$(echo "$lower" | tr '[:lower:]' '[:upper:]')
    export CARGO_BUILD_TARGET="$cpu-unknown-linux-gnu"
    export "CARGO_TARGET_${upper}_LINKER=$tools-gcc"
    export "CC_$lower=$tools-gcc" "CXX_$lower=$tools-g++" "AR_$lower=$tools-ar"
    # By that processor's name: a plain PKG_CONFIG_LIBDIR is taken for a libvpx of the builder's own (gateway/build.rs).
    export PKG_CONFIG_ALLOW_CROSS=1 "PKG_CONFIG_LIBDIR_$lower=/usr/lib/$tools/pkgconfig:/usr/share/pkgconfig"
}

case ${1:-} in
install)
    variables "${2:?an architecture}"
    [ -n "${CARGO_BUILD_TARGET:-}" ] || exit 0
    dpkg --add-architecture "$2"
    apt-get update
    apt-get install --yes --no-install-recommends "g++-$(echo "$tools" | tr _ -)" "libvpx-dev:$2"
    rustup target add "$CARGO_BUILD_TARGET"
    ;;
amd64 | arm64)
    variables "$1"
    shift
    if [ "${1:-}" = install-program ]; then
        built=${CARGO_TARGET_DIR:-target}/${CARGO_BUILD_TARGET:-.}/release/$2
        # Not the tool of this machine's processor, which cannot read the program.
        exec install -D --strip --strip-program="${tools:+$tools-}strip" "$built" "$3/$2"
    fi
    [ -z "${tools:-}" ] || command -v "$tools-gcc" >/dev/null || stop "$tools-gcc is missing: as root, $0 install ARCH"
    exec "$@"
    ;;
*) stop "usage: $0 install ARCH | ARCH COMMAND... | ARCH install-program NAME DIR, with ARCH amd64 or arm64" ;;
esac
