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
started() { # options of docker run, the image and its arguments
    docker run --rm --network none --read-only --cap-drop ALL --security-opt no-new-privileges \
        -u "$user" -v "$folder:/project" "$@"
}
contained() {
    started --tmpfs /tmp:exec "$image" "$@"
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
# No home, and no program may run in /tmp: what docker makes of a plain --tmpfs.
started --tmpfs /tmp:noexec -e HOME=/nonexistent "$image" \
    deploy MODEL=model.onnx CALIB=calib.npy INPUT=input_sample.npy TARGET=esp32c3
contained emulate MODEL=model.onnx
exit_code 2 quantize MODEL=missing.onnx CALIB=calib.npy
exit_code 2 qantize MODEL=model.onnx
exit_code 7 shell -c 'exit 7'
exit_code 2 build MODEL=model.onnx
# As jobs of a CI start it, in a folder of their own and with a shell in the place of its command; and ESP-DL's paths.
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' tools/esp_tvm/__init__.py)
said=$(started --tmpfs /tmp:exec -w "$(contained shell -c 'mkdir -p /project/job; echo /project/job')" --entrypoint sh "$image" -c \
    'esp-tvm --version; python tools/tvm/export_onnx_model.py --help; esp-tvm quantize MODEL=../model.onnx CALIB=../calib.npy')
grep -q "^esp-tvm, version $version\$" <<<"$said" || fail "esp-tvm --version in a job says: $said"
grep -q -- --target_chip <<<"$said" || fail "python tools/tvm/export_onnx_model.py finds no script in a job"
[ -s "$folder/job/build/model/model_quant.onnx" ] || fail "a job's products are not in its folder"
# Read everything first: a search that ends early would fail.
others=$(find "$folder" ! -user "${user%:*}")
[ -z "$others" ] || fail "${others%%$'\n'*} does not belong to the caller"
echo "$image: checked"
