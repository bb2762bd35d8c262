#!/usr/bin/env bash
# Front ends (docs/image-input.md, docs/audio-input.md) and the examples that have one.
#   scripts/frontend.sh arrays     SPEC FILES CALIB: pictures or sounds to the .npy CALIB
#   scripts/frontend.sh frontend   MODEL CALIB SPEC SAMPLE TARGET BOARD APP OUT: OUT/board/new_project
#   scripts/frontend.sh detect     SPEC FILES OUT: boxes in pictures by OUT/board/new_project, drawn in OUT/found
#                                  SECOND SECOND_SPEC: by SECOND/board/new_project, in the squares around those boxes
#   scripts/frontend.sh example-image|example-detection|example-embedding|example-keyword
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
# shellcheck source=scripts/file-variables.sh
. scripts/file-variables.sh

fail() {
    echo "error: $*" >&2
    exit 2
}

need() { # variable what
    [ -n "${!1:-}" ] || fail "$1 is not set; $2"
}

# Before minutes of work that the next step would throw away.
need_file() { # variable what
    need "$1" "$2"
    [ -e "${!1}" ] || fail "$1=${!1} does not exist; $2"
}

python() {
    scripts/in-env.sh python "$@"
}

# Packages whose files are read, not imported: into build/env/EXAMPLE, without their dependencies.
packages() { # example
    local lock=examples/$1/requirements.lock folder=build/env/$1 log=build/logs/env-$1.log
    local stamp=$folder.installed
    mkdir -p build/env build/logs
    exec 9>"build/env/.$1.lock"
    if command -v flock >/dev/null; then flock 9; fi
    if [ -f "$stamp" ] && cmp -s "$lock" "$stamp" && [ -d "$folder" ]; then
        exec 9>&-
        return
    fi
    echo "== packages: $(grep -c '^[a-z].*==' "$lock") of $lock" >&2
    rm -rf "$folder" "$stamp"
    mkdir -p "$folder"
    .venv/bin/python -m pip install --disable-pip-version-check --no-input --no-deps --no-compile --require-hashes \
        --prefer-binary --target "$folder" --requirement "$lock" >"$log" 2>&1 || {
        grep -i '^ *error' "$log" | head -n 3 >&2 || true
        fail "pip could not install $lock (all it said: $log); check the network and try again"
    }
    cp "$lock" "$stamp"
    exec 9>&-
}

frontend() { # quantized model, out
    local options=()
    options+=(${TARGET:+--target_chip "$TARGET"} ${BOARD:+--board "$BOARD"} ${FLASH:+--flash "$FLASH"})
    options+=(${PSRAM:+--psram "$PSRAM"} ${INTERNAL:+--internal "$INTERNAL"} ${APP:+--app "$APP"})
    echo "== front end"
    python tools/tvm/frontend.py export --spec "$SPEC" --model "$1" --sample "$SAMPLE" --out_path "$2" "${options[@]}"
    python tools/tvm/run_project.py --project "$2/new_project" --model "$2/model_board.onnx" \
        --input "$2/input_board.npy"
}

# What a detector finds, in the report of its project: OUT/board/report.html.
detector_report() {
    local board=$OUT/board
    python tools/tvm/report.py --project "$board/new_project" --model "$board/model_board.onnx" \
        --input "$board/input_board.npy" --output "$board/report.html"
    OUT=$OUT scripts/pipeline.sh made board/detections.json board/report.html board/report.txt
}

# From the model to the project with its front end, in OUT.
whole_way() {
    local limits
    # What of a detector's outputs makes no difference to its boxes needs no room in int8.
    limits=$(python tools/tvm/frontend.py limits --spec "$SPEC")
    PREPROCESS_OPTIONS="$limits ${PREPROCESS_OPTIONS:-}" MODEL=${MODEL:-} CALIB=${CALIB:-} OUT=$OUT \
        scripts/pipeline.sh quantize
    frontend "$OUT/model_quant.onnx" "$OUT/board"
    OUT=$OUT scripts/pipeline.sh made board/model_board.onnx board/input_board.npy
}

case ${1:-} in frontend | example-*)
    scripts/pipeline.sh board
    if [ -n "${APP:-}" ]; then
        need_file APP "name a folder with the files of an application"
        [ -f "$APP/main/app_main.c" ] || fail "APP=$APP has no main/app_main.c; name a folder with the files of an application"
    fi
    ;;
esac
case ${1:-} in
    arrays)
        need SPEC "name the YAML that describes the model's input"
        need FILES "name the pictures or sounds, or folders of them"
        need CALIB "name the .npy to write"
        split_files
        python tools/tvm/frontend.py arrays --spec "$SPEC" --out "$CALIB" "${files[@]}"
        ;;
    frontend)
        # An .espdl has its exponents.
        case ${MODEL:-} in *.espdl) ;; *) need CALIB "make it with 'make arrays'" ;; esac
        need_file SPEC "name the YAML that describes the model's input"
        need_file SAMPLE "name a picture or a sound"
        [ ! -d "$SAMPLE" ] || fail "SAMPLE=$SAMPLE is a folder; name a picture or a sound"
        OUT=$(scripts/pipeline.sh out)
        python tools/tvm/frontend.py check --spec "$SPEC" ${MODEL:+--model "$MODEL"}
        whole_way
        ;;
    example-image)
        example=examples/image_classification
        OUT=build/image_classification
        MODEL=$example/model.onnx SPEC=$example/image.yaml CALIB=$OUT/calib.npy APP=$example/app
        SAMPLE=$OUT/pictures/test/cat/000.png
        scripts/setup.sh >/dev/null
        packages image_classification
        echo "== pictures"
        python $example/pictures.py --packages build/env/image_classification --out "$OUT/pictures"
        python tools/tvm/frontend.py arrays --spec $SPEC --out "$CALIB" "$OUT/pictures/train"/*/00?.*
        whole_way
        echo "== evaluate"
        python $example/evaluate.py --project "$OUT/board/new_project" --pictures "$OUT/pictures/test"
        ;;
    detect)
        need SPEC "name the YAML that describes the model's input and outputs"
        need FILES "name the pictures, or folders of them"
        OUT=$(scripts/pipeline.sh out)
        options=()
        if [ -n "${SECOND:-}${SECOND_SPEC:-}" ]; then
            need SECOND "name the OUT of the second detector"
            need_file SECOND_SPEC "name the YAML of the second detector"
            options=(--second_spec "$SECOND_SPEC" --second_project "$SECOND/board/new_project")
        fi
        split_files
        python tools/tvm/frontend.py detect --spec "$SPEC" --project "$OUT/board/new_project" --out "$OUT/found" \
            "${options[@]}" "${files[@]}"
        echo "== report"
        detector_report
        ;;
    example-detection)
        example=examples/object_detection
        OUT=build/object_detection
        MODEL=$example/model.onnx SPEC=$example/image.yaml CALIB=$OUT/calib.npy APP=$example/app
        SAMPLE=$OUT/pictures/test/000.png
        scripts/setup.sh >/dev/null
        echo "== pictures"
        python $example/scenes.py --out "$OUT/pictures"
        python tools/tvm/frontend.py arrays --spec $SPEC --out "$CALIB" "$OUT/pictures/train"
        whole_way
        echo "== evaluate"
        python $example/evaluate.py --project "$OUT/board/new_project" --pictures "$OUT/pictures/test" --out "$OUT/found"
        echo "== report"
        detector_report
        ;;
    example-embedding)
        example=examples/image_embedding
        OUT=build/image_embedding
        MODEL=$OUT/model.onnx SPEC=$example/image.yaml CALIB=$OUT/calib.npy APP=$example/app
        SAMPLE=$OUT/pictures/test/cat/000.png
        scripts/setup.sh >/dev/null
        packages image_classification
        echo "== pictures"
        python examples/image_classification/pictures.py --packages build/env/image_classification --out "$OUT/pictures"
        python $example/features.py --out "$MODEL"
        python tools/tvm/frontend.py arrays --spec $SPEC --out "$CALIB" "$OUT/pictures/train"/*/00?.*
        whole_way
        echo "== evaluate"
        python $example/evaluate.py --project "$OUT/board/new_project" --model "$MODEL" --pictures "$OUT/pictures/test"
        ;;
    example-keyword)
        example=examples/keyword_spotting
        OUT=build/keyword_spotting
        MODEL=$example/model.onnx SPEC=$example/audio.yaml CALIB=$OUT/calib.npy APP=$example/app
        SAMPLE=$OUT/sounds/test/stop/000.wav
        scripts/setup.sh >/dev/null
        packages keyword_spotting
        echo "== words"
        python $example/words.py --packages build/env/keyword_spotting --out "$OUT/sounds" --some
        python tools/tvm/frontend.py arrays --spec $SPEC --out "$CALIB" "$OUT/sounds/train"
        whole_way
        echo "== evaluate"
        python $example/evaluate.py --project "$OUT/board/new_project" --sounds "$OUT/sounds"
        ;;
    *)
        fail "say arrays, frontend, detect, example-image, example-detection, example-embedding or example-keyword"
        ;;
esac
