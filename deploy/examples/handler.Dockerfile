# An image for a handler of your own in Rust. Copy this file, and the .dockerignore beside it, into the folder of your
# crate, whose Cargo.toml names a clone of Reframe beside it:
#   reframe-worker = { path = "../reframe/worker", default-features = false }
# There, with the crate's Cargo.lock:
#   docker build -f handler.Dockerfile --build-arg HANDLER=upside-down -t upside-down .
#
# REFRAME_VERSION is that of your gateways; check out the same tag in your clone. The base has that version's sources in
# /reframe, which is `../reframe` of /src, and what they are built with. Without a registry of releases, from the clone:
#   docker build -f deploy/Dockerfile --target handler-base -t reframe-handler-base .
# and --build-arg BASE_IMAGE=reframe-handler-base.
ARG REGISTRY=registry.example.com/reframe
ARG REFRAME_VERSION=0.1.0
ARG BASE_IMAGE=${REGISTRY}/reframe-handler-base:${REFRAME_VERSION}
ARG RUNTIME_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE} AS build
ARG HANDLER
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked --mount=type=cache,target=/target,sharing=locked \
    cargo build --release --locked --target-dir /target && install -D --strip "/target/release/${HANDLER}" /out/handler
FROM ${RUNTIME_IMAGE}
COPY --from=build /out/handler /usr/local/bin/
ENV REFRAME_LISTEN=0.0.0.0:50051
USER 10001:10001
ENTRYPOINT ["handler"]
CMD ["serve"]
