#!/usr/bin/env bash
# Run while the image or the Nix package is built, after setup.sh: removes from the environment what the pipeline never
# uses (the packages' own tests, pip, the names of TVM's inner functions), and marks it complete. The same lock files
# give the same bytes: no time and no order of a folder stays in a file.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
.venv/bin/python -m pip uninstall --quiet --yes pip setuptools
packages=.venv/lib/python3.8/site-packages
rm -rf "$packages/onnx/backend/test" .venv/base/lib/python3.8/test
find "$packages" -type d -name tests -prune -exec rm -rf {} +
find .venv tvm -name __pycache__ -type d -prune -exec rm -rf {} +
strip --strip-unneeded tvm/python/tvm/libtvm.so
# A check that nothing needed is gone.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
modules="$scratch/modules"
(
    root=$PWD
    cd "$scratch"
    TOPHUB_LOCATION=NONE TEST_DATA_ROOT_PATH=$scratch/data PYTHONPATH=$root/tvm/python PYTHONDONTWRITEBYTECODE=1 \
        "$root/.venv/bin/python" -c '
import sys
import onnx, onnxruntime, onnxsim
import onnxruntime.quantization.preprocess
import tvm.contrib.debugger.debug_executor, tvm.relay.backend, tvm.relay.frontend, tvm.topi
for name in sorted({getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}):
    print(name)' | grep -F "$root/" >"$modules"
)
# What is imported is compiled here, and only that: nobody can write there later. Nothing compares it with the time of
# its source: a Nix store sets all times to the same.
PYTHONHASHSEED=0 .venv/bin/python scripts/compile_python.py <"$modules"
# The list of TVM's files as they are now, with times that say nothing.
.venv/bin/python -c '
import sys
sys.path.insert(0, "scripts")
import setup_tvm
setup_tvm.write_manifest(setup_tvm.INSTALLED, times=False)'
rm -rf .pkl_memoize_py3 scripts/__pycache__
touch .venv/sealed
