#!/usr/bin/env bash
# Tries in a real cluster what deploy/check.sh cannot: unproven, as no cluster was at hand when it was written. It
# makes the namespaces reframe-dev and reframe-try-restricted and deletes them at its end. For a cluster of yours
# alone, kind or k3s:
#
#   deploy/k8s/try.sh CONTEXT
#
# The cluster must have the images reframe-gateway:dev and reframe-worker:dev, and one node at least.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
[ $# = 1 ] || { sed -n 's/^# \{0,1\}//p' "$0" | sed 1d >&2; exit 64; }

kubectl() { command kubectl --context "$context" "$@"; }
step() { echo "==> $*"; }
fail() { echo "$*" >&2; exit 1; }
context=$1
dev=(kubectl -n reframe-dev)
scratch=$(mktemp -d)
end() {
    rm -rf -- "$scratch"
    kubectl delete namespace reframe-dev reframe-try-restricted --ignore-not-found --wait=false
}
trap end EXIT

[ -e components/secrets/made ] || fail "make secrets first: reframe-gateway cluster-init $PWD/components/secrets/made"

step "one of each starts, also with the level of Pod Security that the namespace is labelled for"
kubectl apply -k overlays/dev
for deployment in gateway worker redis; do
    "${dev[@]}" rollout status "deployment/reframe-$deployment" --timeout=120s
done

step "a gateway finds the worker, and serves its health on both ports"
port() { "${dev[@]}" exec deploy/reframe-gateway -- bash -c \
    "exec 3<>/dev/tcp/localhost/$1 && printf 'GET $2 HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3 && cat <&3"; }
port 8080 /readyz | grep --quiet '^HTTP/1.. 200' || fail "/readyz of the public port"
for _ in {1..30}; do
    port 9090 /metrics | grep --quiet '^reframe_workers_serving 1' && found=yes && break
    sleep 1
done
[ "${found:-}" ] || fail "the gateway has no worker after 30 s"

step "what browsers are told: must be an address at which they reach this node"
"${dev[@]}" logs deploy/reframe-gateway | grep 'browsers are told these addresses for media' ||
    fail "the log does not say which addresses browsers are told"

step "the zone reaches the pod, where nodes have one (Kubernetes 1.35)"
"${dev[@]}" get pods --output custom-columns='POD:.metadata.name,ZONE:.metadata.labels.topology\.kubernetes\.io/zone'

step "policies hold: a pod of nobody reaches no worker"
if "${dev[@]}" run stranger --rm --stdin --restart=Never --image=reframe-worker:dev --command -- \
    timeout 5 bash -c 'exec 3<>/dev/tcp/reframe-worker/50051'; then
    fail "a stranger reached a worker: this cluster's network plug-in enforces no policies"
fi

step "workers are replaced one after the other, and one is ready at each time"
"${dev[@]}" rollout restart deployment/reframe-worker
"${dev[@]}" rollout status deployment/reframe-worker --timeout=180s

step "a namespace for restricted takes all but the two components that say so"
for media in stunner lb-per-pod host-port host-network; do
    mkdir "$scratch/$media"
    cat >"$scratch/$media/kustomization.yaml" <<END
namespace: reframe-try-restricted
resources: [$(realpath --relative-to="$scratch/$media" base)]
components: [$(realpath --relative-to="$scratch/$media" "components/media/$media")]
END
    kubectl kustomize --load-restrictor LoadRestrictionsNone "$scratch/$media" >"$scratch/$media.yaml"
done
kubectl create namespace reframe-try-restricted
kubectl label namespace reframe-try-restricted pod-security.kubernetes.io/warn=restricted
for media in stunner lb-per-pod host-port host-network; do
    # The custom resources of an operator that is not there are refused; of the others the warnings are of interest.
    kubectl apply --dry-run=server -f "$scratch/$media.yaml" >"$scratch/told" 2>&1 || true
    grep --invert-match 'dry run' "$scratch/told" || true
    case "$media" in
    host-*) grep --quiet 'would violate PodSecurity' "$scratch/told" || fail "$media is not warned of" ;;
    *) ! grep --quiet 'would violate PodSecurity' "$scratch/told" || fail "$media is warned of" ;;
    esac
done
echo "all well"
