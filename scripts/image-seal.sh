#!/usr/bin/env bash
# Run while the image is built, after setup.sh: takes out of the environment what the pipeline never uses, and marks it
# complete: what packages bring to test themselves, pip, the names of TVM's inner functions. Nobody can write there
# later, so all Python files are compiled now.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
.venv/bin/python -m pip uninstall --quiet --yes pip setuptools
packages=.venv/lib/python3.8/site-packages
rm -rf "$packages/onnx/backend/test"
find "$packages" -type d -name tests -prune -exec rm -rf {} +
strip --strip-unneeded tvm/python/tvm/libtvm.so
TOPHUB_LOCATION=NONE PYTHONPATH=tvm/python .venv/bin/python -c 'import onnx, onnxruntime, onnxsim, tvm.relay.frontend'
rm -rf .pkl_memoize_py3
find .venv tvm -name __pycache__ -type d -prune -exec rm -rf {} +
.venv/bin/python -m compileall -q --invalidation-mode unchecked-hash .venv/lib tvm/python || true
touch .venv/sealed
