#!/usr/bin/env bash
# Makes the environment of a framework, build/env/NAME, and prints its Python; all messages go to stderr.
#   scripts/example_env.sh pytorch|sklearn|tensorflow
#   scripts/example_env.sh keras3    TensorFlow with Keras 3, for its files (.keras, .h5)
#   scripts/example_env.sh idf       Espressif's tools that the tests use (make idf-tools)
# Does nothing if it exists, and starts over if its lock changed or it was interrupted. EXAMPLE_PYTHON names the
# Python to use instead of the one that is found: 3.11 to 3.13 for pytorch and idf, 3.11 or 3.12 for keras3, 3.8 for
# the others.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

fail() {
    echo "error: $*" >&2
    exit 2
}

name=${1:-}
case $name in
    pytorch | idf) versions=(3.11 3.12 3.13) ;;
    keras3) versions=(3.11 3.12) ;;
    sklearn | tensorflow) versions=(3.8) ;;
    *) fail "usage: scripts/example_env.sh pytorch|sklearn|tensorflow|keras3|idf" ;;
esac
venv=build/env/$name
lock=examples/from_$name/requirements.lock
case $name in idf | keras3) lock=scripts/requirements-$name.lock ;; esac
log=build/logs/env-$name.log

fits() { # python
    "$1" -c 'import sys, venv, ensurepip; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv[1:])' \
        "${versions[@]}" >/dev/null 2>&1
}

candidates() {
    local version
    for version in "${versions[@]}"; do
        command -v "python$version" || true
        printf '%s\n' "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/"$version"*/bin/python
        if command -v uv >/dev/null; then uv python find --no-project "$version" 2>/dev/null || true; fi
    done
    # The Python that the tools were set up with.
    printf '%s\n' "$PWD/.venv/bin/python"
}

find_python() {
    local python
    if [ -n "${EXAMPLE_PYTHON:-}" ]; then
        fits "$EXAMPLE_PYTHON" || fail "EXAMPLE_PYTHON=$EXAMPLE_PYTHON is not a Python ${versions[*]} with its venv module"
        echo "$EXAMPLE_PYTHON"
        return
    fi
    while IFS= read -r python; do
        if fits "$python"; then
            echo "$python"
            return
        fi
    done < <(candidates)
    fail "no Python ${versions[*]} on PATH, under pyenv or from uv, which this framework's pins are for;" \
        "get one (uv python install ${versions[0]}) or name it: EXAMPLE_PYTHON=/path/to/python"
}

stamp() {
    { cat "$lock" "${lock%.lock}.txt" && "$venv/bin/python" -VV; } 2>/dev/null | sha256sum
}

pip_install() {
    if ! "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --prefer-binary "$@" >>"$log" 2>&1; then
        grep -i '^ *error' "$log" | head -n 3 >&2 || true
        fail "pip could not install what $lock names (all it said: $log); check the network and try again"
    fi
}

mkdir -p build/env build/logs
exec 9>"build/env/.$name.lock"
if command -v flock >/dev/null; then flock 9; fi
if [ ! -f "$venv/installed" ] || [ "$(stamp)" != "$(cat "$venv/installed")" ]; then
    python=$(find_python)
    echo "making $venv with $python: $(grep -c '^[a-z].*==' "$lock") packages" >&2
    rm -rf "$venv"
    "$python" -m venv "$venv" || fail "$python could not make $venv; see above"
    : >"$log"
    # Python 3.8's own pip may be too old for current wheels.
    pip_install --require-hashes --requirement scripts/pip.lock
    pip_install --no-deps --require-hashes --requirement "$lock"
    if [ "$name" = pytorch ]; then
        pip_install "$(grep '^torch==' examples/from_pytorch/requirements.txt)"
    fi
    stamp >"$venv/installed"
fi
echo "$PWD/$venv/bin/python"
