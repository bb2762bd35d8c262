#!/usr/bin/env bash
# Writes the lock files from the requirements files of tools, tests and examples: every package that is pulled in, with the hashes of
# all its published files, so that pip may choose the right one for Linux on x86-64 or aarch64. Needs uv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v uv >/dev/null || { echo "error: uv is not on PATH; install it with 'pip install uv'" >&2; exit 2; }

lock() { # requirements lock [more options]
    local requirements=$1 lock=$2
    shift 2
    uv pip compile --quiet --python-version "${python:-3.8}" --python-platform x86_64-unknown-linux-gnu \
        --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links "$@" "$requirements" --output-file "$lock.new"
    { echo "# Made by scripts/lock.sh; do not edit."; cat "$lock.new"; } >"$lock.whole"
    rm "$lock.new"
    mv "$lock.whole" "$lock"
}

lock tools/tvm/requirements.txt tools/tvm/requirements.lock --upgrade
lock scripts/requirements-dev.txt scripts/requirements-dev.lock --upgrade --constraint tools/tvm/requirements.lock
python=3.11 lock scripts/requirements-idf.txt scripts/requirements-idf.lock --upgrade
python=3.11 lock scripts/requirements-keras3.txt scripts/requirements-keras3.lock --upgrade
lock - scripts/pip.lock <<<'pip==24.0'
for framework in sklearn tensorflow; do
    lock "examples/from_$framework/requirements.txt" "examples/from_$framework/requirements.lock" --upgrade
done
# Packages whose files are read, not imported: without what they depend on (scripts/frontend.sh).
for example in image_classification keyword_spotting; do
    lock "examples/$example/requirements.txt" "examples/$example/requirements.lock" --no-deps --upgrade
done
# torch itself is installed without hashes; its CPU build is asked for so that what CUDA needs stays out of the lock.
# Where uv cannot reach that build's index, UV_FIND_LINKS (which uv reads) may name a folder with its wheel.
cpu=()
[ -n "${UV_FIND_LINKS:-}" ] || cpu=(--torch-backend cpu)
sed 's/^\(torch==[0-9.]*\)$/\1+cpu/' examples/from_pytorch/requirements.txt |
    python=3.11 lock - examples/from_pytorch/requirements.lock --upgrade --no-emit-package torch "${cpu[@]}"
