#!/usr/bin/env bash
# Projects for all chips that the active ESP-IDF knows.
#   scripts/idf_chips.sh export      MODEL CALIB INPUT (default examples/digits) into build/idf/<chip>/new_project
#   scripts/idf_chips.sh test DIR... builds the projects with it, and runs in its QEMU those that QEMU can: each must
#                                    print PASS
# `test` needs a Python 3.8 or later and nothing of set-up, so it also runs in Espressif's container (docs/esp-idf.md).
set -euo pipefail
repo=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)

fail() {
    echo "error: $*" >&2
    exit 2
}

chip_of() { # project
    sed -n 's/^ "target_chip": "\([a-z0-9]*\)".*/\1/p' "$1/components/tvm_model/model/metadata.json"
}

# Sets result: what was done with the project, or what failed.
try() { # project chip
    local project=$1 chip=$2 help
    result="set-target failed"
    idf.py -C "$project" set-target "$chip" || return 1
    result="build failed"
    idf.py -C "$project" build || return 1
    result="size failed"
    idf.py -C "$project" size || return 1
    result="built"
    case $chip in esp32 | esp32c3 | esp32s3) ;; *) return 0 ;; esac
    # Read everything first: a search that ends early would end idf.py too.
    help=$(idf.py --help 2>/dev/null || true)
    if ! grep -qw qemu <<<"$help"; then
        result="built; not run: this ESP-IDF has no 'idf.py qemu'"
    elif python3 -c 'import pytest_embedded_idf, pytest_embedded_qemu' 2>/dev/null; then
        result="pytest -m qemu failed"
        (cd "$project" && python3 -m pytest -m qemu) || return 1
        result="built; pytest -m qemu passed"
    else
        result="no PASS in QEMU"
        python3 "$repo/scripts/idf_qemu.py" idf.py -C "$project" qemu || return 1
        result="built; PASS in QEMU (idf.py qemu; pytest-embedded-idf and pytest-embedded-qemu are not installed)"
    fi
}

case ${1:-} in
export)
    cd "$repo"
    command -v idf.py >/dev/null || fail "no ESP-IDF is active (. \$IDF_PATH/export.sh)"
    # shellcheck disable=SC2046
    set -- $(scripts/pipeline.sh idf-chips "$(idf.py --version 2>/dev/null || true)")
    if [ -z "${MODEL:-}" ]; then
        digits=examples/digits
        export MODEL=$digits/model.onnx CALIB=$digits/calib.npy INPUT=$digits/input_sample.npy
    fi
    for chip in "$@"; do
        BOARD='' TARGET=$chip OUT=build/idf/$chip scripts/pipeline.sh export
    done
    ;;
test)
    shift
    [ $# -gt 0 ] || fail "name the projects: scripts/idf_chips.sh test build/idf/*/new_project"
    command -v idf.py >/dev/null || fail "no ESP-IDF is active (. \$IDF_PATH/export.sh)"
    results=()
    status=0
    for project in "$@"; do
        [ -f "$project/components/tvm_model/model/metadata.json" ] || fail "$project is not an exported project"
        project=$(cd "$project" && pwd)
        chip=$(chip_of "$project")
        try "$project" "$chip" || status=1
        results+=("$chip: $result")
    done
    printf '%s\n' "${results[@]}"
    exit "$status"
    ;;
*) fail "usage: scripts/idf_chips.sh export, or: scripts/idf_chips.sh test PROJECT ..." ;;
esac
