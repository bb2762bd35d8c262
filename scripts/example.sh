#!/usr/bin/env bash
# All steps of one example: install its framework, train, export, deploy, compare, and show the accuracy.
#   scripts/example.sh pytorch|tensorflow|tflite|sklearn        TARGET in the environment names the chip
# Every command is printed before it runs, in the form to type.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

name=${1:-}
case $name in
    pytorch | tensorflow | sklearn) framework=$name ;;
    tflite) framework=tensorflow ;;
    *)
        echo "error: usage: scripts/example.sh pytorch|tensorflow|tflite|sklearn" >&2
        exit 2
        ;;
esac
out=build/from_$name

# A command in the form to type.
typed() {
    local word
    printf '$' >&2
    for word in "$@"; do
        case $word in
            *=*' '*) printf ' %s="%s"' "${word%%=*}" "${word#*=}" >&2 ;;
            *) printf ' %s' "$word" >&2 ;;
        esac
    done
    echo >&2
}

show() {
    typed "$@"
    "$@"
}

export TF_CPP_MIN_LOG_LEVEL=2
scripts/setup.sh >/dev/null
scripts/example_env.sh "$framework" >/dev/null
show "build/env/$framework/bin/python" -W ignore "examples/from_$name/train.py" --out "$out"
if [ "$name" = tflite ]; then
    show scripts/in-env.sh python tools/tvm/onnx_from.py "$out/model.tflite" --output "$out/model.onnx"
fi
variables=(MODEL="$out/model.onnx" OUT="$out" CALIB="$out/calib.npy" INPUT="$out/eval.npy" TARGET="${TARGET:-esp32s3}"
    QUANTIZE_OPTIONS="--evaluate $out/eval.npy --labels $out/labels.npy" RUN_OPTIONS=--summary)
typed make deploy "${variables[@]}"
# Not through make: variables on this make's command line must not be passed on.
env -u EXPORT_OPTIONS "${variables[@]}" scripts/pipeline.sh deploy
show scripts/in-env.sh python examples/accuracy.py "$out"
