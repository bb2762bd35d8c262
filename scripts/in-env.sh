#!/usr/bin/env bash
# Runs a command in the project's environment: .venv first on PATH, TVM and tools/ on PYTHONPATH.
#   scripts/in-env.sh python tools/tvm/export_onnx_model.py --help
set -euo pipefail
repo=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
tvm=$("$repo/scripts/setup.sh")
export PATH="$repo/.venv/bin:$PATH" PYTHONPATH="$tvm:$repo/tools" TOPHUB_LOCATION=NONE
unset PYTHONHOME
exec "$@"
