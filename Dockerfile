# The pipeline with all it needs: docker build --target pipeline -t esp-tvm .   (make image)
# Use: docker run --rm -u $(id -u):$(id -g) -v "$PWD:/project" esp-tvm deploy MODEL=... CALIB=... INPUT=... TARGET=...
ARG PYTHON_IMAGE=python:3.8.20-slim-bookworm
# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS base
COPY scripts/apt-packages.txt scripts/system-packages.sh /opt/esp-tvm/scripts/
RUN /opt/esp-tvm/scripts/system-packages.sh && rm -rf /var/lib/apt/lists/*

# Python's packages and TVM: made again only when a lock file or the set-up itself changes.
FROM base AS environment
WORKDIR /opt/esp-tvm
COPY scripts/setup.sh scripts/setup_tvm.py scripts/pip.lock scripts/
COPY tools/tvm/requirements.lock tools/tvm/tvm.lock tools/tvm/cuda_stubs.c tools/tvm/
RUN PIP_NO_CACHE_DIR=1 scripts/setup.sh \
    && .venv/bin/python -m pip uninstall --quiet --yes pip setuptools \
    && find .venv -name tests -type d -prune -path '*/scipy/*' -exec rm -rf {} + \
    && touch .venv/sealed

FROM base AS pipeline
LABEL org.opencontainers.image.title="esp-tvm" \
      org.opencontainers.image.description="ONNX model to a verified ESP-IDF project" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /opt/esp-tvm
COPY --from=environment /opt/esp-tvm/.venv .venv
COPY --from=environment /opt/esp-tvm/tvm tvm
COPY LICENSE README.md ./
COPY scripts scripts
COPY template_project_for_model template_project_for_model
COPY examples/digits examples/digits
COPY tools tools
# The pipeline works in build/: that is the caller's folder. Everything else belongs to root and is only read.
# TVM makes .pkl_memoize_py3 in its working folder when it is imported, unless it is there.
RUN mkdir .pkl_memoize_py3 && ln -s /project/build build && mkdir /project && chmod 1777 /project
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1 TOPHUB_LOCATION=NONE
WORKDIR /project
USER 1000:1000
ENTRYPOINT ["/opt/esp-tvm/scripts/entrypoint.sh"]
CMD ["help"]
