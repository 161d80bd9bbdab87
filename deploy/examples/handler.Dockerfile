# An image for a handler of your own. From the folder that holds your crate and Reframe beside it (docs/handlers.md):
#   docker build -f reframe/deploy/examples/handler.Dockerfile --build-arg HANDLER=upside-down -t upside-down .
# It needs no libvpx where the crate leaves `launch` out: reframe-worker = { path = …, default-features = false }.
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim
FROM ${BUILD_IMAGE} AS build
ARG HANDLER
COPY . /src
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked --mount=type=cache,target=/target \
    cd "/src/${HANDLER}" && cargo build --release --target-dir /target && install -D --strip "/target/release/${HANDLER}" /out/handler
FROM ${RUNTIME_IMAGE}
COPY --from=build /out/handler /usr/local/bin/
ENV REFRAME_LISTEN=0.0.0.0:50051
USER 10001:10001
ENTRYPOINT ["handler"]
CMD ["serve"]
