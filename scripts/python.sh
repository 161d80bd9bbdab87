#!/bin/sh
# The Python package, below target/python/: `install NAME...` makes environments with what worker/python/tests/NAME.txt
# lists, `package PROFILE` puts the package together from its sources and the extension module that cargo has built in
# `debug` or `release`, `test` runs the tests that need no gateway, `demo FILE OPTIONS...` serves a program, and `wheel`
# builds a wheel in target/python/wheels/, without OpenH264 if H264=no, and tries it in every Python from 3.11 on that is
# here. PYTHON=... chooses another interpreter than the system's.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-/usr/bin/python3}
made=$root/target/python
source=$root/worker/python

# install NAME: an environment with what tests/NAME.txt lists.
install() {
    list=$source/tests/$1.txt
    if cmp -s "$list" "$made/$1/installed"; then
        return
    fi
    echo "==> installing what Python's tests need: $1"
    rm -rf "${made:?}/$1"
    "$python" -m venv "$made/$1"
    if ! "$made/$1/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --requirement "$list"; then
        echo "$list could not be installed for $("$python" --version): name another Python (PYTHON=/usr/bin/python3.13" \
            "$0 $*), or look whether PyPI can be reached." >&2
        exit 1
    fi
    cp "$list" "$made/$1/installed"
}

# The sources themselves, by links: what is changed there needs no further step.
package() {
    rm -rf "$made/package"
    mkdir -p "$made/package"
    cp -rs "$source/reframe" "$made/package/reframe"
    find "$made/package" -name __pycache__ -prune -exec rm -rf {} +
    ln -s "${CARGO_TARGET_DIR:-$root/target}/$1/lib_core.so" "$made/package/reframe/_core.abi3.so"
}

# The project for a wheel without OpenH264: its version ends in +vpx, so that its file and what pip lists tell it from the
# other, and it has no licence of what is not in it. maturin has no option for either.
project_without_h264() {
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
    rm -rf "$made/vpx"
    mkdir -p "$made/vpx"
    cp -rs "$source/reframe" "$source/licenses" "$source/README.md" "$made/vpx"
    rm "$made/vpx/licenses/openh264.txt"
    sed -e "s|^dynamic = .*|version = \"$version+vpx\"|" \
        -e "s|^\[tool.maturin\]|&\nmanifest-path = \"$source/Cargo.toml\"|" \
        "$source/pyproject.toml" >"$made/vpx/pyproject.toml"
}

# libvpx is linked in (gateway/build.rs), so that the wheel needs nothing but libstdc++ and glibc. Its name says which
# glibc is the oldest that it runs with. One that needs any other library is no wheel: none is copied into it.
wheel() {
    project=$source
    case ${H264:-yes} in
    yes) set -- ;;
    no)
        project_without_h264
        project=$made/vpx
        set -- --no-default-features
        ;;
    *) echo "H264=$H264 is neither yes nor no" >&2 && exit 1 ;;
    esac
    install wheel
    rm -rf "$made/wheels"
    echo '==> building in release; the first time takes some minutes'
    (cd "$project" && "$made/wheel/bin/maturin" build --quiet --release --auditwheel check "$@" --out "$made/wheels")
    file=$(ls "$made"/wheels/*-manylinux_*.whl)
    "$made/wheel/bin/auditwheel" show "$file"
    for minor in 11 12 13 14; do
        python3.$minor --version >/dev/null 2>&1 || continue
        environment=$made/try-wheel-3.$minor
        rm -rf "$environment"
        python3.$minor -m venv "$environment"
        "$environment/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: "$file"
        (cd / && "$environment/bin/python" "$source/tests/wheel.py")
    done
    echo "$file"
}

case ${1:-} in
install)
    shift
    for list; do
        install "$list"
    done
    ;;
package) package "$2" ;;
wheel) wheel ;;
demo)
    install demo
    package release
    program=$2
    shift 2
    PYTHONPATH=$made/package exec "$made/demo/bin/python" -m reframe launch "$program" "$@"
    ;;
test)
    package debug
    export PYTHONPATH="$made/package" PYTHONDONTWRITEBYTECODE=1
    cd "$source"
    "$made/test/bin/ruff" check --quiet .
    "$made/test/bin/ruff" format --quiet --check .
    "$made/test/bin/mypy" --no-error-summary --cache-dir "$made/mypy"
    "$made/test/bin/stubtest" --concise --ignore-unused-allowlist --allowlist tests/stubtest.txt reframe._core
    "$made/test/bin/pytest" -q -p no:cacheprovider tests
    for version in 5 6; do
        REFRAME_GRADIO=1 "$made/gradio-$version/bin/pytest" -q -p no:cacheprovider tests/test_gradio.py tests/test_examples.py
    done
    ;;
*) echo "usage: $0 install NAME... | package PROFILE | test | demo FILE OPTIONS... | wheel" >&2 && exit 1 ;;
esac
