#!/usr/bin/env bash
# All steps of one example: install its framework, train, export, deploy, compare, and show the accuracy.
#   scripts/example.sh pytorch|tensorflow|tflite|sklearn|qat        TARGET in the environment names the chip
# Every command is printed before it runs, in the form to type.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

name=${1:-}
case $name in
    pytorch | tensorflow | sklearn) framework=$name ;;
    tflite) framework=tensorflow ;;
    qat) framework=pytorch ;;
    *)
        echo "error: usage: scripts/example.sh pytorch|tensorflow|tflite|sklearn|qat" >&2
        exit 2
        ;;
esac
out=build/from_$name
# A TARGET that is none, before all that is done for it.
scripts/pipeline.sh board

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

# deploy FOLDER INPUT [OPTIONS OF QUANTIZE]: all steps for FOLDER/model.onnx
deploy() {
    local variables=(MODEL="$1/model.onnx" OUT="$1" CALIB="$1/calib.npy" INPUT="$1/$2" TARGET="${TARGET:-esp32s3}"
        ${3:+QUANTIZE_OPTIONS="$3"} RUN_OPTIONS=--summary)
    typed make deploy "${variables[@]}"
    # Not through make: variables on this make's command line must not be passed on.
    env -u EXPORT_OPTIONS "${variables[@]}" scripts/pipeline.sh deploy
}

folder=examples/from_$name
[ "$name" != qat ] || folder=examples/quantization_aware_training
show "build/env/$framework/bin/python" -W ignore "$folder/train.py" --out "$out"
if [ "$name" = qat ]; then
    deploy "$out/float" input.npy
    deploy "$out/quantized" input.npy
    show scripts/in-env.sh python "$folder/compare.py" "$out"
    exit
fi
if [ "$name" = tflite ]; then
    show scripts/in-env.sh python tools/tvm/onnx_from.py "$out/model.tflite" --output "$out/model.onnx"
fi
deploy "$out" eval.npy "--evaluate $out/eval.npy --labels $out/labels.npy"
show scripts/in-env.sh python examples/accuracy.py "$out"
