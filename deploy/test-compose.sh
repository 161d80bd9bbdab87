#!/usr/bin/env bash
# Builds the images, runs the compose stack, tries what must not be reached from each of its networks, looks at what a
# worker in Python makes, takes parts of the stack away while somebody watches a stream, and starts it with
# production.yml: `make test-deploy`. Needs Docker with compose on Linux, two cores, Chromium, half an hour for the
# first build of the images and some minutes after that. Where no image registry is reachable, the images beneath are
# made here (base-images.sh; as root).
#
# REFRAME_SMOKE names a program to watch with, in place of the one that is built here (tests/src/bin/smoke.rs).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Its own names and ports: what else runs on this machine is left alone.
project=reframe-test
export HTTP_PORT=18080 HTTPS_PORT=18443 MEDIA_PORT=17000 MEDIA_PORT_2=17001 PROMETHEUS_PORT=19091
export GATEWAY_IMAGE=$project-gateway WORKER_IMAGE=$project-worker REFRAME_DEMO=flip
page=http://localhost:$HTTP_PORT prometheus=http://127.0.0.1:$PROMETHEUS_PORT
# A port of this machine, as any other program has one: nobody in a closed network reaches it.
HOST_PORT=19092
# For anything to come true. Seconds.
patience=60

step() { echo "==> $*"; }
fail() { echo "failed: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || fail "$1 is missing; Debian's package $2 has it"; }

need docker docker.io
need curl curl
need ip iproute2
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
services=(proxy gateway-1 gateway-2 worker redis prometheus)

# eventually WHAT COMMAND...
eventually() {
    local what=$1 until=$((SECONDS + patience))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$until" ] || fail "not within $patience s: $what"
        sleep 0.2
    done
}

# address CONTAINER NETWORK: its address there.
address() { docker inspect --format "{{(index .NetworkSettings.Networks \"${project}_$2\").IPAddress}}" "$1"; }
# admin GATEWAY PATH [OPTION...]: what its admin port says. This machine has an address in that network.
admin() { curl --silent --fail "${@:3}" "http://$(address "$1" monitoring):9090$2"; }
# As the operator.
operator() {
    local token
    token=$("${compose[@]}" exec -T gateway-1 cat /certificates/admin.token)
    admin "$@" --header "Authorization: Bearer $token"
}

# metric NAME LABELS [GATEWAY...]: the sum of its series whose labels hold this text, of these gateways or all.
metric() {
    local of=("${@:3}") gateway
    [ ${#of[@]} != 0 ] || of=("${gateways[@]}")
    for gateway in "${of[@]}"; do
        admin "$gateway" /metrics || true
    done |
        awk -v name="$1" -v labels="$2" '{ split($1, part, "{") }
            part[1] == name && index($0, labels) { sum += $NF } END { print sum + 0 }'
}
metric_is() { [ "$(metric "${@:1:2}" "${@:4}")" = "$3" ]; }
# At least one more than before: a busy machine may see a worker hang that was not touched.
failovers() { metric reframe_failovers_total "outcome=\"$1\""; }
more_failovers() { [ "$(failovers "$1")" -gt "$2" ] || fail "no session was $1"; }
ready() { admin "$1" /readyz --output /dev/null; }
# Each gateway has so many.
workers_are() {
    local gateway
    for gateway in "${gateways[@]}"; do
        metric_is reframe_worker_up "" "$1" "$gateway" || return 1
    done
}
# The gateway that has the session, once those that ended are gone; and the other one.
owner() {
    local gateway
    eventually "one session" metric_is reframe_sessions_active "" 1
    for gateway in "${gateways[@]}"; do
        if metric_is reframe_sessions_active "" 1 "$gateway"; then
            echo "$gateway"
            return
        fi
    done
    fail "no gateway has the session"
}
other() { if [ "$1" = "${gateways[0]}" ]; then echo "${gateways[1]}"; else echo "${gateways[0]}"; fi; }

# The address of the worker that has the session, among the gateway's metrics.
busy_address() {
    for gateway in "${gateways[@]}"; do admin "$gateway" /metrics; done |
        sed -n 's|^reframe_worker_sessions{worker="http://\([0-9.]*\):.*"} [1-9].*|\1|p'
}
# The worker that has the session.
busy_worker() {
    local address container
    address=$(busy_address)
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

# watch STREAM: somebody opens its page. Who watched before must have left.
watch() {
    local token line
    token=$("${compose[@]}" exec -T gateway-1 reframe-gateway token --stream "$1")
    coproc smoke { exec "$REFRAME_SMOKE" "$page/$1/?t=$token"; }
    read -r -t "$patience" line <&"${smoke[0]}" || fail "no picture comes back"
    echo "    $line"
}

# It ends with its input, and its browser with it.
leave() {
    local watcher=$smoke_PID input=${smoke[1]}
    exec {input}>&-
    wait "$watcher" || fail "the browser complains"
}

# goes_on WHAT: the stream does, after that.
goes_on() {
    local line
    echo "$1" >&"${smoke[1]}"
    read -r -t "$patience" line <&"${smoke[0]}" || fail "the stream does not go on: $1"
    echo "    $line"
}

# stranger NAME IMAGE OPTION...: a container in the workers' network that is none of the stack.
strangers=()
stranger() {
    docker run --detach --name "$project-$1" --network "${project}_workers" "${@:3}" "$2" >/dev/null
    strangers+=("$project-$1")
}
dismiss() { docker rm --force --volumes "$project-$1" >/dev/null; }

clean_up() {
    local code=$?
    trap - EXIT
    if [ "$code" != 0 ]; then
        "${compose[@]}" logs --tail 40 proxy gateway-1 gateway-2 worker redis >&2 || true
    fi
    [ -z "${smoke_PID:-}" ] || kill "$smoke_PID" 2>/dev/null || true
    [ -z "${listener:-}" ] || kill "$listener" 2>/dev/null || true
    [ ${#strangers[@]} = 0 ] || docker rm --force --volumes "${strangers[@]}" >/dev/null 2>&1 || true
    "${compose[@]}" --profile monitoring down --volumes --timeout 5 >/dev/null 2>&1 || true
    docker volume rm "$project-foreign" >/dev/null 2>&1 || true
    # Files of another user, whom not everybody may be who runs this.
    [ ! -d "$scratch/secrets" ] || docker run --rm --user=0 --volume "$scratch:/scratch" --entrypoint rm \
        "$GATEWAY_IMAGE" -rf /scratch/secrets || true
    rm -rf -- "$scratch"
    exit "$code"
}

step "images"
if ! timeout 60 docker pull --quiet "$(deploy/images.py name debian)" >/dev/null 2>&1; then
    echo "    no registry is reachable"
    variables=$(deploy/base-images.sh)
    eval "$variables"
fi
# image NAME DOCKERFILE CONTEXT OPTION...
image() {
    DOCKER_BUILDKIT=1 docker build --quiet --file "$2" --tag "$project-$1" "${@:4}" "$3" >/dev/null
    docker image inspect --format '    {{index .RepoTags 0}}: {{.Size}} bytes, user {{.Config.User}}' "$project-$1"
}
# bill NAME FILE: its bill of materials, of which the name may be a pattern. It is of what was built, so a worker alone has
# no WebRTC in it.
bill() {
    docker run --rm --entrypoint=bash "$project-$1" -c "cat $2" | python3 -c '
import json, sys
names = {component["name"] for component in json.load(sys.stdin)["components"]}
print(f"    {len(names)} crates")
sys.exit(not (len(names) > 50 and "tonic" in names and ("webrtc" in names) == (sys.argv[1] != "worker")))
' "$1" || fail "the bill of materials of $1 is not what it was built from"
}
beneath=()
[ -z "${BUILD_IMAGE:-}" ] || beneath=(--build-arg "BUILD_IMAGE=$BUILD_IMAGE" --build-arg "RUNTIME_IMAGE=$RUNTIME_IMAGE")
for target in gateway worker; do
    image "$target" deploy/Dockerfile . --target "$target" "${beneath[@]}"
    bill "$target" "/usr/share/sbom/reframe-$target.cdx.json"
done
# The Python package, and a program as anybody has one: in a folder of its own, which is not Reframe's.
scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
cp worker/python/examples/flip.py "$scratch/app.py"
image wheel deploy/Dockerfile . --target wheel "${beneath[@]}"
image python deploy/examples/python.Dockerfile "$scratch" --build-arg "WHEEL_IMAGE=$project-wheel" \
    ${PYTHON_IMAGE:+--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE"}
bill python '/usr/local/lib/python3*/*-packages/reframe_rtc-*.dist-info/sboms/*.json'
if [ -z "${REFRAME_SMOKE:-}" ]; then
    cargo build --package reframe-tests --bin reframe-smoke
    REFRAME_SMOKE=${CARGO_TARGET_DIR:-target}/debug/reframe-smoke
fi

step "the stack: a proxy, two gateways, two workers, Redis, Prometheus"
trap clean_up EXIT
# The containers of a stack that has just been started.
look() {
    gateways=("$("${compose[@]}" ps --quiet gateway-1)" "$("${compose[@]}" ps --quiet gateway-2)")
    eventually "the first gateway is ready" ready "${gateways[0]}"
    eventually "the second gateway is ready" ready "${gateways[1]}"
    eventually "two workers" workers_are 2
    proxy=$("${compose[@]}" ps --quiet proxy) redis=$("${compose[@]}" ps --quiet redis)
}
"${compose[@]}" up --detach --no-build "${services[@]}" >/dev/null 2>&1
look
monitor=$("${compose[@]}" --profile monitoring ps --quiet prometheus)
# No one in a pipe that is closed early: pipefail would have it for an error.
workers=$("${compose[@]}" ps --quiet worker) && worker=${workers%%$'\n'*}
answers() { [ "$(curl --silent --output /dev/null --write-out '%{http_code}' "${@:2}")" = "$1" ]; }
eventually "the page" answers 200 "$page/"

step "the proxy: both gateways answer, and know the client"
# A name that nobody allows is refused by the gateway, and counted there.
refused_by() { metric reframe_http_refused_total 'port="public",reason="host"' "$1"; }
both_refuse() {
    answers 421 --header "Host: nobody.example" "$page/" &&
        [ "$(refused_by "${gateways[0]}")" -gt 2 ] && [ "$(refused_by "${gateways[1]}")" -gt 2 ]
}
eventually "requests reach both gateways" both_refuse
# This machine's address for the proxy; what a client invents is gone.
client=$(docker network inspect --format '{{(index .IPAM.Config 0).Gateway}}' "${project}_public")
answers 401 --header "X-Forwarded-For: 198.51.100.7" --header "Forwarded: for=198.51.100.8" \
    --header "X-Real-IP: 198.51.100.9" --json '{"type":"offer","sdp":"v=0","webrtc_id":"an-id-of-16-characters"}' \
    "$page/flip/webrtc/offer" || fail "no token is needed"
refusals() { "${compose[@]}" logs gateway-1 gateway-2 2>&1 | grep "audit::refused"; }
eventually "the refusal is logged" refusals >/dev/null
found=$(refusals)
[[ $found == *"client=$client "* && $found != *198.51.100* ]] || fail "the client must be $client: $found"
echo "    both, and its address is $client"

step "networks: what a container in each of them reaches, and what it does not"
# Every port of the stack at its own address; the gateway's at each of its addresses; and a port of this machine, at the
# address by which the world knows it.
python3 -m http.server "$HOST_PORT" --directory deploy/compose >/dev/null 2>&1 &
listener=$!
here=$(ip -4 route get 198.51.100.1 | sed -n 's/.* src \([0-9.]*\).*/\1/p')
targets=("host=$here:$HOST_PORT")
# target NAME CONTAINER NETWORK PORT. With it an address of that network that nobody has: where that answers too, as what
# is behind this machine may for every address, it was not the container that did.
target() {
    local subnet
    subnet=$(docker network inspect --format '{{(index .IPAM.Config 0).Subnet}}' "${project}_$3")
    targets+=("$1=$(address "$2" "$3"):$4 $(python3 -c '
import ipaddress, sys
print(ipaddress.ip_network(sys.argv[1])[-2])' "$subnet"):$4")
}
target worker "$worker" workers 50051
target redis "$redis" redis 6379
target prometheus "$monitor" monitoring 9090
target prometheus "$monitor" dashboards 9090
target page "$proxy" public 8080
target page "$proxy" front 8080
for number in 1 2; do
    for network in front edge peers workers redis monitoring; do
        target "http-$number" "${gateways[number - 1]}" "$network" 8080
        target "media-$number" "${gateways[number - 1]}" "$network" 7000
        target "admin-$number" "${gateways[number - 1]}" "$network" 9090
        target "peer-$number" "${gateways[number - 1]}" "$network" 9092
    done
done
# And one of the outside, where this machine reaches it.
outside=deb.debian.org internet=
address_outside=$(getent ahostsv4 "$outside" | head --lines 1 | cut --delimiter ' ' --fields 1) || true
if [ -n "$address_outside" ] && timeout 5 bash -c "exec 3<>/dev/tcp/$address_outside/80" 2>/dev/null; then
    targets+=("outside=$address_outside:80") internet=" outside"
fi
# reached NETWORK: the names of those that a container there reaches; the same probe for all. `container:ID` is the
# network of that container, so all that it is in.
reached() {
    docker run --rm --network "$1" --entrypoint bash "$GATEWAY_IMAGE" -c '
        answers() { timeout 3 bash -c "exec 3<>/dev/tcp/${1%:*}/${1##*:}" 2>/dev/null; }
        for target in "$@"; do
            read -r at nobody <<<"${target#*=}"
            { answers "$at" && ! { [ "$nobody" ] && answers "$nobody"; } && echo "${target%%=*}"; } &
        done
        wait' bash "${targets[@]}" | sort --unique | paste --serial --delimiters ' '
}
eventually "the listener of this machine" curl --silent --output /dev/null "http://$here:$HOST_PORT/"
# So each target is reached from where it must be, and from nowhere else.
while read -r from network expected; do
    found=$(reached "$network")
    echo "    from ${from/_/ }: ${found:-nothing}"
    [ "$found" = "$expected" ] || fail "from ${from/_/ } must be reached: $expected"
done <<NETWORKS
public ${project}_public host page
front ${project}_front http-1 http-2 page
edge ${project}_edge host media-1 media-2$internet
peers ${project}_peers peer-1 peer-2
workers ${project}_workers worker
redis ${project}_redis redis
monitoring ${project}_monitoring admin-1 admin-2 host prometheus
dashboards ${project}_dashboards host prometheus
the_proxy container:$proxy host http-1 http-2 page
a_worker container:$worker worker
Redis_itself container:$redis redis
NETWORKS
kill "$listener"
listener=
# Nor is it asked for names of the outside.
resolves() {
    docker run --rm --network "${project}_$1" --entrypoint getent "$GATEWAY_IMAGE" hosts "$outside" >/dev/null
}
if resolves edge; then
    for network in front peers workers redis; do
        ! resolves "$network" || fail "names of the outside are answered in $network"
    done
    echo "    $outside: a name in edge, none in front, peers, workers and redis"
fi

step "who has no certificate of the cluster"
# metric_at CONTAINER NAME: the sum of a metric of a gateway in the workers' network, where this machine has no address.
metric_at() {
    docker exec "$project-$1" bash -c 'exec 3<>/dev/tcp/127.0.0.1/9090
        printf "GET /metrics HTTP/1.0\r\n\r\n" >&3; cat <&3' |
        awk -v name="$2" '{ split($1, part, "{") } part[1] == name { sum += $NF } END { print sum + 0 }'
}
metric_at_is() { [ "$(metric_at "$1" "$2" 2>/dev/null)" = "$3" ]; }
says() { docker logs "$project-$1" 2>&1 | grep --quiet --fixed-strings "$2"; }
as=(--env "REFRAME_CLUSTER_TLS_CA=/certificates/ca.pem")
gateway_as=(--env REFRAME_AUTH=none --env REFRAME_WORKERS=dns://worker:50051 "${as[@]}"
    --env REFRAME_CLUSTER_TLS_CERT=/certificates/gateway.pem
    --env REFRAME_CLUSTER_TLS_KEY=/certificates/gateway-key.pem)
worker_as=(--network-alias worker "${as[@]}" --env REFRAME_CLUSTER_TLS_CERT=/certificates/worker.pem
    --env REFRAME_CLUSTER_TLS_KEY=/certificates/worker-key.pem)
stranger own-gateway "$GATEWAY_IMAGE" "${gateway_as[@]}" --volume "${project}_gateway-certificates:/certificates:ro"
eventually "a gateway of the cluster has two workers" metric_at_is own-gateway reframe_workers_serving 2
echo "    a gateway with the cluster's certificate has both workers"
dismiss own-gateway
stranger plain-gateway "$GATEWAY_IMAGE" --env REFRAME_AUTH=none --env REFRAME_WORKERS=dns://worker:50051 \
    --env REFRAME_CLUSTER_TLS=off
eventually "a gateway without a certificate is refused" says plain-gateway "worker not available"
metric_at_is plain-gateway reframe_workers_serving 0 || fail "a gateway without a certificate has a worker"
echo "    one without a certificate has none"
dismiss plain-gateway
# Of another CA, for the same name.
docker run --rm --volume "$project-foreign:/certificates/gateway" --network none "$GATEWAY_IMAGE" \
    cluster-init /certificates/gateway >/dev/null
stranger foreign-gateway "$GATEWAY_IMAGE" "${gateway_as[@]}" --volume "$project-foreign:/certificates:ro"
eventually "a gateway of another CA is refused" says foreign-gateway "worker not available"
metric_at_is foreign-gateway reframe_workers_serving 0 || fail "a gateway of another CA has a worker"
echo "    one of another CA has none"
dismiss foreign-gateway
stranger own-worker "$WORKER_IMAGE" "${worker_as[@]}" --volume "${project}_worker-certificates:/certificates:ro" \
    --env "REFRAME_DEMO=$REFRAME_DEMO"
eventually "a worker with the cluster's certificate is used" workers_are 3
echo "    a worker with the cluster's certificate is used"
dismiss own-worker
eventually "two workers again" workers_are 2
unknown_worker() { # NAME WHY OPTION...
    stranger "$1" "$WORKER_IMAGE" --network-alias worker --env "REFRAME_DEMO=$REFRAME_DEMO" "${@:3}"
    local at
    at=$(address "$project-$1" workers):50051
    # The gateway found it, and says why it does not take it.
    refused() {
        docker logs "${gateways[0]}" 2>&1 | grep --fixed-strings "worker not available" | grep --fixed-strings "$at" |
            grep --fixed-strings "$2" >/dev/null
    }
    eventually "$1 is refused" refused "$@"
    workers_are 2 || fail "$1 is used"
    dismiss "$1"
}
unknown_worker plain-worker "does not speak TLS" --env REFRAME_CLUSTER_TLS=off
echo "    one without a certificate is not"
unknown_worker foreign-worker "of another CA" --volume "$project-foreign:/certificates:ro" "${worker_as[@]}"
echo "    one of another CA is not"
# The port for other gateways, from their network, with a gateway's own certificate and without.
peer() { # OPTION...
    docker run --rm --network "${project}_peers" --volume "${project}_gateway-certificates:/certificates:ro" \
        --entrypoint bash "$GATEWAY_IMAGE" -c 'printf "GET /api/streams HTTP/1.0\r\n\r\n" |
            timeout 10 openssl s_client -quiet -connect "$@" 2>/dev/null' bash \
        "$(address "${gateways[0]}" peers):9092" "$@" || true
}
[[ $(peer -cert /certificates/gateway.pem -key /certificates/gateway-key.pem) == HTTP/* ]] ||
    fail "a gateway's certificate is not taken at --peer"
[[ $(peer) != *HTTP/* ]] || fail "--peer answers a client without a certificate"
echo "    --peer answers to a gateway's certificate, and to nobody without"

step "Redis: by TLS, for the gateways' user, with its rights"
metric_is reframe_placement_up "" 2 || fail "a gateway does not reach Redis"
password=$("${compose[@]}" exec -T gateway-1 cat /certificates/redis.password)
# redis_says TEXT OPTION...: the answer to a command has this text.
redis_says() {
    local answer
    answer=$("${compose[@]}" exec -T redis redis-cli "${@:2}" 2>&1) || true
    [[ $answer == *"$1"* ]] || fail "Redis says to ${*:2}: $answer"
}
tls=(--tls --cacert /certificates/ca.pem) login=(--no-auth-warning --user gateway --pass "$password")
redis_says PONG "${tls[@]}" "${login[@]}" ping
redis_says "Connection reset" ping
redis_says NOAUTH "${tls[@]}" ping
redis_says WRONGPASS "${tls[@]}" --no-auth-warning --user gateway --pass wrong ping
redis_says NOPERM "${tls[@]}" "${login[@]}" flushall
redis_says NOPERM "${tls[@]}" "${login[@]}" hget other field
echo "    without TLS, without a password and beyond its rights: refused"

step "secrets, and limits"
# Each service has its own files, and nobody else may read the keys.
files_are() { # SERVICE FILE...
    local found
    found=$("${compose[@]}" exec -T "$1" ls /certificates | paste --serial --delimiters ' ')
    [ "$found" = "${*:2}" ] || fail "$1 sees $found"
    found=$("${compose[@]}" exec -T "$1" bash -c 'stat --format "%a %u %n" /certificates/*' |
        grep --invert-match --extended-regexp '^600 10001 |^644 10001 /.*/(ca|gateway|worker|redis)\.pem$') || true
    [ -z "$found" ] || fail "of another owner, or for others: $found"
}
files_are gateway-1 admin.token auth.key ca.pem gateway-key.pem gateway.pem redis.password session.key
files_are gateway-2 admin.token auth.key ca.pem gateway-key.pem gateway.pem redis.password session.key
files_are worker ca.pem worker-key.pem worker.pem
files_are redis ca.pem redis-key.pem redis.acl redis.pem
described=$(docker inspect "$proxy" "${gateways[@]}" "$redis" "$worker" "$monitor")
[[ $described == *REFRAME_AUTH_KEY_FILE=/certificates/auth.key* ]] || fail "no description of the gateway"
for file in admin.token auth.key session.key redis.password; do
    secret=$("${compose[@]}" exec -T gateway-1 cat "/certificates/$file")
    [[ ${#secret} -ge 32 && $described != *"$secret"* ]] || fail "$file is in a description"
done
# From within, as the kernel holds it: bytes, processes, microseconds of CPU in 100 ms, descriptors; no capabilities.
limits() {
    "${compose[@]}" exec -T "$1" </dev/null bash -c 'cd /sys/fs/cgroup
        if [ -e pids.max ]; then
            cat memory.max pids.max && cut --delimiter " " --fields 1 cpu.max
        else
            cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us
        fi
        ulimit -n; awk "/^CapEff|^NoNewPrivs/ { print \$2 }" /proc/self/status
        ! touch /tmp/written 2>/dev/null || echo "writes to its root"' | paste --serial --delimiters ' '
}
while read -r service expected; do
    found=$(limits "$service")
    echo "    $service: $found"
    [ "$found" = "$expected" ] || fail "$service must have: $expected"
done <<'LIMITS'
proxy 536870912 64 100000 10000 0000000000000000 1
gateway-1 2147483648 1024 200000 16384 0000000000000000 1
gateway-2 2147483648 1024 200000 16384 0000000000000000 1
worker 2147483648 512 200000 4096 0000000000000000 1
redis 268435456 64 100000 2048 0000000000000000 1
LIMITS
# The same, where nothing is limited: the probe sees it.
free=$(docker run --rm --entrypoint=bash "$GATEWAY_IMAGE" -c 'awk "/^NoNewPrivs/ { print \$2 }" /proc/self/status
    touch /tmp/written && echo writes' | paste --serial --delimiters ' ')
[ "$free" = "0 writes" ] || fail "a container without limits has $free"

step "a worker in Python"
# With the cluster's certificate, and confined as the stack's own. Its program's stream is called `default`, which no other
# worker has: so what comes back upside down, Python has turned.
stranger python "$project-python" "${worker_as[@]}" --volume "${project}_worker-certificates:/certificates:ro" \
    --read-only --cap-drop ALL --security-opt no-new-privileges:true --memory 2g --pids-limit 512 --ulimit nofile=4096
eventually "a worker in Python" workers_are 3
watch default
goes_on "turned by Python"
[ "$(busy_address)" = "$(address "$project-python" workers)" ] || fail "another worker has the stream"
leave
# The gateway takes some seconds to see that nobody is there any more, and so long the worker keeps the session.
docker stop --time 35 "$project-python" >/dev/null
stopped_well "$project-python"
dismiss python
eventually "two workers again" workers_are 2

step "a stream in Chromium"
answers 401 "$page/api/streams" || fail "no token is needed"
[ "$(admin "${gateways[1]}" /api/sessions --no-fail --output /dev/null --write-out '%{http_code}')" = 401 ] ||
    fail "anybody sees the sessions"
watch flip
gateway=$(owner)
session=$(operator "$gateway" /api/sessions | python3 -c 'import json, sys
print(json.load(sys.stdin)["sessions"][0]["id"])')
before=$(metric reframe_forwarded_total 'outcome="ok"')
operator "$(other "$gateway")" "/api/sessions/$session" --output /dev/null ||
    fail "a gateway does not answer for a session of the other one"
[ "$(metric reframe_forwarded_total 'outcome="ok"')" -gt "$before" ] || fail "no request is forwarded"
echo "    the gateway that has not the session asks the one that has it"

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
"${compose[@]}" up --detach --no-build --no-recreate --scale worker=4 "${services[@]}" >/dev/null 2>&1
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
may_be_without="Sessions ended|Setup time|Failover time|Claim time|Dropped and skipped|Release error, p99"
may_be_without+="|Stuck handlers|Workers refused|Packets dropped|Errors and forwarded requests"
# No stream here calls a model, and where calls wait for each other, in Python, nobody watches any more.
may_be_without+="|Models|Waits for models and turns, p95"
panels_have_data() {
    local without
    without=$(python3 deploy/grafana/queries.py "$prometheus" 2>&1) || return 1
    without=$(grep --invert-match --line-regexp --extended-regexp "$may_be_without" <<<"$without")
    [ -z "$without" ]
}
eventually "every panel of the dashboard has data" panels_have_data
! curl --silent --fail "$prometheus/api/v1/rules" | grep --fixed-strings '"health":"err"' || fail "rules that fail"
if command -v promtool >/dev/null; then
    admin "${gateways[0]}" /metrics | promtool check metrics
fi

step "the gateway that has the stream is killed"
gateway=$(owner)
docker kill "$gateway" >/dev/null
goes_on "at the other gateway"
[ "$(owner)" = "$(other "$gateway")" ] || fail "the other gateway does not have the session"
docker start "$gateway" >/dev/null
eventually "it is ready again" ready "$gateway"

step "the other one is stopped, and started again"
# The proxy sees within two seconds that the first one is there.
before=$(refused_by "$gateway")
has_requests() {
    answers 421 --header "Host: nobody.example" "$page/" && [ "$(refused_by "$gateway")" -gt "$before" ]
}
eventually "requests reach it again" has_requests
gateway=$(owner)
docker stop --time 15 "$gateway" >/dev/null
stopped_well "$gateway"
goes_on "back at the first one"
docker start "$gateway" >/dev/null
eventually "it is ready again" ready "$gateway"
leave

step "no gateway"
docker stop --time 15 "${gateways[@]}" >/dev/null
# JSON, and something that the page takes for passing.
nobody_there() { [[ $(curl --silent "$page/flip/webrtc/offer" --json '{}') == *'"error":"draining"'* ]]; }
eventually "the proxy says so in our words" nobody_there

step "production.yml: https, and secrets in a folder"
"${compose[@]}" --profile monitoring down --volumes --timeout 5 >/dev/null 2>&1
export REFRAME_SECRETS=$scratch/secrets REFRAME_ALLOWED_HOSTS=video.example.com REFRAME_PUBLIC_IP=127.0.0.1
# As docs/operations.md has it. The site's certificate twice: it will be renewed.
certificate='openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=video.example.com \
    -addext subjectAltName=DNS:video.example.com -keyout /secrets/proxy/site.key -out /secrets/proxy/site.crt'
in_secrets() { # USER COMMAND
    local said
    said=$(docker run --rm --user "$1" --network none --volume "$REFRAME_SECRETS:/secrets" --entrypoint bash \
        "$GATEWAY_IMAGE" -euc "$2" 2>&1) || fail "$said"
}
mkdir "$REFRAME_SECRETS"
in_secrets 0 'cd /secrets && install --directory --owner 10001 --group 10001 --mode 755 gateway worker redis proxy'
in_secrets 10001 "$certificate"
compose+=(--file deploy/compose/production.yml)
"${compose[@]}" up --detach --no-build "${services[@]}" >/dev/null 2>&1
look
https=https://$REFRAME_ALLOWED_HOSTS:$HTTPS_PORT
by_name=(--resolve "$REFRAME_ALLOWED_HOSTS:$HTTPS_PORT:127.0.0.1" --cacert "$REFRAME_SECRETS/proxy/site.crt")
eventually "the page by https" answers 200 "${by_name[@]}" "$https/flip/"
# Into a variable: a pipe that grep closes early is an error.
found=$(curl --silent --head "${by_name[@]}" "$https/flip/")
[[ ${found,,} == *strict-transport-security* ]] || fail "browsers are not told to stay with https"
[[ $(curl --silent --head "$page/flip/") == *" 308 "*"https://localhost/flip/"* ]] || fail "http does not lead to https"
answers 401 "${by_name[@]}" "$https/api/streams" || fail "no token is needed"
token=$("${compose[@]}" exec -T gateway-1 reframe-gateway token)
answers 200 "${by_name[@]}" --header "Authorization: Bearer $token" "$https/api/streams" || fail "a token is not taken"
found=$(find "$REFRAME_SECRETS"/{gateway,worker,redis} -type f | wc --lines)
[ "$found" = 14 ] || fail "cluster-init has made $found files"
in_secrets 10001 "$certificate"
"${compose[@]}" kill -s USR2 proxy >/dev/null 2>&1
eventually "the renewed certificate" answers 200 "${by_name[@]}" "$https/flip/"
echo "    served by name, http leads there, secrets are made once, a renewed certificate is taken"

step "everything well; taking it down"
