# An image for a program in Python, app.py. From the folder that holds the program's folder and Reframe beside it:
#   docker build -f reframe/deploy/Dockerfile --target wheel -t reframe-wheel reframe
#   docker build -f reframe/deploy/examples/python.Dockerfile -t upside-down upside-down
# PACKAGES is what it imports: --build-arg PACKAGES="opencv-python-headless torch", or that line in a copy of this file.
ARG WHEEL_IMAGE=reframe-wheel
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
