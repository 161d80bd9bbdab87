# An image for a program in Python, app.py. Copy this file, and the .dockerignore beside it, into the program's folder.
# There:
#   docker build -f python.Dockerfile -t upside-down .
# REFRAME_VERSION is that of your gateways. Without a registry of releases, from a clone of Reframe:
#   docker build -f deploy/Dockerfile --target wheel -t reframe-wheel .
# and --build-arg WHEEL_IMAGE=reframe-wheel.
#
# PACKAGES is what it imports: --build-arg PACKAGES="opencv-python-headless torch", or that line in your copy. Name their
# versions, or what is built tomorrow is not what was checked today.
ARG REGISTRY=registry.example.com/reframe
ARG REFRAME_VERSION=0.1.0
ARG WHEEL_IMAGE=${REGISTRY}/reframe-wheel:${REFRAME_VERSION}
ARG PYTHON_IMAGE=python:3.13-slim-bookworm
FROM ${WHEEL_IMAGE} AS wheel
FROM ${PYTHON_IMAGE}
ARG PACKAGES="numpy==2.4.6"
RUN --mount=from=wheel,target=/wheel pip install --no-cache-dir /wheel/*.whl ${PACKAGES}
COPY . /app/
ENV REFRAME_LISTEN=0.0.0.0:50051 PYTHONUNBUFFERED=1
USER 10001:10001
ENTRYPOINT ["reframe"]
CMD ["serve", "/app/app.py"]
