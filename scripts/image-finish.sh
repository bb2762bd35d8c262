#!/usr/bin/env bash
# Run while the image is built, as root in /opt/esp-tvm, when everything is there: the caller's folder, the commands on
# PATH, and the project's own Python files compiled.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
# The pipeline works in build/: that is the caller's folder. Everything else belongs to root and is only read.
ln -s /project/build build
mkdir -p /project bin
chmod 1777 /project
# TVM makes this folder in its working folder when it is imported, unless it is there.
mkdir .pkl_memoize_py3
ln -s "$PWD/scripts/entrypoint.sh" /usr/local/bin/esp-tvm
ln -s ../scripts/image-python.sh bin/python
# So that the bill of materials lists the packages of this system: they belong to the image.
touch .image
find "$PWD/tools" "$PWD/scripts" -name '*.py' | sort | PYTHONHASHSEED=0 .venv/bin/python scripts/compile_python.py
# ESP-IDF's own files belong to root too, which git refuses to read for others.
if [ -n "${IDF_PATH:-}" ] && command -v git >/dev/null; then
    git config --system --add safe.directory "$IDF_PATH"
fi
