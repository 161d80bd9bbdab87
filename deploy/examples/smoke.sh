#!/usr/bin/env bash
# Whether gateways of a version take the worker of an image: starts both, and waits until the gateway has asked for its
# health and its declaration (`Describe`) and would give it sessions. Needs Docker alone; half a minute at most.
#
#   smoke.sh IMAGE [GATEWAY_IMAGE]
#
# ENVIRONMENT has further options of the worker's container: ENVIRONMENT="--gpus all --env MODEL=small".
set -euo pipefail
image=$1
gateway_image=${2:-reframe-gateway}
patience=30
name=reframe-smoke-$$

clean_up() {
    local code=$?
    [ "$code" = 0 ] || docker logs "$name-gateway" 2>&1 | tail -n 20 >&2 || true
    [ "$code" = 0 ] || docker logs "$name-worker" 2>&1 | tail -n 20 >&2 || true
    docker rm --force --volumes "$name-worker" "$name-gateway" >/dev/null 2>&1 || true
    docker network rm "$name" >/dev/null 2>&1 || true
    exit "$code"
}
trap clean_up EXIT

docker network create --internal "$name" >/dev/null
# As it is confined where it serves: deploy/compose, deploy/k8s. Certificates belong to an installation, not to an
# image.
# shellcheck disable=SC2086 # a list of options
docker run --detach --name "$name-worker" --network "$name" --network-alias worker --read-only --cap-drop ALL \
    --security-opt no-new-privileges:true --env REFRAME_CLUSTER_TLS=off ${ENVIRONMENT:-} "$image" >/dev/null
docker run --detach --name "$name-gateway" --network "$name" --env REFRAME_AUTH=none --env REFRAME_CLUSTER_TLS=off \
    --env REFRAME_WORKERS=http://worker:50051 "$gateway_image" >/dev/null

# What the gateway says of its workers. Its image has bash, and no HTTP client.
metrics() {
    docker exec "$name-gateway" bash -c 'exec 3<>/dev/tcp/127.0.0.1/9090
        printf "GET /metrics HTTP/1.0\r\n\r\n" >&3; cat <&3' 2>/dev/null | tr -d '\r'
}
# has PATTERN: one of the lines of it.
has() { grep --extended-regexp "$1" <<<"$(metrics || true)"; }
until has '^reframe_workers_serving(\{.*\})? [1-9]' >/dev/null; do
    for container in worker gateway; do
        [ "$(docker inspect --format '{{.State.Running}}' "$name-$container")" = true ] ||
            { echo "the $container has ended; the last lines of both:" >&2; exit 1; }
    done
    ! has '^reframe_workers_refused_total\{.*\} [1-9]' >&2 ||
        { echo "the gateway refuses this worker; the last lines of both:" >&2; exit 1; }
    [ "$SECONDS" -lt "$patience" ] ||
        { echo "not used by the gateway within $patience s; the last lines of both:" >&2; exit 1; }
    sleep 0.5
done
docker logs "$name-gateway" 2>&1 | sed -n 's/.*INFO.*\(worker declares\)/    the gateway: \1/p'

# An orchestrator's SIGTERM ends it by itself, well within its grace.
docker stop --time 40 "$name-worker" >/dev/null
code=$(docker inspect --format '{{.State.ExitCode}}' "$name-worker")
[ "$code" = 0 ] || { echo "it ended with $code on SIGTERM" >&2; exit 1; }
echo "well: $image serves, and stops when it is told to"
