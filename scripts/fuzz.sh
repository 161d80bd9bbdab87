#!/bin/sh
# `make fuzz-asan`: what strangers' bytes reach first, under libFuzzer and AddressSanitizer, the codecs' C and C++ libraries too. See
# tests/fuzz/README.md.
set -eu

usage() {
    cat <<END
usage: $0 [--inputs N] [--seconds S] [--timeout S] [TARGET...]

Builds and runs the fuzz targets, by default all of tests/fuzz/corpus, one after the other. Each ends after N inputs or
S seconds, whichever is first. It fails when an input of one fails: that is then in tests/fuzz/artifacts/TARGET/.

  --inputs N    1000000 by default
  --seconds S   30 by default
  --timeout S   of one input, 10 by default: more where other programs have the processors, or stop this one
END
}

stop() {
    printf '%s\n' "$@" >&2
    exit 1
}

# number OPTION [VALUE...]
number() {
    case ${2-} in
    '' | *[!0-9]*) stop "$1 needs a number" ;;
    esac
}

inputs=1000000
seconds=30
timeout=10
targets=
while [ $# -gt 0 ]; do
    case $1 in
    --inputs) number "$@" && inputs=$2 && shift ;;
    --seconds) number "$@" && seconds=$2 && shift ;;
    --timeout) number "$@" && timeout=$2 && shift ;;
    --help) usage && exit ;;
    -*) usage >&2 && exit 1 ;;
    *) targets="$targets $1" ;;
    esac
    shift
done

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root/tests/fuzz"
# The unit test of gateway/src/fuzz.rs sees to it that each target has a corpus.
for target in ${targets:=$(ls corpus)}; do
    [ -d "corpus/$target" ] || stop "$target is no target; these are:" "$(ls corpus)"
done
"$root/scripts/packages.sh" fuzz

# The very source that this system's libvpx is built from, fetched without touching the system's own lists.
version=$(dpkg-query --show --showformat='${source:Version}' libvpx-dev) ||
    stop 'libvpx-dev is not a package here: the source of libvpx is taken from Debian or Ubuntu.'
libvpx=$PWD/target/libvpx/$version
# C only, so that each access is checked: assembler cannot be instrumented. Otherwise as Debian configures it.
sanitize='-fsanitize=address,fuzzer-no-link -fno-omit-frame-pointer -gline-tables-only'
if [ ! -e "$libvpx/built" ]; then
    echo "==> building libvpx $version from its source"
    rm -rf "$libvpx"
    mkdir -p "$libvpx/lists/partial" "$libvpx/archives/partial" "$libvpx/sources" "$libvpx/objects"
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        if grep -qsE 'debian\.org|ubuntu\.com' "$list"; then
            sed -e 's/^deb /deb-src /' -e 's/^Types:.*/Types: deb-src/' "$list" >"$libvpx/sources/${list##*/}"
        fi
    done
    (
        cd "$libvpx"
        for step in update "source libvpx=$version"; do
            # Unquoted: one word, or two.
            # shellcheck disable=SC2086
            apt-get -q -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$libvpx/sources" \
                -o "Dir::State::lists=$libvpx/lists" -o "Dir::Cache=$libvpx" $step
        done
        cd objects
        CC=clang CXX=clang++ LD=clang CFLAGS=$sanitize LDFLAGS=-fsanitize=address ../libvpx-*/configure \
            --target=generic-gnu --enable-pic --size-limit=16384x16384 --enable-postproc --enable-multi-res-encoding \
            --enable-temporal-denoising --enable-vp9-temporal-denoising --enable-vp9-postproc \
            --enable-vp9-highbitdepth --disable-examples --disable-tools --disable-docs --disable-unit-tests \
            --disable-webm-io --disable-libyuv
        make -j"$(nproc)" libvpx.a
    )
    # Its crate does not look whether there is another libvpx.
    rm -rf target/*/release/.fingerprint/libvpx-native-sys-*
    touch "$libvpx/built"
fi

echo '==> building the targets; the first time takes many minutes'
# What is shipped: cargo adds libFuzzer's crates.
[ Cargo.lock -nt "$root/Cargo.lock" ] || cp "$root/Cargo.lock" Cargo.lock
host=$(rustc -vV | sed -n 's/^host: //p')
upstream=${version#*:}
# What cargo-fuzz would pass. Its sanitizer is an option of unstable compilers, but stable ones bring what it needs.
# Not libFuzzer itself: it counts what is covered, and would count itself.
env RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares" \
    CC=clang CXX=clang++ CFLAGS="$sanitize -O2" CXXFLAGS="$sanitize -O2" OPENH264_NO_ASM=1 \
    VPX_LIB_DIR="$libvpx/objects" VPX_VERSION="${upstream%%-*}" VPX_STATIC=1 \
    CUSTOM_LIBFUZZER_PATH="$(clang -print-file-name="libclang_rt.fuzzer-$(uname -m).a")" \
    cargo build --release --target "$host"

failed=
for target in $targets; do
    mkdir -p "target/corpus/$target" "artifacts/$target"
    log=target/$target.log
    # Offers of real clients are in a folder of their own, beside what is none, and longer.
    more=
    length=4096
    if [ "$target" = offer ]; then
        more=target/offers
        length=32768
        mkdir -p "$more"
        cp ../corpus/offers/*.sdp "$more/"
    fi
    # Inputs as long as a few packets. 2 GB is a leak: a decoder of the largest picture takes 100 MB.
    if TARGET=$target ASAN_OPTIONS=allow_addr2line=1 "target/$host/release/reframe-fuzz" \
        -runs="$inputs" -max_total_time="$seconds" -max_len=$length -timeout="$timeout" -rss_limit_mb=2048 \
        -artifact_prefix="artifacts/$target/" -print_final_stats=1 \
        "target/corpus/$target" "corpus/$target" ${more:+"$more"} >"$log" 2>&1; then
        # Units, rate, new ones, slowest, and megabytes: libFuzzer's own statistics.
        awk -v target="$target" '/^stat::/ { of[$1] = $2 } END {
            printf "%-12s %9d inputs, %7d a second, slowest %d s, %d MB\n", target,
                of["stat::number_of_executed_units:"], of["stat::average_exec_per_sec:"],
                of["stat::slowest_unit_time_sec:"], of["stat::peak_rss_mb:"] }' "$log"
    else
        failed="$failed $target"
        printf '%-12s FAILED, the whole is in tests/fuzz/%s:\n' "$target" "$log"
        grep -E '^(==|SUMMARY|thread|    #[0-9] |Test unit)' "$log" | head -n 20
    fi
done
[ -z "$failed" ] || stop "failed:$failed" 'Mend it, and put the input into tests/fuzz/corpus/TARGET/ under a name that says what it is.'
