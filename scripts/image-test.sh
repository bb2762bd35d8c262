#!/usr/bin/env bash
# Builds and checks the image where only Debian's packages and PyPI can be had: starts a Docker engine of its own, makes
# a base image with debootstrap and this machine's Python 3.8 in the place of the one that cannot be pulled. As root.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

[ "$(id -u)" -eq 0 ] || {
    echo "error: starting an engine needs root" >&2
    exit 2
}
if ! command -v dockerd >/dev/null || ! command -v debootstrap >/dev/null; then
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends docker.io debootstrap
fi
scripts/setup.sh >/dev/null
work=$(mktemp -d)
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

# The stand-in: Debian with the packages of apt-packages.txt and what Python's modules are linked against.
packages=$(awk '!/^#/ && NF { printf "%s,", $1 }' scripts/apt-packages.txt)
libraries=libssl3,libffi8,libsqlite3-0,libbz2-1.0,libreadline8,liblzma5,libncursesw6
debootstrap --variant=minbase --include="$packages$libraries" bookworm "$work/root" >"$work/debootstrap.log" ||
    { tail "$work/debootstrap.log" >&2; exit 1; }
python=$(.venv/bin/python -c 'import sys; print(sys.base_prefix)')
tar -C "$python" --exclude=lib/python3.8/test --exclude=site-packages --exclude=__pycache__ -c bin lib include |
    tar -C "$work/root/usr/local" -x
ln -sf python3.8 "$work/root/usr/local/bin/python3"
mkdir -p "$work/root/usr/local/lib/python3.8/site-packages"
chroot "$work/root" ldconfig
# How this machine reaches its package registry.
cp -r /etc/ssl/certs "$work/root/etc/ssl/"
[ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$work/root/etc/"

export DOCKER_HOST=unix://$work/docker.sock
dockerd --host "$DOCKER_HOST" --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" \
    --iptables=false --bridge=none --storage-driver=vfs >"$work/dockerd.log" 2>&1 &
engine=$!
for _ in $(seq 60); do
    ! docker info >/dev/null 2>&1 || break
    sleep 1
done
docker info >/dev/null || { tail "$work/dockerd.log" >&2; exit 1; }
rm -rf "$work/root/var/cache/apt/archives"
tar -C "$work/root" -c . | docker import - esp-tvm-base:stand-in >/dev/null
rm -rf "$work/root"
export IMAGE=esp-tvm:test PYTHON_IMAGE=esp-tvm-base:stand-in NETWORK=host DOCKER_BUILDKIT=0
scripts/image.sh build
scripts/image.sh check
