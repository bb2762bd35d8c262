#!/usr/bin/env bash
# make component: the model of the project in OUT (default build/<name of MODEL>) into DEST, the folder components of
# another ESP-IDF application; MODEL_NAME for names of its own (docs/own-application.md).
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

fail() {
    echo "error: $*" >&2
    exit 2
}

[ -n "${DEST:-}" ] || fail "DEST is not set; name the application's folder components: make component DEST=path/to/components"
if [ -z "${OUT:-}" ]; then
    [ -n "${MODEL:-}" ] || fail "neither MODEL nor OUT is set; say which project: make component OUT=build/name"
    name=${MODEL##*/}
    OUT=build/${name%.onnx}
fi
exec scripts/in-env.sh python tools/tvm/copy_model.py --project "$OUT/new_project" --to "$DEST" ${MODEL_NAME:+--name "$MODEL_NAME"}
