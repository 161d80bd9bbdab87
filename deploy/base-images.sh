#!/usr/bin/env bash
# Makes what the Dockerfiles and the compose stack stand on, without an image registry: from Debian's packages and
# the Rust toolchain of this machine. Prints the variables that name the images, for `eval`. What is there already is
# kept; `docker image rm reframe-local/NAME` has it made anew. Needs root (debootstrap does).
set -euo pipefail

suite=bookworm
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

present() { docker image inspect "reframe-local/$1" >/dev/null 2>&1; }
say() { echo "==> $*" >&2; }
need() { command -v "$1" >/dev/null || { echo "$0: $1 is missing; Debian's package $2 has it" >&2; exit 1; }; }

need docker docker.io
need rustc rustup

# image NAME < Dockerfile: from the context folder "$work/context".
image() {
    say "reframe-local/$1"
    DOCKER_BUILDKIT=1 docker build --quiet --tag "reframe-local/$1" --file - "$work/context" >&2
}

# The certificates that this machine trusts, as a proxy on the way to the registries may need one of its own.
mkdir "$work/context"
cp -L /etc/ssl/certs/ca-certificates.crt "$work/context/"

if ! present debian; then
    need debootstrap debootstrap
    say "reframe-local/debian"
    debootstrap --variant=minbase "$suite" "$work/root" >"$work/log" 2>&1 || { tail "$work/log" >&2; exit 1; }
    # As Debian's own images: no caches that only grow an image.
    echo 'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";' >"$work/root/etc/apt/apt.conf.d/docker-clean"
    rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/* "$work"/root/usr/share/{doc,man,locale}
    tar -C "$work/root" -c . | docker import - reframe-local/debian >/dev/null
fi

present rust || {
    say "copying the toolchain"
    cp -a "$(rustc --print sysroot)" "$work/context/rust"
    rm -rf "$work/context/rust/share"
    image rust <<'DOCKERFILE'
FROM reframe-local/debian
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
# After that package, which writes its own: whatever else is installed brings it no more.
COPY ca-certificates.crt /etc/ssl/certs/
COPY rust /usr/local
ENV CARGO_HOME=/usr/local/cargo
DOCKERFILE
    rm -rf "$work/context/rust"
}

# As Python's own images: pip installs without a virtual environment, for this is all that the container is for.
present python || image python <<'DOCKERFILE'
FROM reframe-local/debian
RUN apt-get update && apt-get install --yes --no-install-recommends python3-pip && rm -rf /var/lib/apt/lists/*
COPY ca-certificates.crt /etc/ssl/certs/
ENV PIP_BREAK_SYSTEM_PACKAGES=1
DOCKERFILE

present redis || image redis <<'DOCKERFILE'
FROM reframe-local/debian
RUN apt-get update && apt-get install --yes --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/*
USER redis
CMD ["redis-server"]
DOCKERFILE

present haproxy || image haproxy <<'DOCKERFILE'
FROM reframe-local/debian
RUN apt-get update && apt-get install --yes --no-install-recommends haproxy && rm -rf /var/lib/apt/lists/*
USER haproxy
CMD ["haproxy"]
DOCKERFILE

present prometheus || image prometheus <<'DOCKERFILE'
FROM reframe-local/debian
RUN apt-get update && apt-get install --yes --no-install-recommends prometheus && rm -rf /var/lib/apt/lists/* \
    && install -d -o nobody /prometheus
USER nobody
ENTRYPOINT ["prometheus"]
DOCKERFILE

cat <<'VARIABLES'
export BUILD_IMAGE=reframe-local/rust RUNTIME_IMAGE=reframe-local/debian PYTHON_IMAGE=reframe-local/python
export REDIS_IMAGE=reframe-local/redis PROXY_IMAGE=reframe-local/haproxy
export PROMETHEUS_IMAGE=reframe-local/prometheus
VARIABLES
