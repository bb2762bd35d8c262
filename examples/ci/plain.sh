#!/bin/sh
# From the model in your repository to a verified project, in any CI or at your desk; needs docker and the image.
# Run it in the repository's folder. It ends with the exit code of the pipeline: 0 only when every byte that the
# generated program computes is the reference's.
#   IMAGE=esp-tvm MODEL=model.onnx CALIB=calib.npy INPUT=input.npy TARGET=esp32c3 sh plain.sh
# Keeps in ARTIFACTS (default artifacts/): the project, the quantized model, the report, the steps' logs.
set -eu
: "${IMAGE:=esp-tvm}" "${MODEL:=model.onnx}" "${CALIB:=calib.npy}" "${INPUT:=input.npy}" "${TARGET:=esp32s3}"
: "${ARTIFACTS:=artifacts}"
out=build/$(basename "$MODEL" .onnx)

pipeline() {
    docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/project" "$IMAGE" "$@"
}

status=0
pipeline deploy MODEL="$MODEL" CALIB="$CALIB" INPUT="$INPUT" TARGET="$TARGET" || status=$?
if [ -d "$out/new_project" ]; then
    report=0
    pipeline report MODEL="$MODEL" CALIB="$CALIB" INPUT="$INPUT" || report=$?
    [ "$status" -ne 0 ] || status=$report
fi

mkdir -p "$ARTIFACTS"
for name in new_project model_quant.onnx report.html logs; do
    if [ -e "$out/$name" ]; then
        rm -rf "${ARTIFACTS:?}/$name"
        cp -r "$out/$name" "$ARTIFACTS/"
    fi
done
exit "$status"
