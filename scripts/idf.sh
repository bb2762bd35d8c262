#!/usr/bin/env bash
# idf.py for the project in OUT (default build/<name of MODEL>): scripts/idf.sh build|flash|monitor|menuconfig|qemu|...
# Uses the idf.py of an activated ESP-IDF, otherwise that of the container IDF_IMAGE through docker, with PORT passed in.
# Its version must be one that builds for the chip (tools/esp_tvm/idf_versions.py). TARGET, if set, must be the chip that
# the project was exported for.
set -euo pipefail
repo=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
cd "$repo"

fail() {
    echo "error: $*" >&2
    exit 2
}
# shellcheck source=scripts/port.sh
. scripts/port.sh

action=${1:?usage: scripts/idf.sh ACTION}
image=${IDF_IMAGE:-$(scripts/pipeline.sh idf-image)}

OUT=$(scripts/pipeline.sh out)
project=$OUT/new_project
metadata=$project/components/tvm_model/model/metadata.json
[ -f "$metadata" ] || fail "$project is not there; export it first: make export MODEL=... CALIB=... INPUT=... TARGET=..."
chip=$(sed -n 's/^ "target_chip": "\([a-z0-9]*\)".*/\1/p' "$metadata")
[ -n "$chip" ] || fail "$metadata names no target_chip; export the project again"
[ "$chip" != host ] || fail "$project was exported for this computer; export it for a chip: make export ... TARGET=esp32s3"
# ESP32-S3 is esp32s3.
target=$(tr -d '_-' <<<"${TARGET:-}" | tr '[:upper:]' '[:lower:]')
if [ -n "$target" ] && [ "$target" != "$chip" ]; then
    fail "$project was exported for $chip, not for $TARGET; type: make export ... TARGET=$TARGET"
fi
port=${PORT:-}
case $action in
flash | constants-flash | monitor | erase-flash) check_port "$port" ;;
esac

if command -v idf.py >/dev/null; then
    idf() {
        idf.py -C "$project" "$@"
    }
    # Its own messages come again with the action itself.
    scripts/pipeline.sh idf-check "$chip" "$(idf.py --version 2>/dev/null || true)"
elif command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    in_container "$port"
    port=$port_inside
    idf() {
        local docker=(run --rm -v "$(readlink -f "$project"):/project" -w /project -u "$(id -u):$(id -g)" -e HOME=/tmp -e ESPPORT)
        [ ! -t 0 ] || docker+=(-it)
        docker "${docker[@]}" "${port_options[@]}" "$image" idf.py "$@"
    }
    case $image in
    *:v[0-9]* | *:release-v[0-9]*) version=$image ;;
    *) version=$(docker run --rm -e HOME=/tmp "$image" idf.py --version 2>/dev/null || true) ;;
    esac
    scripts/pipeline.sh idf-check "$chip" "$version"
elif [ -e .venv/sealed ]; then
    # The image without ESP-IDF, or the Nix package: there is no docker to install inside.
    fail "no ESP-IDF in here; take the larger image (make image STAGE=full), or type 'idf.py build' in $project where" \
        "$(scripts/pipeline.sh idf-needed "$chip") is active"
else
    fail "no idf.py on PATH and no docker; activate $(scripts/pipeline.sh idf-needed "$chip") (. \$IDF_PATH/export.sh) or install docker"
fi

options=()
if [ "$action" = constants-flash ]; then
    # A target of the project itself: idf.py does not pass -p on to it.
    [ -z "$port" ] || export ESPPORT=$port
elif [ -n "$port" ]; then
    options+=(-p "$port")
fi

# The chip is set only once: set-target deletes the previous build.
if ! grep -qsx "CONFIG_IDF_TARGET=\"$chip\"" "$project/sdkconfig"; then
    idf set-target "$chip"
fi
if [ "$action" = qemu ]; then
    # It would run for ever: it is ended after PASS or FAIL.
    exec python3 scripts/idf_qemu.py idf.py -C "$project" qemu
fi
idf "${options[@]}" "$action"
