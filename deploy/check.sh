#!/usr/bin/env bash
# Checks everything below deploy/ that can be checked without running it: seconds, no Docker daemon. Every tool is
# needed; one that is missing fails the check with the Debian package that has it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

step() { echo "==> $*"; }
fail() { echo "$*" >&2; exit 1; }
# need COMMAND PACKAGE
need() { command -v "$1" >/dev/null || fail "$1 is missing; Debian's package $2 has it"; }

need promtool prometheus
need kubectl kubernetes-client
need python3 python3
need ssh-keygen openssh-client
if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
else
    need docker-compose docker-compose
    compose=(docker-compose)
fi

step "images: all of them from one list"
./images.py check

step "the version, the same everywhere, and CHANGELOG.md"
../scripts/version.py check
../scripts/changelog.py check

step "releases: a dry run"
../scripts/release_test.sh

step "Prometheus: configuration, rules and their tests"
# With the rules: the configuration names them.
promtool check config prometheus/prometheus.yml
promtool test rules prometheus/alerts_test.yml

step "Grafana: the syntax of the dashboard's queries"
scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
python3 grafana/queries.py >"$scratch/queries.json"
promtool check rules "$scratch/queries.json"

step "names of metrics"
known='reframe_[a-z_]+'
unknown=$(grep --recursive --no-filename --only-matching --extended-regexp "$known" prometheus grafana k8s/overlays/keda |
    sed --regexp-extended 's/_(bucket|sum|count)$//' | sort --unique |
    comm -23 - <(grep --only-matching --extended-regexp "$known" ../docs/metrics.md | sort --unique))
[ -z "$unknown" ] || fail "not in docs/metrics.md:"$'\n'"$unknown"

step "Kubernetes: overlays against the schemas, and secure as shipped"
# From PyPI, kept in a folder that git does not see.
venv=../target/kubernetes-validate
[ -x "$venv/bin/kubernetes-validate" ] || {
    rm -rf "$venv"
    python3 -m venv "$venv" || fail "python3 -m venv does not work; Debian's package python3-venv brings it"
    "$venv/bin/pip" install --quiet --disable-pip-version-check kubernetes-validate==1.37.0
}
# A copy, with files in the place of those that `reframe-gateway cluster-init` makes.
cp -r k8s "$scratch/k8s"
made=$scratch/k8s/components/secrets/made
rm -rf "$made" && mkdir "$made"
for file in ca.pem {gateway,worker,redis}{,-key}.pem auth.key session.key admin.token redis.acl redis.password; do
    echo "$file" >"$made/$file"
done
# overlay NAME COMPONENT...: prod and components, as an overlay of yours would have them.
overlay() {
    mkdir "$scratch/k8s/overlays/$1"
    {
        echo "apiVersion: kustomize.config.k8s.io/v1beta1"
        echo "kind: Kustomization"
        echo "resources: [../prod]"
        echo "components:"
        printf '  - ../../components/%s\n' "${@:2}"
    } >"$scratch/k8s/overlays/$1/kustomization.yaml"
}
overlay components cluster-tls turn https-out
# Those that the component makes, of which the base knows the names; and one that nobody makes here.
access=(reframe-access reframe-{gateway,worker,redis}-tls reframe-redis-acl reframe-redis-password)
for layer in base overlays/dev overlays/prod overlays/keda overlays/components; do
    echo "  $layer"
    kubectl kustomize "$scratch/k8s/$layer" >"$scratch/manifests.yaml"
    elsewhere=()
    case "$layer" in
    base) elsewhere=("${access[@]}") ;;
    overlays/components) elsewhere=(reframe-turn) ;;
    esac
    "$venv/bin/python" k8s/validate.py "${elsewhere[@]}" <"$scratch/manifests.yaml"
done
echo "  whether faults are seen"
kubectl kustomize "$scratch/k8s/overlays/keda" >"$scratch/manifests.yaml"
"$venv/bin/python" k8s/validate_test.py <"$scratch/manifests.yaml"
echo "  how many workers KEDA wants"
"$venv/bin/python" k8s/triggers.py <"$scratch/manifests.yaml" >"$scratch/k8s/overlays/keda/triggers.json"
promtool test rules "$scratch/k8s/overlays/keda/triggers_test.yml"

step "compose: the file, with and without monitoring, and secure as shipped"
project() { TURN_SECRET_FILE=/dev/null "${compose[@]}" "${@/#/--file=compose/}" --profile monitoring config; }
"${compose[@]}" --file compose/docker-compose.yml config --quiet
project docker-compose.yml | "$venv/bin/python" compose/validate.py test
project docker-compose.yml turn.yml | "$venv/bin/python" compose/validate.py
project docker-compose.yml workers-out.yml >/dev/null

echo "deploy: all well"
