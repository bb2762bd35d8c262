# The pipeline with all it needs, in two sizes. docs/container.md tells how to use them.
#   make image                  pipeline: Python 3.8, TVM, this computer's compiler, RISC-V compiler and emulator
#   make image STAGE=full       adds ESP-IDF with the chips' compilers and QEMU
# Use: docker run --rm -u $(id -u):$(id -g) -v "$PWD:/project" esp-tvm deploy MODEL=... CALIB=... INPUT=... TARGET=...
# Needs BuildKit (docker 23 or later has it on). Nothing of the secrets apt.conf, pip.conf and ca.crt gets into a layer.
# The same source and packages (APT_SNAPSHOT) give the same files; SOURCE_DATE_EPOCH gives them and the image their time.
ARG PYTHON_IMAGE=python:3.8.20-slim-bookworm@sha256:1d52838af602b4b5a831beb13a0e4d073280665ea7be7f69ce2382f29c5a613f
# The version that tools/esp_tvm/idf_versions.py names; others from 5.3 on do too.
ARG IDF_IMAGE=espressif/idf:v5.5.5@sha256:a9231d0697ab8f7517cc072e93b7c83e04907bfbfba80b6440d7dbbf90665cf2

# Wheels that `make vendor` put into vendor/, where it did; the licence is there so that something is copied.
FROM scratch AS vendor
COPY LICENSE vendo[r] /

# What Python's packages and TVM are set up from: they are made again only when a lock file or the set-up itself changes.
FROM scratch AS setup
COPY scripts/setup.sh scripts/setup_tvm.py scripts/python38.sh scripts/pip.lock /scripts/
COPY scripts/image-seal.sh scripts/compile_python.py /scripts/
COPY tools/tvm/requirements.lock tools/tvm/tvm.lock tools/tvm/cuda_stubs.c /tools/tvm/

FROM scratch AS source
COPY Makefile LICENSE README.md /
COPY bench /bench
COPY scripts /scripts
COPY template_project_for_model /template_project_for_model
COPY examples/digits /examples/digits
COPY tools /tools

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS base
ARG APT_SNAPSHOT=
COPY scripts/image-dpkg.cfg /etc/dpkg/dpkg.cfg.d/esp-tvm
COPY scripts/system-packages.sh scripts/image-packages.sh scripts/apt-packages.txt scripts/apt-packages-emulator.txt \
    /opt/esp-tvm/scripts/
RUN --mount=type=secret,id=apt.conf,target=/etc/apt/apt.conf.d/99secret \
    /opt/esp-tvm/scripts/image-packages.sh apt-packages.txt apt-packages-emulator.txt

FROM base AS environment
WORKDIR /opt/esp-tvm
COPY --from=setup / ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt \
    --mount=type=bind,from=vendor,target=/opt/esp-tvm/vendor \
    [ ! -f /run/secrets/ca.crt ] || export PIP_CERT=/run/secrets/ca.crt; \
    PIP_NO_CACHE_DIR=1 scripts/setup.sh && scripts/image-seal.sh

FROM base AS pipeline
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="esp-tvm" \
      org.opencontainers.image.description="ONNX model to a verified ESP-IDF project" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
WORKDIR /opt/esp-tvm
COPY --from=environment /opt/esp-tvm/.venv .venv
COPY --from=environment /opt/esp-tvm/tvm tvm
COPY --from=source / ./
RUN scripts/image-finish.sh
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1 TOPHUB_LOCATION=NONE PATH=/opt/esp-tvm/bin:$PATH
WORKDIR /project
USER 1000:1000
ENTRYPOINT ["esp-tvm"]
CMD ["help"]

# ESP-IDF's image has a newer Python of its own; the pipeline's is brought beside it, into .venv.
# hadolint ignore=DL3006
FROM ${IDF_IMAGE} AS full-base
ARG APT_SNAPSHOT=
COPY scripts/system-packages.sh scripts/image-packages.sh scripts/apt-packages.txt /opt/esp-tvm/scripts/
RUN --mount=type=secret,id=apt.conf,target=/etc/apt/apt.conf.d/99secret \
    /opt/esp-tvm/scripts/image-packages.sh apt-packages.txt

FROM full-base AS full-environment
ARG PYTHON_BUILD=
ARG PYTHON_BUILD_SHA256=
WORKDIR /opt/esp-tvm
COPY --from=setup / ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt \
    --mount=type=bind,from=vendor,target=/opt/esp-tvm/vendor \
    [ ! -f /run/secrets/ca.crt ] || export PIP_CERT=/run/secrets/ca.crt CURL_CA_BUNDLE=/run/secrets/ca.crt; \
    PIP_NO_CACHE_DIR=1 PYTHON=download scripts/setup.sh && scripts/image-seal.sh

FROM full-base AS full
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="esp-tvm-full" \
      org.opencontainers.image.description="ONNX model to a verified ESP-IDF project, with ESP-IDF" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
WORKDIR /opt/esp-tvm
COPY --from=full-environment /opt/esp-tvm/.venv .venv
COPY --from=full-environment /opt/esp-tvm/tvm tvm
COPY --from=source / ./
RUN scripts/image-finish.sh
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1 TOPHUB_LOCATION=NONE PATH=/opt/esp-tvm/bin:$PATH
WORKDIR /project
USER 1000:1000
ENTRYPOINT ["esp-tvm"]
CMD ["help"]
