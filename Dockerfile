# The pipeline with all it needs, in two sizes. docs/container.md tells how to use them.
#   make image                  pipeline: Python 3.8, TVM, this computer's compiler, RISC-V compiler and emulator
#   make image STAGE=full       adds ESP-IDF with the chips' compilers and QEMU
# Use: docker run --rm -u $(id -u):$(id -g) -v "$PWD:/project" esp-tvm deploy MODEL=... CALIB=... INPUT=... TARGET=...
# Needs BuildKit (docker 23 or later has it on). Nothing of the secrets apt.conf, pip.conf and ca.crt gets into a layer.
ARG PYTHON_IMAGE=python:3.8.20-slim-bookworm
ARG IDF_IMAGE=espressif/idf:v5.1.6

# Wheels that `make vendor` put into vendor/, where it did; the licence is there so that something is copied.
FROM scratch AS vendor
COPY LICENSE vendo[r] /

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS base
COPY scripts/image-dpkg.cfg /etc/dpkg/dpkg.cfg.d/esp-tvm
COPY scripts/system-packages.sh scripts/apt-packages.txt scripts/apt-packages-emulator.txt /opt/esp-tvm/scripts/
RUN --mount=type=secret,id=apt.conf,target=/etc/apt/apt.conf.d/99secret \
    /opt/esp-tvm/scripts/system-packages.sh apt-packages.txt apt-packages-emulator.txt \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log

# Python's packages and TVM: made again only when a lock file or the set-up itself changes.
FROM base AS environment
WORKDIR /opt/esp-tvm
COPY scripts/setup.sh scripts/setup_tvm.py scripts/pip.lock scripts/image-seal.sh scripts/
COPY tools/tvm/requirements.lock tools/tvm/tvm.lock tools/tvm/cuda_stubs.c tools/tvm/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt \
    --mount=type=bind,from=vendor,target=vendor \
    [ ! -f /run/secrets/ca.crt ] || export PIP_CERT=/run/secrets/ca.crt; \
    PIP_NO_CACHE_DIR=1 scripts/setup.sh && scripts/image-seal.sh

FROM base AS pipeline
LABEL org.opencontainers.image.title="esp-tvm" \
      org.opencontainers.image.description="ONNX model to a verified ESP-IDF project" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /opt/esp-tvm
COPY --from=environment /opt/esp-tvm/.venv .venv
COPY --from=environment /opt/esp-tvm/tvm tvm
COPY Makefile LICENSE README.md ./
COPY bench bench
COPY scripts scripts
COPY template_project_for_model template_project_for_model
COPY examples/digits examples/digits
COPY tools tools
# The pipeline works in build/: that is the caller's folder. Everything else belongs to root and is only read.
# TVM makes .pkl_memoize_py3 in its working folder when it is imported, unless it is there.
RUN mkdir .pkl_memoize_py3 && ln -s /project/build build && mkdir /project && chmod 1777 /project \
    && printf '#!/bin/sh\nexec /opt/esp-tvm/scripts/in-env.sh python -m esp_tvm "$@"\n' >/usr/local/bin/esp-tvm \
    && chmod +x /usr/local/bin/esp-tvm
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1 TOPHUB_LOCATION=NONE
WORKDIR /project
USER 1000:1000
ENTRYPOINT ["/opt/esp-tvm/scripts/entrypoint.sh"]
CMD ["help"]

# ESP-IDF 5.0 and 5.1 bring Python 3.8 themselves (Ubuntu 20.04); 5.1 its QEMU too.
# hadolint ignore=DL3006
FROM ${IDF_IMAGE} AS full-base
COPY scripts/system-packages.sh scripts/apt-packages.txt /opt/esp-tvm/scripts/
RUN --mount=type=secret,id=apt.conf,target=/etc/apt/apt.conf.d/99secret \
    /opt/esp-tvm/scripts/system-packages.sh && rm -rf /var/lib/apt/lists/*

FROM full-base AS full-environment
WORKDIR /opt/esp-tvm
COPY scripts/setup.sh scripts/setup_tvm.py scripts/pip.lock scripts/image-seal.sh scripts/
COPY tools/tvm/requirements.lock tools/tvm/tvm.lock tools/tvm/cuda_stubs.c tools/tvm/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt \
    --mount=type=bind,from=vendor,target=vendor \
    [ ! -f /run/secrets/ca.crt ] || export PIP_CERT=/run/secrets/ca.crt; \
    PIP_NO_CACHE_DIR=1 PYTHON=/usr/bin/python3 scripts/setup.sh && scripts/image-seal.sh

FROM full-base AS full
LABEL org.opencontainers.image.title="esp-tvm-full" \
      org.opencontainers.image.description="ONNX model to a verified ESP-IDF project, with ESP-IDF" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /opt/esp-tvm
COPY --from=full-environment /opt/esp-tvm/.venv .venv
COPY --from=full-environment /opt/esp-tvm/tvm tvm
COPY Makefile LICENSE README.md ./
COPY bench bench
COPY scripts scripts
COPY template_project_for_model template_project_for_model
COPY examples/digits examples/digits
COPY tools tools
RUN mkdir .pkl_memoize_py3 && ln -s /project/build build && mkdir -p /project && chmod 1777 /project \
    && printf '#!/bin/sh\nexec /opt/esp-tvm/scripts/in-env.sh python -m esp_tvm "$@"\n' >/usr/local/bin/esp-tvm \
    && chmod +x /usr/local/bin/esp-tvm
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1 TOPHUB_LOCATION=NONE
WORKDIR /project
USER 1000:1000
ENTRYPOINT ["/opt/esp-tvm/scripts/entrypoint.sh"]
CMD ["help"]
