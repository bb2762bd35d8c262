#!/usr/bin/env bash
# Builds and checks the image where only Debian's packages and PyPI can be had: starts a Docker engine of its own, makes
# a base image with debootstrap and this machine's Python 3.8 in the place of the one that cannot be pulled. As root.
# MIRROR: where Debian's packages come from. PIP_CONF, CA_CERT: how this machine reaches its package index (default: its
# own files); the build sees them as secrets, the image has none of it. KEEP=FILE also writes the image to that file.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

[ "$(id -u)" -eq 0 ] || {
    echo "error: starting an engine needs root" >&2
    exit 2
}
if ! [ -x /usr/sbin/dockerd ] || ! command -v debootstrap >/dev/null; then
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends docker.io debootstrap
fi
scripts/setup.sh >/dev/null
work=$(mktemp -d /var/tmp/image-test.XXXXXX)
engine=
finish() {
    if [ -n "$engine" ]; then
        kill "$engine" 2>/dev/null || true
        wait "$engine" 2>/dev/null || true
    fi
    # The engine leaves its network namespace mounted.
    umount "$work/exec/netns/default" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
begin=$SECONDS
fail() {
    echo "error: $*" >&2
    exit 1
}
step() {
    echo "== $* ($((SECONDS - begin)) s)"
}

step "make a base of Debian and Python 3.8"
scripts/image-base.sh "$work/rootfs"
# As a bash without its line editor, which some bases (and nixpkgs) have: every script of the image runs so.
echo "enable -n bind compgen complete compopt fc history" >"$work/rootfs/etc/plain-bash"

# Debian's client goes with Debian's engine: a newer one has no BuildKit without its plug-in.
step "start an engine"
mkdir "$work/bin"
ln -s /usr/bin/docker "$work/bin/docker"
export PATH=$work/bin:$PATH DOCKER_HOST=unix://$work/docker.sock DOCKER_CONFIG=$work/config
start_engine() { # storage driver
    dockerd --host "$DOCKER_HOST" --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" \
        --iptables=false --bridge=none --storage-driver="$1" >"$work/dockerd.log" 2>&1 &
    engine=$!
    local _
    for _ in $(seq 60); do
        ! docker info >/dev/null 2>&1 || return 0
        kill -0 "$engine" 2>/dev/null || return 1
        sleep 1
    done
    return 1
}
# vfs works everywhere, and copies everything for every layer.
start_engine overlay2 || start_engine vfs || { tail "$work/dockerd.log" >&2; exit 1; }
tar -C "$work/rootfs" -c . | docker import --change "ENV BASH_ENV=/etc/plain-bash" - esp-tvm-base:stand-in >/dev/null
rm -rf "$work/rootfs"

step "build the image"
export IMAGE=esp-tvm:test STAGE=pipeline SOURCE=https://example.org/esp-tvm PYTHON_IMAGE=esp-tvm-base:stand-in NETWORK=host
for file in /etc/pip.conf "${PIP_CONFIG_FILE:-}"; do
    [ -n "${PIP_CONF:-}" ] || [ ! -f "$file" ] || export PIP_CONF=$file
done
[ -n "${CA_CERT:-}" ] || export CA_CERT=/etc/ssl/certs/ca-certificates.crt
scripts/image.sh build
labels=$(docker image inspect -f '{{json .Config.Labels}}' "$IMAGE")
[[ $labels =~ \"org.opencontainers.image.version\":\"[0-9] ]] || fail "the image does not say its version: $labels"
echo "of that, by folder:"
docker run --rm -u 0 --entrypoint sh "$IMAGE" -c 'cd /; du -xsm opt/esp-tvm/.venv opt/esp-tvm/tvm usr/local usr/lib usr/bin usr'

step "build it again after a change of the source"
mkdir "$work/changed"
tar -c --exclude=./.git --exclude=./.venv --exclude=./tvm --exclude=./build . | tar -C "$work/changed" -x
echo "# changed" >>"$work/changed/tools/esp_tvm/__init__.py"
again=$SECONDS
IMAGE=esp-tvm:changed "$work/changed/scripts/image.sh" build | tail -n 1
[ $((SECONDS - again)) -lt 60 ] || fail "a change of the source made the environment again"

step "check the image"
scripts/image.sh check
if docker run --rm --network none --entrypoint sh "$IMAGE" -c 'cat /etc/pip.conf /run/secrets/* | grep .' 2>/dev/null; then
    fail "secrets of the build are in the image"
fi

step "make DOCKER=1, and the CI's script in a repository with a model"
make DOCKER=1 quantize MODEL=examples/digits/model.onnx CALIB=examples/digits/calib.npy OUT=build/image-test
rm -rf build/image-test
make DOCKER=1 sbom | tail -n 1
mkdir "$work/repository"
cp examples/digits/{model.onnx,calib.npy} "$work/repository"
cp examples/digits/input_sample.npy "$work/repository/input.npy"
(cd "$work/repository" && sh "$OLDPWD/examples/ci/plain.sh")
for name in new_project report.html model_quant.onnx logs; do
    [ -e "$work/repository/artifacts/$name" ] || fail "the CI's script kept no $name"
done
step "build the stage full on a stand-in for ESP-IDF's image"
# That image has no Python 3.8, and its idf.py only after its export.sh was read; here that shows what it was asked.
docker build --quiet --network host --tag esp-tvm-idf:stand-in - >/dev/null <<'END'
FROM esp-tvm-base:stand-in
ENV IDF_PATH=/opt/esp/idf IDF_TOOLS_PATH=/opt/esp
RUN rm /usr/local/bin/python3.8 /usr/local/bin/python3 && mkdir -p /opt/esp/idf/tools \
    && echo 'export PATH=$IDF_PATH/tools:$PATH' >/opt/esp/idf/export.sh \
    && printf '#!/bin/sh\n[ "$1" != --version ] || { echo ESP-IDF v5.5.5; exit; }\necho stand-in for idf.py: "$@"\n' \
        >/opt/esp/idf/tools/idf.py && chmod +x /opt/esp/idf/tools/idf.py
ENTRYPOINT ["/opt/esp/entrypoint.sh"]
END
# A stand-in for the build of Python that is downloaded for it: this computer's, packed in the same way.
python=$(.venv/bin/python -c 'import sys; print(sys.base_prefix)')
mkdir -p "$work/changed/vendor" "$work/python/lib/python3.8/site-packages"
tar -C "$python" --exclude=lib/python3.8/test --exclude=site-packages --exclude=__pycache__ --exclude='*.a' \
    -c bin lib | tar -C "$work/python" -x
tar -C "$work" -czf "$work/changed/vendor/python.tar.gz" python
sum=$(sha256sum "$work/changed/vendor/python.tar.gz")
PYTHON_BUILD=vendor/python.tar.gz PYTHON_BUILD_SHA256=${sum%% *} STAGE=full IMAGE=esp-tvm-full:test \
    IDF_IMAGE=esp-tvm-idf:stand-in "$work/changed/scripts/image.sh" build
in_full() {
    docker run --rm --network none -u "$(id -u):$(id -g)" -v "$work/repository:/project" esp-tvm-full:test "$@"
}
in_full deploy MODEL=model.onnx CALIB=calib.npy INPUT=input.npy TARGET=esp32s3 | tail -n 1
for target in build flash-weights; do
    said=$(in_full "$target" MODEL=model.onnx)
    grep "stand-in for idf.py: -C /project/build/model/new_project" <<<"$said" ||
        fail "the stage full does not run $target with the image's ESP-IDF"
done

[ -z "${KEEP:-}" ] || docker save "$IMAGE" | gzip -1 >"$KEEP"
step "passed"
