#!/usr/bin/env bash
# Whether scripts/release.sh does what docs/releases.md says of it: a dry run in a clone of this tree, with what is
# changed and not committed. Nothing is compiled, and no registry is asked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
here=$PWD
scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
export CARGO_NET_OFFLINE=true CARGO_TARGET_DIR=$scratch/target

fail() { echo "$*" >&2; exit 1; }
# fails WITH COMMAND...: it does, and says that.
fails() {
    local said
    if said=$("${@:2}" 2>&1); then
        fail "it went well, and must not: ${*:2}"
    fi
    [[ $said == *"$1"* ]] || fail "no \`$1\` in what ${*:2} says: $said"
}

git clone --quiet --no-hardlinks . "$scratch/clone"
# What the working tree has and the last commit has not, deleted files too.
git diff --binary HEAD >"$scratch/changes"
cd "$scratch/clone"
git config user.name test
git config user.email test@example.com
[ ! -s "$scratch/changes" ] || git apply --index "$scratch/changes"
(cd "$here" && git ls-files --others --exclude-standard -z |
    xargs -0 --no-run-if-empty cp --parents -t "$scratch/clone")
git add --all
git commit --quiet --allow-empty --message "as it is here"

echo "    a version without a section, or that stands otherwise elsewhere, is told"
sed -i 's/newTag: [0-9][^ ]*/newTag: 7.7.7/' deploy/k8s/overlays/prod/kustomization.yaml
version=$(scripts/version.py)
fails "deploy/k8s/overlays/prod/kustomization.yaml" scripts/version.py check
git checkout --quiet deploy
fails "9.9: not a version" scripts/version.py set 9.9

echo "    a version is prepared"
scripts/release.sh prepare 99.1.0 >/dev/null
[ "$(scripts/version.py)" = 99.1.0 ] || fail "Cargo.toml has $(scripts/version.py)"
grep --quiet 'newTag: 99.1.0' deploy/k8s/overlays/prod/kustomization.yaml || fail "the tag of an image"
grep --quiet "^## 99.1.0 - $(date --utc +%F)$" CHANGELOG.md || fail "no section in CHANGELOG.md"
! grep --fixed-strings --quiet "\"$version\"" docs/openapi.json || fail "docs/openapi.json has $version still"
sed -i "s/^| 0.1 | \(.*\)/&\n| 99.1 | \1/" docs/releases.md
git commit --quiet --all --message "Release 99.1.0"
fails "CHANGELOG.md has a section 99.1.0 already" scripts/release.sh prepare 99.1.0
fails "not newer than 99.1.0" scripts/changelog.py release 99.1.0-rc.1

echo "    a dry run goes through, and leaves the tree and its tags alone"
scripts/release.sh >"$scratch/said" 2>&1 || fail "$(cat "$scratch/said")"
out=target/release-99.1.0
[ -z "$(git status --porcelain)$(git tag)" ] || fail "the tree has changed"
grep --quiet '\$ docker buildx build .*--platform linux/amd64,linux/arm64 .*/reframe-gateway:99.1.0 --push' "$scratch/said" ||
    fail "no image is said"
for file in NOTES.md reframe-99.1.0.tar.gz reframe-{proto,trace,tls,gateway,worker}-99.1.0.crate; do
    grep --quiet "  $file$" "$out/SHA256SUMS" || fail "$file is not in SHA256SUMS"
done
tar -tzf "$out/reframe-99.1.0.tar.gz" reframe-99.1.0/Cargo.toml >/dev/null
grep --quiet '^### ' "$out/NOTES.md" || fail "the notes are empty"
# What a registry gets: the text of the licences too, and no file of ours that is for this tree alone.
for crate in "$out"/*.crate; do
    grep --quiet '/LICENSE-MIT$' <<<"$(tar -tzf "$crate")" || fail "$crate has no licence"
done

echo "    bills of materials: crates, and libraries in C with the versions that are here"
bill=$out/reframe-gateway-99.1.0-$(dpkg --print-architecture).cdx.json
python3 - "$bill" "$out/reframe-worker-99.1.0-$(dpkg --print-architecture).cdx.json" <<'PYTHON'
import json
import subprocess
import sys

gateway, worker = [json.load(open(name)) for name in sys.argv[1:]]
assert gateway["metadata"]["component"]["version"] == "99.1.0", gateway["metadata"]
of = {component["name"]: component for component in gateway["components"]}
asked = subprocess.run(["dpkg-query", "-Wf", "${Version}", "libvpx-dev"], check=True, capture_output=True, text=True)
assert of["libvpx"]["version"] == asked.stdout, of["libvpx"]
assert any(each["purl"].startswith("pkg:github/cisco/openh264@") for each in gateway["components"])
assert "mimalloc" in of and "webrtc" in of and "tokio" in of and "reframe-proto" in of
assert of["tokio"]["hashes"][0]["alg"] == "SHA-256" and of["tokio"]["scope"] == "required"
assert of["cc"]["scope"] == "excluded", "a tool of the build is no part of the program"
# The tests' own WebRTC client; and a worker alone has no codec in it.
assert "str0m" not in of
assert not {"webrtc", "libvpx", "openh264-sys2"} & {component["name"] for component in worker["components"]}
references = {each["bom-ref"] for each in [gateway["metadata"]["component"], *gateway["components"]]}
assert all({edge["ref"], *edge["dependsOn"]} <= references for edge in gateway["dependencies"])
PYTHON

echo "    signed files are verified, and others are not"
verify() { scripts/release.sh verify "$1" "${2:-$out/SIGNERS.dry-run}"; }
verify "$out" >/dev/null
copy() { rm -rf "$scratch/copy" && cp -r "$out" "$scratch/copy"; }
copy && echo more >>"$scratch/copy/NOTES.md"
fails "these files are not those of the release" verify "$scratch/copy"
copy && rm "$scratch/copy/reframe-99.1.0.tar.gz"
fails "these files are not those of the release" verify "$scratch/copy"
copy && echo more >>"$scratch/copy/NOTES.md" && (cd "$scratch/copy" && sha256sum NOTES.md >SHA256SUMS)
fails "not the file that was signed" verify "$scratch/copy"
ssh-keygen -q -t ed25519 -N '' -f "$scratch/foreign"
sign() { rm "$scratch/copy/SHA256SUMS.sig" && ssh-keygen -q -Y sign -f "$scratch/foreign" -n "$1" "$scratch/copy/SHA256SUMS"; }
copy && sign reframe-release 2>/dev/null
fails "a key that is not in" verify "$scratch/copy"
# The right key, and a signature for another purpose.
echo "somebody namespaces=\"reframe-release\" $(cat "$scratch/foreign.pub")" >"$scratch/signers"
verify "$scratch/copy" "$scratch/signers" >/dev/null
sign git 2>/dev/null
fails "not the file that was signed" verify "$scratch/copy" "$scratch/signers"
rm "$scratch/copy/SHA256SUMS.sig"
fails "has no SHA256SUMS.sig" verify "$scratch/copy"
echo "    for good: nothing with a foreign key, from a tree that is not committed, or of a version that has a tag"
publish() { scripts/release.sh publish --key "$scratch/foreign" --registry registry.example.com/reframe; }
fails "a key that is not in" publish
cat "$scratch/signers" >>scripts/release-signers.txt
fails "a clean tree" publish
git commit --quiet --all --message "Somebody signs"
git tag v99.1.0
fails "v99.1.0 is a tag already" publish
# The same key signs the tag.
sed 's/reframe-release/reframe-release,git/' "$scratch/signers" >"$scratch/signers-of-tags"
git -c gpg.format=ssh -c "user.signingkey=$scratch/foreign" tag --sign --message "Reframe 99.1.0" v99.1.1
git -c "gpg.ssh.allowedSignersFile=$scratch/signers-of-tags" verify-tag v99.1.1 2>/dev/null || fail "the tag's signature"
fails "scripts/release.sh prepare VERSION" scripts/release.sh publish --registry registry.example.com/reframe
