#!/usr/bin/env bash
# Starts pipeline.py with a Python that is there before set-up, so that a missing variable is told at once.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
# Without packages (-S): the steps need none.
if [ -f .venv/made-by-setup ] && [ -x .venv/bin/python ]; then
    exec .venv/bin/python -S scripts/pipeline.py "$@"
fi
for python in .venv/bin/python python3 python; do
    if "$python" -S -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
        exec "$python" -S scripts/pipeline.py "$@"
    fi
done
# Names are only looked at: not worth a set-up.
[ "${1:-}" != names ] || exit 0
scripts/setup.sh >/dev/null
exec .venv/bin/python scripts/pipeline.py "$@"
