#!/usr/bin/env bash
# The image's command, which is also `esp-tvm` there: esp-tvm TARGET [NAME=value ...], as for `make`; `help` lists them.
# File names are relative to the working folder (/project, the mounted one), and products go to build/<name of MODEL>.
#   esp-tvm deploy MODEL=model.onnx CALIB=calib.npy INPUT=input.npy TARGET=esp32c3
#   esp-tvm shell [-c COMMAND]        esp-tvm python SCRIPT ...
# With options it is the command of docs/commands.md: esp-tvm quantize --model model.onnx ..., esp-tvm --version
# The exit code is that of the step (make's own would always be 2).
set -euo pipefail
repo=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)

fail() {
    echo "error: $*" >&2
    exit 2
}

# shellcheck source=scripts/file-variables.sh
. "$repo/scripts/file-variables.sh"

case ${1:-help} in
shell) exec "$repo/scripts/in-env.sh" env PATH="$repo/bin:$PATH" bash "${@:2}" ;;
python) exec "$repo/scripts/image-python.sh" "${@:2}" ;;
--help | -h) set -- help ;;
--* | completion | convert) exec "$repo/scripts/in-env.sh" python -m esp_tvm "$@" ;;
*) case ${2:-} in -*) exec "$repo/scripts/in-env.sh" python -m esp_tvm "$@" ;; esac ;;
esac
target=${1:-help}
[ $# -eq 0 ] || shift
case $target in
setup | system-packages | lock | lint | format | test | test-* | distclean | vendor | image | image-* | operators | \
    example-*)
    fail "'$target' is for the project's own folder, not for the image" ;;
esac

# A name that is not in the list of targets and variables is a typing error.
help=$(make -s --no-print-directory -C "$repo" help)
if ! [[ $target =~ ^[a-z-]+$ ]] || ! grep -q "^  $target " <<<"$help"; then
    fail "'$target' is no target; type 'help' for the list"
fi
for argument in "$@"; do
    name=${argument%%=*}
    value=${argument#*=}
    if [[ $argument != *=* || ! $name =~ ^[A-Z][A-Z0-9_]*$ ]] || ! grep -qw -- "$name" <<<"$help"; then
        fail "'$argument' is no variable followed by =value; type 'help' for the list"
    fi
    case $name in PYTHON | CC) fail "'$argument': the image has its own" ;; esac
    if names_file "$name"; then
        # The steps start in the image's own folder.
        case $value in '' | - | /*) ;; *) value=$PWD/$value ;; esac
    fi
    export "$name=$value"
done
if [ "$target" = help ]; then
    echo "usage: TARGET [NAME=value ...], or: shell, python SCRIPT ..., SUB-COMMAND --help (docs/commands.md), --version"
    echo "$help"
    exit
fi
mkdir -p build 2>/dev/null ||
    fail "$PWD is not writable for user $(id -u); run with -u \$(id -u):\$(id -g) and -v \"\$PWD:/project\""
# Products belong to the caller's folder, whatever it is called.
if [ -z "${OUT:-}" ]; then
    name=${MODEL:-}
    name=${name##*/}
    case $target in
    demo) export OUT=$PWD/build/digits ;;
    sbom) export OUT=$PWD/build ;;
    *) [ -z "$name" ] || export OUT=$PWD/build/${name%.onnx} ;;
    esac
fi
# ESP-IDF's tools, if the image has them.
case $target in
build | flash | flash-weights | monitor | menuconfig | erase | size | emulate)
    if [ -n "${IDF_PATH:-}" ] && ! command -v idf.py >/dev/null; then
        # shellcheck disable=SC1091
        . "$IDF_PATH/export.sh" >/dev/null || fail "ESP-IDF at $IDF_PATH cannot be activated; see above"
    fi
    ;;
esac
if [ "$target" = bench ]; then
    # It writes its results beside itself: in the caller's clone of the project, not in the image.
    [ -f bench/bench.py ] || fail "'bench' is for a folder of the project itself: make DOCKER=1 bench"
    # shellcheck disable=SC2086
    exec "$repo/scripts/in-env.sh" python bench/bench.py ${NAMES:-}
fi
cd "$repo"
# Run directly what make would run for this target.
commands=$(make -s -n --no-print-directory "$target")
exec bash -euo pipefail -c "$commands"
