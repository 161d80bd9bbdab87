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
if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
else
    need docker-compose docker-compose
    compose=(docker-compose)
fi

step "images: all of them from one list"
./images.py check

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
    sed 's/_bucket$//' | sort --unique |
    comm -23 - <(grep --only-matching --extended-regexp "$known" ../docs/metrics.md | sort --unique))
[ -z "$unknown" ] || fail "not in docs/metrics.md:"$'\n'"$unknown"

step "Kubernetes: overlays against the schemas"
# From PyPI, kept in a folder that git does not see.
venv=../target/kubernetes-validate
[ -x "$venv/bin/kubernetes-validate" ] || {
    rm -rf "$venv"
    python3 -m venv "$venv" || fail "python3 -m venv does not work; Debian's package python3-venv brings it"
    "$venv/bin/pip" install --quiet --disable-pip-version-check kubernetes-validate==1.37.0
}
# With secrets as files: what an overlay of yours would say.
mkdir "$scratch/secrets"
cat >"$scratch/secrets/kustomization.yaml" <<EOF
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [$(realpath --relative-to="$scratch/secrets" k8s/overlays/prod)]
components: [$(realpath --relative-to="$scratch/secrets" k8s/components/secrets)]
EOF
# And with certificates, beside them.
mkdir "$scratch/certificates"
cat >"$scratch/certificates/kustomization.yaml" <<EOF
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [$(realpath --relative-to="$scratch/certificates" k8s/overlays/prod)]
components:
  - $(realpath --relative-to="$scratch/certificates" k8s/components/secrets)
  - $(realpath --relative-to="$scratch/certificates" k8s/components/cluster-tls)
EOF
for layer in k8s/base k8s/overlays/dev k8s/overlays/prod k8s/overlays/keda "$scratch/secrets" "$scratch/certificates"; do
    echo "  $layer"
    kubectl kustomize --load-restrictor LoadRestrictionsNone "$layer" >"$scratch/manifests.yaml"
    "$venv/bin/python" k8s/validate.py <"$scratch/manifests.yaml"
done

step "compose: the file, with and without monitoring"
"${compose[@]}" --file compose/docker-compose.yml config --quiet
"${compose[@]}" --file compose/docker-compose.yml --profile monitoring config --quiet

echo "deploy: all well"
