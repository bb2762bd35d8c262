#!/usr/bin/env bash
# The image's `python`: that of the environment. A script that the caller's folder does not have, but the image has, is
# the image's: python tools/tvm/export_onnx_model.py --help, as ESP-DL documents it.
set -euo pipefail
repo=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
case ${1:-} in
tools/* | ./tools/* | scripts/* | bench/*)
    if [ ! -e "$1" ] && [ -f "$repo/$1" ]; then
        set -- "$repo/$1" "${@:2}"
    fi
    ;;
esac
exec "$repo/scripts/in-env.sh" python "$@"
