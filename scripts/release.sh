#!/usr/bin/env bash
# Makes a release of the version that Cargo.toml has (docs/releases.md).
#
#   scripts/release.sh                     a dry run: what is quick and stays on this machine is done, in
#                                          target/release-VERSION; the rest is said. Ends with 1 if something is missing
#   scripts/release.sh prepare VERSION     writes the version everywhere, and a section of CHANGELOG.md, for you to commit
#   scripts/release.sh publish --key FILE --registry NAME
#                                          all of it, for good: wheels, images, crates, tag. FILE is an SSH key of
#                                          scripts/release-signers.txt; NAME as in registry.example.com/reframe
#   scripts/release.sh verify FOLDER [SIGNERS]
#                                          whether the files of a release are those that were signed
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Leaves first, as they are released.
crates=(reframe-proto reframe-trace reframe-tls reframe-gateway reframe-worker)
signers=$here/scripts/release-signers.txt
# What a signature is for: one for other files, or for a tag of git, does not count.
namespace=reframe-release

usage() { sed -n '2,/^set/ { /^# /s/^# // p }' "${BASH_SOURCE[0]}" >&2; exit 1; }
step() { echo "==> $*"; }
fail() { echo "$*" >&2; exit 1; }
missing=0
# What must not be in a release: a dry run goes on, to find the others too.
problem() {
    [ "$mode" = dry ] || fail "$*"
    echo "    MISSING: $*" >&2
    missing=$((missing + 1))
}
# What this machine lacks for a release, and a dry run does without.
lacks() {
    [ "$mode" = dry ] || fail "$*"
    echo "    not here: $*"
}
# run COMMAND...: in a dry run it is said only.
run() {
    echo "    \$ $*"
    [ "$mode" = dry ] || "$@"
}

# verify FOLDER SIGNERS: first who signed the list, then each file that is in it.
verify() {
    cd "$1"
    [ -e SHA256SUMS.sig ] || fail "$1 has no SHA256SUMS.sig: download it too"
    # Whose key it is: the name that the signers' file has for it.
    local signer
    signer=$(ssh-keygen -Y find-principals -f "$2" -s SHA256SUMS.sig 2>/dev/null) ||
        fail "SHA256SUMS.sig is of a key that is not in $2"
    ssh-keygen -Y verify -f "$2" -I "$signer" -n "$namespace" -s SHA256SUMS.sig <SHA256SUMS >/dev/null 2>&1 ||
        fail "SHA256SUMS is not the file that was signed"
    sha256sum --check --quiet --strict SHA256SUMS || fail "these files are not those of the release"
    echo "    signed by $signer; $(wc -l <SHA256SUMS) files as they were then"
}

# sign FOLDER: its list of checksums, and sees that everybody else would believe it. The key may be in an agent.
sign() {
    ssh-keygen -q -Y sign -f "$key" -n "$namespace" "$1/SHA256SUMS" 2>/dev/null || fail "$key does not sign"
    # In a process of its own: it goes to that folder.
    (verify "$1" "$signers")
}

prepare() {
    scripts/changelog.py check
    scripts/changelog.py release "$1"
    scripts/version.py set "$1"
    scripts/version.py check
    # Each of our crates has the new version in it, and nothing else has moved.
    cargo metadata --locked --format-version 1 --no-deps >/dev/null
    git --no-pager diff --stat
    echo "Read it, then: git commit --all --message 'Release $1' && make release"
}

# bill_of_materials PROGRAM [OPTION OF CARGO...]: for each processor of which Debian's libraries are here.
bill_of_materials() {
    local architecture file
    for architecture in amd64 arm64; do
        file=$1-$version-$architecture.cdx.json
        if said=$(scripts/sbom.py "$1" "$architecture" "${@:2}" 2>&1 >"$out/$file"); then
            echo "    $file: $(grep --count '"bom-ref"' "$out/$file") components"
        elif [[ $said == *"is not installed"* ]]; then
            rm "$out/$file"
            lacks "$file: $said"
        else
            fail "$said"
        fi
    done
}

release() {
    version=$(scripts/version.py)
    out=$here/target/release-$version
    rm -rf "$out"
    mkdir -p "$out"

    step "the key"
    scratch=$(mktemp -d)
    trap 'rm -rf -- "$scratch"' EXIT
    if [ "$mode" = dry ]; then
        echo "    one for this once, to see that signing and verifying work"
        key=$scratch/key signers=$scratch/signers
        ssh-keygen -q -t ed25519 -N '' -C 'dry run' -f "$key"
        echo "dry-run namespaces=\"$namespace\" $(cat "$key.pub")" | tee "$out/SIGNERS.dry-run" >"$signers"
    fi
    # Before anything is given away.
    mkdir "$scratch/try"
    echo "nothing" >"$scratch/try/file"
    (cd "$scratch/try" && sha256sum file >SHA256SUMS)
    sign "$scratch/try"

    step "the tree"
    [ -z "$(git status --porcelain)" ] || problem "a clean tree: git status says what is not committed"
    echo "    $(git log -1 --format='%h %s')"

    step "version $version, the same everywhere"
    said=$(scripts/version.py check 2>&1) || problem "$said"

    step "CHANGELOG.md"
    said=$(scripts/changelog.py check 2>&1) || problem "$said"
    scripts/changelog.py notes "$version" >"$out/NOTES.md" 2>/dev/null || {
        problem "a section $version in CHANGELOG.md: scripts/release.sh prepare $version"
        scripts/changelog.py notes Unreleased >"$out/NOTES.md"
    }
    echo "    NOTES.md: $(wc -l <"$out/NOTES.md") lines"

    step "which versions go together"
    protocol=$(sed -n 's/^pub const PROTOCOL_VERSION: u32 = \([0-9]*\);$/\1/p' proto/src/lib.rs)
    grep --quiet "^| ${version%.*} | ${protocol:?no PROTOCOL_VERSION in proto/src/lib.rs} |" docs/releases.md ||
        problem "a row for ${version%.*} and protocol $protocol in docs/releases.md"
    echo "    protocol $protocol"

    step "tag v$version"
    if git rev-parse --quiet --verify "refs/tags/v$version" >/dev/null; then
        problem "another version: v$version is a tag already"
    fi

    step "source"
    git archive --format=tar --prefix="reframe-$version/" HEAD | gzip --no-name >"$out/reframe-$version.tar.gz"
    echo "    reframe-$version.tar.gz: $(du -h "$out/reframe-$version.tar.gz" | cut -f1)"

    step "crates, as crates.io would get them"
    packages=("${crates[@]/#/--package=}")
    [ "$(cargo metadata --locked --no-deps --format-version 1 | grep --only-matching '"repository":null' | wc -l)" = 0 ] ||
        echo "    note: the manifests name no repository, so crates.io will show none: \`repository\` in Cargo.toml"
    # Compiled by the tests already. A dirty tree is a problem above.
    said=$(cargo package --locked --no-verify --allow-dirty "${packages[@]}" 2>&1) || fail "$said"
    sed -n 's/^ *\(Packaged\)/    \1/p' <<<"$said"
    for crate in "${crates[@]}"; do
        cp "${CARGO_TARGET_DIR:-target}/package/$crate-$version.crate" "$out/"
    done

    step "bills of materials: crates, and libraries in C"
    bill_of_materials reframe-gateway
    bill_of_materials reframe-worker --no-default-features --features demos
    bill_of_materials reframe-python

    step "wheels: with OpenH264, and without"
    for h264 in yes no; do
        run make wheel "H264=$h264"
        [ "$mode" = dry ] || cp target/python/wheels/*.whl "$out/"
    done

    if [ -e deploy/chart/Chart.yaml ]; then
        step "chart"
        command -v helm >/dev/null || lacks "helm, which packs the chart"
        run helm package deploy/chart --destination "$out"
    fi

    step "images for amd64 and arm64"
    docker buildx version >/dev/null 2>&1 || lacks "docker buildx, which builds for several processors"
    for image in gateway worker handler-base wheel; do
        platforms=linux/amd64,linux/arm64
        # It is built on the processor that it is for.
        [ "$image" != wheel ] || platforms=linux/$(dpkg --print-architecture)
        run docker buildx build --file deploy/Dockerfile --target "$image" --platform "$platforms" \
            --provenance=mode=max --sbom=true --metadata-file "$out/image-$image.json" \
            --tag "$registry/reframe-$image:$version" --push .
    done

    step "checksums"
    (cd "$out" && find . -type f ! -name 'SHA256SUMS*' ! -name 'SIGNERS*' -printf '%P\0' | LC_ALL=C sort -z |
        xargs -0 sha256sum >SHA256SUMS)
    echo "    SHA256SUMS: $(wc -l <"$out/SHA256SUMS") files"

    step "signature"
    sign "$out"

    step "for good"
    run cargo publish --locked --no-verify "${packages[@]}"
    run git -c gpg.format=ssh -c "user.signingkey=$key" tag --sign --message "Reframe $version" "v$version"
    run git push origin "v$version"

    step "what is left to do by hand: put the files of $out where people download them, and the wheels on PyPI"
    [ "$missing" = 0 ] || fail "dry run: $missing missing"
}

mode=dry key='' registry=registry.example.com/reframe
cd "$here"
case ${1:-} in
'') release ;;
prepare)
    [ $# = 2 ] || usage
    prepare "$2"
    ;;
publish)
    mode=publish registry=''
    shift
    while [ $# -gt 1 ]; do
        case $1 in
        --key) key=$(realpath "$2") ;;
        --registry) registry=$2 ;;
        *) usage ;;
        esac
        shift 2
    done
    [[ $# = 0 && -n $key && -n $registry ]] || usage
    release
    ;;
verify)
    [ $# -ge 2 ] || usage
    cd "$OLDPWD"
    verify "$2" "$(realpath "${3:-$signers}")"
    ;;
*) usage ;;
esac
