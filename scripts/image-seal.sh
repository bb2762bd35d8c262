#!/usr/bin/env bash
# Run while the image is built, after setup.sh: removes from the environment what the pipeline never uses (the packages'
# own tests, pip, the names of TVM's inner functions), and marks it complete.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
.venv/bin/python -m pip uninstall --quiet --yes pip setuptools
packages=.venv/lib/python3.8/site-packages
rm -rf "$packages/onnx/backend/test"
find "$packages" -type d -name tests -prune -exec rm -rf {} +
find .venv tvm -name __pycache__ -type d -prune -exec rm -rf {} +
strip --strip-unneeded tvm/python/tvm/libtvm.so
# A check that nothing needed is gone. It also compiles those files that are imported, and only those: nobody can write
# there later.
TOPHUB_LOCATION=NONE PYTHONPATH=tvm/python .venv/bin/python -c '
import onnx, onnxruntime, onnxsim
import onnxruntime.quantization.preprocess
import tvm.contrib.debugger.debug_executor, tvm.relay.backend, tvm.relay.frontend, tvm.topi'
rm -rf .pkl_memoize_py3
touch .venv/sealed
