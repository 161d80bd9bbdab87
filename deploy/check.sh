#!/usr/bin/env bash
# Checks everything below deploy/ that can be checked without running it, without a Docker daemon. Every tool is needed;
# one that is missing fails the check with the Debian package that has it. The first run downloads two packages of
# Python from PyPI.
#
#   deploy/check.sh                  # all but what follows
#   deploy/check.sh chart            # and writes the templates of the Helm chart anew, after a change below deploy/k8s
#   deploy/check.sh start FOLDER     # and starts the programs of a folder, target/debug, with what the manifests say:
#                                    # it needs root and Redis
#   deploy/check.sh release          # a dry run of a release alone; it downloads the crates of Cargo.lock
set -euo pipefail
[ "${1:-}" != start ] || programs=$(realpath "${2:?the folder of the programs}")
cd "$(dirname "${BASH_SOURCE[0]}")"

step() { echo "==> $*"; }
fail() { echo "$*" >&2; exit 1; }
# need COMMAND PACKAGE
need() { command -v "$1" >/dev/null || fail "$1 is missing; Debian's package $2 has it"; }

if [ "${1:-}" = release ]; then
    step "releases: a dry run"
    need cargo cargo
    need git git
    need python3 python3
    need ssh-keygen openssh-client
    dpkg --status libvpx-dev >/dev/null 2>&1 || fail "libvpx-dev is missing; it is Debian's package of that name"
    # The dry run is offline.
    cargo fetch --locked --manifest-path ../Cargo.toml
    ../scripts/release_test.sh
    exit
fi

need git git
need promtool prometheus
need kubectl kubernetes-client
# Debian 12's package is 1.20, which lacks components.
minor=$(kubectl version --client --output=json | sed --quiet 's/.*"minor": "\([0-9]*\).*/\1/p')
[ "${minor:-0}" -ge 21 ] || fail "kubectl is older than 1.21; https://kubernetes.io/docs/tasks/tools/ has a current one"
need python3 python3
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

step "Prometheus: configuration, rules and their tests"
# With the rules: the configuration names them.
promtool check config prometheus/prometheus.yml
promtool test rules prometheus/alerts_test.yml
promtool test rules prometheus/slo_test.yml
prometheus/prometheusrule.sh check

step "Grafana: the syntax of the dashboard's queries"
scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
python3 grafana/queries.py >"$scratch/queries.json"
promtool check rules "$scratch/queries.json"

step "names of metrics"
known='reframe_[a-z_]+'
unknown=$(grep --recursive --no-filename --only-matching --extended-regexp "$known" prometheus grafana k8s/components |
    sed --regexp-extended 's/_(bucket|sum|count)$//' | sort --unique |
    comm -23 - <(grep --only-matching --extended-regexp "$known" ../docs/metrics.md | sort --unique))
[ -z "$unknown" ] || fail "not in docs/metrics.md:"$'\n'"$unknown"

step "Kubernetes: all that may be combined, against the schemas, and secure as shipped"
# From PyPI, kept in a folder that git does not see.
venv=../target/kubernetes-validate
[ -d "$venv"/lib/python3*/site-packages/helm_python ] || {
    rm -rf "$venv"
    python3 -m venv "$venv" || fail "python3 -m venv does not work; Debian's package python3-venv brings it"
    "$venv/bin/pip" install --quiet --disable-pip-version-check kubernetes-validate==1.37.0 helm-python-sdk==0.2.2
}
python=$venv/bin/python
mkdir "$scratch/built"
"$python" k8s/builds.py "$scratch/built"
echo "  whether faults are seen"
"$python" k8s/validate_test.py <"$scratch/built/overlays_keda.yaml"
echo "  how many workers and gateways KEDA wants"
cp k8s/components/autoscale/triggers_test.yml "$scratch"
"$python" k8s/triggers.py <"$scratch/built/overlays_keda.yaml" >"$scratch/triggers.json"
promtool test rules "$scratch/triggers_test.yml"

if [ "${1:-}" = start ]; then
    step "Kubernetes: what the manifests say starts"
    need redis-server redis-server
    "$python" k8s/start.py "$scratch/built" "$programs"
fi

step "Helm: the chart is made of the same sources, lints, and makes the same objects"
if [ "${1:-}" = chart ]; then
    "$python" chart/generate.py "$scratch/built"
else
    "$python" chart/generate.py "$scratch/built" --check
fi
"$python" chart/compare.py "$scratch/built"

step "compose: the files, with and without monitoring, and secure as shipped"
export TURN_SECRET_FILE=/dev/null REFRAME_SECRETS=/etc/reframe
export REFRAME_ALLOWED_HOSTS=video.example.com REFRAME_PUBLIC_IP=203.0.113.7
# project FILE... : what becomes of these together.
project() { "${compose[@]}" "${@/#/--file=compose/}" --profile monitoring config; }
valid() { "$venv/bin/python" compose/validate.py "$@"; }
"${compose[@]}" --file compose/docker-compose.yml config --quiet
project docker-compose.yml >"$scratch/demo.yaml"
valid <"$scratch/demo.yaml"
echo "  with a TURN server"
project docker-compose.yml turn.yml | valid
echo "  production"
project docker-compose.yml production.yml >"$scratch/production.yaml"
valid "$scratch/demo.yaml" <"$scratch/production.yaml"
echo "  workers with a way out: nothing else differs"
project docker-compose.yml workers-out.yml >"$scratch/out.yaml"
found=$(valid <"$scratch/out.yaml" 2>&1) || true
[ "$found" = "    worker: is in other networks" ] || fail "$found"
echo "  whether faults are seen"
"$venv/bin/python" compose/validate_test.py "$scratch/demo.yaml" "$scratch/production.yaml"

echo "deploy: all well"
