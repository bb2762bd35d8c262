#!/usr/bin/env bash
# scripts/image-check.sh IMAGE: tests the image: the demo gives the same bytes as outside, without network and
# privileges; the RISC-V emulator agrees; exit codes pass through; files belong to the caller.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
image=${1:?usage: scripts/image-check.sh IMAGE}

fail() {
    echo "error: $*" >&2
    exit 1
}

# The same project made here from the same source; it is made again if that has changed.
scripts/pipeline.sh demo >/dev/null
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
user=$(id -u):$(id -g)
# Root has rights in a container that a caller's user does not.
[ "$(id -u)" -ne 0 ] || user=12345:12345
cp examples/digits/{model.onnx,calib.npy,input_sample.npy} "$folder"
chown -R "$user" "$folder"

# Without network, on a read-only file system, without privileges beyond the user's.
contained() {
    docker run --rm --network none --read-only --tmpfs /tmp:exec --cap-drop ALL --security-opt no-new-privileges \
        -u "$user" -v "$folder:/project" "$image" "$@"
}
exit_code() { # expected, then the arguments
    local expected=$1 status=0
    shift
    contained "$@" || status=$?
    [ "$status" -eq "$expected" ] || fail "$* ended with $status, not $expected"
}

contained demo
diff -r build/digits/new_project "$folder/build/digits/new_project" || fail "the image makes another project"
echo "$image: the demo's project is the same, byte for byte, inside and outside"

contained quantize MODEL=model.onnx CALIB=calib.npy
contained deploy MODEL=model.onnx CALIB=calib.npy INPUT=input_sample.npy TARGET=esp32c3
contained emulate MODEL=model.onnx
exit_code 2 quantize MODEL=missing.onnx CALIB=calib.npy
exit_code 2 qantize MODEL=model.onnx
exit_code 7 shell -c 'exit 7'
# Read everything first: a search that ends early would fail.
others=$(find "$folder" ! -user "${user%:*}")
[ -z "$others" ] || fail "${others%%$'\n'*} does not belong to the caller"
echo "$image: checked"
