#!/usr/bin/env bash
# What the image runs: entrypoint.sh STEP [NAME=value ...], the words of `make`. Files are named from /project, the
# mounted folder, and products go to /project/build/<name of MODEL>.
#   entrypoint.sh deploy MODEL=model.onnx CALIB=calib.npy INPUT=input.npy TARGET=esp32s3
#   entrypoint.sh shell        entrypoint.sh python SCRIPT ...
set -euo pipefail
repo=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)

fail() {
    echo "error: $*" >&2
    exit 2
}

usage() {
    echo "usage: STEP [NAME=value ...]; STEP is preprocess, quantize, export, run, debug, deploy, demo, python or shell"
    "$repo/scripts/pipeline.sh" variables
}

step=${1:-help}
[ $# -eq 0 ] || shift
case $step in
help | --help | -h)
    usage
    exit
    ;;
shell) exec "$repo/scripts/in-env.sh" bash "$@" ;;
python) exec "$repo/scripts/in-env.sh" python "$@" ;;
preprocess | quantize | export | run | debug | deploy | demo) ;;
*) fail "'$step' is no step; type 'help' for the list" ;;
esac

for argument in "$@"; do
    name=${argument%%=*}
    value=${argument#*=}
    case $argument in
    MODEL=?* | CALIB=?* | INPUT=?* | OUT=?*)
        case $value in /*) ;; *) value=$PWD/$value ;; esac
        ;;
    TARGET=* | QUANTIZE_OPTIONS=* | EXPORT_OPTIONS=* | RUN_OPTIONS=* | DEBUG_OPTIONS=*) ;;
    *) fail "'$argument' is none of MODEL, CALIB, INPUT, OUT, TARGET or STEP_OPTIONS followed by =value" ;;
    esac
    export "$name=$value"
done
mkdir -p build 2>/dev/null || fail "$PWD is not writable for user $(id -u); run with -u \$(id -u):\$(id -g) and -v \"\$PWD:/project\""
exec "$repo/scripts/pipeline.sh" "$step"
