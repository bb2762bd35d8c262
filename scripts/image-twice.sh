#!/usr/bin/env bash
# Builds the image twice, without a cache and a minute apart, and compares the digests; where they differ, it lists the
# files. As root on Debian, with buildah: docker needs a builder of its own to give files a time (docs/container.md).
# PYTHON_IMAGE: the base (default a stand-in made here); MIRROR, PIP_CONF, CA_CERT as for image-test.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

[ "$(id -u)" -eq 0 ] || {
    echo "error: buildah and debootstrap need root here" >&2
    exit 2
}
if ! command -v buildah >/dev/null || ! command -v debootstrap >/dev/null; then
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends buildah debootstrap crun
fi
scripts/setup.sh >/dev/null
work=$(mktemp -d /var/tmp/image-twice.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

builder() {
    buildah --root "$work/store" --runroot "$work/run" --storage-driver vfs "$@"
}
if [ -z "${PYTHON_IMAGE:-}" ]; then
    scripts/image-base.sh "$work/rootfs"
    container=$(builder from scratch)
    builder add --quiet "$container" "$work/rootfs" / >/dev/null
    builder commit --quiet --timestamp 0 "$container" localhost/esp-tvm-base:stand-in >/dev/null
    builder rm "$container" >/dev/null
    rm -rf "$work/rootfs"
    PYTHON_IMAGE=localhost/esp-tvm-base:stand-in
fi
secrets=()
for file in "${PIP_CONFIG_FILE:-}" /etc/pip.conf; do
    [ -n "${PIP_CONF:-}" ] || [ ! -f "$file" ] || PIP_CONF=$file
done
[ -z "${PIP_CONF:-}" ] || secrets+=(--secret "id=pip.conf,src=$PIP_CONF")
ca=${CA_CERT:-/etc/ssl/certs/ca-certificates.crt}
[ ! -f "$ca" ] || secrets+=(--secret "id=ca.crt,src=$ca")

digests=()
for number in 1 2; do
    begin=$SECONDS
    # The second from a copy: what it is built from has other times and another order in its folders.
    mkdir "$work/source$number"
    tar -c --exclude=./.git --exclude=./.venv --exclude=./tvm --exclude=./build --exclude=__pycache__ . |
        tar -C "$work/source$number" -xm
    builder build --quiet --isolation chroot --network host --no-cache --timestamp "${SOURCE_DATE_EPOCH:-1700000000}" \
        --target pipeline --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" --build-arg "APT_SNAPSHOT=${APT_SNAPSHOT:-}" \
        "${secrets[@]}" --tag "localhost/esp-tvm:$number" "$work/source$number" >"$work/build$number.log" 2>&1 ||
        { tail -n 20 "$work/build$number.log" >&2; exit 1; }
    rm -rf "$work/source$number"
    builder push --quiet --digestfile "$work/digest$number" "localhost/esp-tvm:$number" "oci:$work/image$number:latest"
    digests+=("$(cat "$work/digest$number")")
    echo "build $number: ${digests[-1]} ($((SECONDS - begin)) s)"
    [ "$number" -ne 1 ] || sleep 61
done
if [ "${digests[0]}" = "${digests[1]}" ]; then
    echo "two builds, one image: ${digests[0]}"
    exit
fi
echo "error: the two builds differ; first in:" >&2
for number in 1 2; do
    container=$(builder from "localhost/esp-tvm:$number")
    folder=$(builder mount "$container")
    (cd "$folder" && find . -xdev \( -type f -printf '%p %m %T@ ' -exec sha256sum {} \; -o -printf '%p %m %T@ %l\n' \) | sort) \
        >"$work/files$number"
done
diff "$work/files1" "$work/files2" | head -n 40 >&2 || true
exit 1
