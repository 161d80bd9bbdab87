#!/usr/bin/env bash
# Builds the images, runs the compose stack and takes parts of it away while somebody watches a stream: `make
# test-deploy`. Needs Docker with compose, Chromium, half an hour for the first build of the images and a minute after
# that. Where no image registry is reachable, the images beneath are made here (base-images.sh; as root).
#
# REFRAME_SMOKE names a program to watch with, in place of the one that is built here (tests/src/bin/smoke.rs).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Its own names and ports: what else runs on this machine is left alone.
project=reframe-test
export HTTP_PORT=18080 MEDIA_PORT=17000 ADMIN_PORT=19090 PROMETHEUS_PORT=19091
export GATEWAY_IMAGE=$project-gateway WORKER_IMAGE=$project-worker REFRAME_DEMO=flip
page=http://localhost:$HTTP_PORT admin=http://127.0.0.1:$ADMIN_PORT prometheus=http://127.0.0.1:$PROMETHEUS_PORT
# For anything to come true. Seconds.
patience=60

step() { echo "==> $*"; }
fail() { echo "failed: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || fail "$1 is missing; Debian's package $2 has it"; }

need docker docker.io
need curl curl
need python3 python3
need chromedriver chromium-driver
docker info >/dev/null || fail "no Docker daemon answers"
if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
else
    need docker-compose docker-compose
    compose=(docker-compose)
fi
compose+=(--project-name "$project" --file deploy/compose/docker-compose.yml)

# eventually WHAT COMMAND...
eventually() {
    local what=$1 until=$((SECONDS + patience))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$until" ] || fail "not within $patience s: $what"
        sleep 0.2
    done
}

# metric NAME [LABELS]: the sum of its series whose labels hold this text.
metric() {
    curl --silent --fail "$admin/metrics" |
        awk -v name="$1" -v labels="${2:-}" '{ split($1, part, "{") }
            part[1] == name && index($0, labels) { sum += $NF } END { print sum + 0 }'
}
metric_is() { [ "$(metric "$1" "$2")" = "$3" ]; }
# At least one more than before: a busy machine may see a worker hang that was not touched.
failovers() { metric reframe_failovers_total "outcome=\"$1\""; }
more_failovers() { [ "$(failovers "$1")" -gt "$2" ] || fail "no session was $1"; }
ready() { curl --silent --fail --output /dev/null "$admin/readyz"; }
workers_are() { metric_is reframe_worker_up "" "$1"; }

# The worker that has the session, by its address among the gateway's metrics.
busy_worker() {
    local address container
    address=$(curl --silent --fail "$admin/metrics" |
        sed -n 's|^reframe_worker_sessions{worker="http://\([0-9.]*\):.*"} [1-9].*|\1|p')
    for container in $("${compose[@]}" ps --quiet worker); do
        if docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$container" |
            grep --quiet --line-regexp --fixed-strings "$address"; then
            echo "$container"
            return
        fi
    done
    fail "no worker has the session: ${address:-none}"
}

# stopped_well CONTAINER: its process ended by itself, in time and without complaint.
stopped_well() {
    local code
    code=$(docker inspect --format '{{.State.ExitCode}}' "$1")
    [ "$code" = 0 ] || fail "$1 ended with $code"
}

# goes_on WHAT: the stream does, after that.
goes_on() {
    local line
    echo "$1" >&"${smoke[1]}"
    read -r -t "$patience" line <&"${smoke[0]}" || fail "the stream does not go on: $1"
    echo "    $line"
}

clean_up() {
    local code=$?
    trap - EXIT
    if [ "$code" != 0 ]; then
        "${compose[@]}" logs --tail 40 gateway worker redis >&2 || true
    fi
    [ -z "${smoke_PID:-}" ] || kill "$smoke_PID" 2>/dev/null || true
    "${compose[@]}" --profile monitoring down --volumes --timeout 5 >/dev/null 2>&1 || true
    exit "$code"
}

step "images"
if ! timeout 60 docker pull --quiet "$(deploy/images.py name debian)" >/dev/null 2>&1; then
    echo "    no registry is reachable"
    variables=$(deploy/base-images.sh)
    eval "$variables"
fi
for target in gateway worker; do
    DOCKER_BUILDKIT=1 docker build --quiet --file deploy/Dockerfile --target "$target" --tag "$project-$target" \
        ${BUILD_IMAGE:+--build-arg "BUILD_IMAGE=$BUILD_IMAGE" --build-arg "RUNTIME_IMAGE=$RUNTIME_IMAGE"} . >/dev/null
    docker image inspect --format '    {{index .RepoTags 0}}: {{.Size}} bytes, user {{.Config.User}}' "$project-$target"
    # Its bill of materials: of what was built, so a worker alone has no WebRTC in it.
    docker run --rm --entrypoint=cat "$project-$target" "/usr/share/sbom/reframe-$target.cdx.json" |
        python3 -c '
import json, sys
names = {component["name"] for component in json.load(sys.stdin)["components"]}
print(f"    {len(names)} crates")
sys.exit(not (len(names) > 50 and "tonic" in names and ("webrtc" in names) == (sys.argv[1] == "gateway")))
' "$target" || fail "the bill of materials of $target is not what it was built from"
done
if [ -z "${REFRAME_SMOKE:-}" ]; then
    cargo build --package reframe-tests --bin reframe-smoke
    REFRAME_SMOKE=${CARGO_TARGET_DIR:-target}/debug/reframe-smoke
fi

step "the stack: a gateway, two workers, Redis, Prometheus"
trap clean_up EXIT
"${compose[@]}" up --detach --no-build gateway worker redis prometheus >/dev/null 2>&1
gateway=$("${compose[@]}" ps --quiet gateway)
eventually "the gateway is ready" ready
eventually "two workers" workers_are 2

step "a stream in Chromium"
token=$("${compose[@]}" exec -T gateway reframe-gateway token --stream flip)
[ "$(curl --silent --output /dev/null --write-out '%{http_code}' "$page/api/streams")" = 401 ] || fail "no token is needed"
[ "$(curl --silent --output /dev/null --write-out '%{http_code}' "$admin/api/sessions")" = 401 ] || fail "anybody sees the sessions"
coproc smoke { exec "$REFRAME_SMOKE" "$page/?t=$token"; }
read -r -t "$patience" line <&"${smoke[0]}" || fail "no picture comes back"
echo "    $line"

step "Redis is restarted"
docker restart --time 0 "$("${compose[@]}" ps --quiet redis)" >/dev/null
goes_on "without Redis for a moment"

step "the worker that has the stream is killed"
worker=$(busy_worker)
before=$(failovers recovered)
docker kill "$worker" >/dev/null
goes_on "on another worker"
more_failovers recovered "$before"

step "four workers"
"${compose[@]}" up --detach --no-build --no-recreate --scale worker=4 gateway worker redis prometheus >/dev/null 2>&1
eventually "four workers" workers_are 4

step "the worker that has the stream is stopped"
worker=$(busy_worker)
before=$(failovers moved)
docker stop --time 35 "$worker" >/dev/null
stopped_well "$worker"
goes_on "moved in time"
more_failovers moved "$before"

step "Prometheus"
# All but those of what does not happen here, or may not, or once: its first time is when Prometheus learns of it.
may_be_without="Sessions ended|Setup time|Failover time|Claim time|Dropped and skipped|Release error, p99|Stuck handlers|Workers refused|Packets dropped|Errors and forwarded requests"
panels_have_data() {
    local without
    without=$(python3 deploy/grafana/queries.py "$prometheus" 2>&1) || return 1
    without=$(grep --invert-match --line-regexp --extended-regexp "$may_be_without" <<<"$without")
    [ -z "$without" ]
}
eventually "every panel of the dashboard has data" panels_have_data
! curl --silent --fail "$prometheus/api/v1/rules" | grep --fixed-strings '"health":"err"' || fail "rules that fail"
if command -v promtool >/dev/null; then
    curl --silent --fail "$admin/metrics" | promtool check metrics
fi

step "the gateway is stopped, and started again"
docker stop --time 15 "$gateway" >/dev/null
stopped_well "$gateway"
docker start "$gateway" >/dev/null
goes_on "the page came back by itself"

step "everything well; taking it down"
