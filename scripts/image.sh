#!/usr/bin/env bash
# scripts/image.sh build   builds IMAGE (default esp-tvm) on PYTHON_IMAGE; prints time and size
# scripts/image.sh check   runs the demo in it as a user without rights, and compares the project with the one made here
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
image=${IMAGE:-esp-tvm}

fail() {
    echo "error: $*" >&2
    exit 2
}

docker info >/dev/null 2>&1 || fail "no docker engine answers; start one, or type: make image-test (as root on Debian)"
case ${1:-} in
build)
    options=(--target pipeline --tag "$image")
    [ -z "${PYTHON_IMAGE:-}" ] || options+=(--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE")
    [ -z "${NETWORK:-}" ] || options+=(--network "$NETWORK")
    begin=$SECONDS
    docker build "${options[@]}" .
    echo "$image: built in $((SECONDS - begin)) s, $(($(docker image inspect -f '{{.Size}}' "$image") / 1000000)) MB"
    ;;
check)
    [ -d build/digits/new_project ] || scripts/pipeline.sh demo
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    user=$(id -u):$(id -g)
    # Root has rights in a container that a caller's user does not.
    [ "$(id -u)" -ne 0 ] || user=12345:12345
    chown "$user" "$folder"
    docker run --rm --network none --read-only --tmpfs /tmp:exec -u "$user" -v "$folder:/project" "$image" demo
    diff -r build/digits/new_project "$folder/build/digits/new_project" || fail "the image makes another project"
    owners=$(find "$folder" ! -user "${user%:*}" | head -n 1)
    [ -z "$owners" ] || fail "$owners does not belong to the caller"
    status=0
    docker run --rm -u "$user" -v "$folder:/project" "$image" quantize MODEL=missing.onnx || status=$?
    [ "$status" -eq 2 ] || fail "a missing model gave exit code $status, not 2"
    echo "$image: the demo's project is the same, byte for byte, inside and outside"
    ;;
*) fail "usage: scripts/image.sh build|check" ;;
esac
