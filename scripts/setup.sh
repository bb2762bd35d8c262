#!/usr/bin/env bash
# Makes .venv (Python 3.8, the packages of tools/tvm/requirements.lock) and brings TVM to tvm/python/tvm.
#   scripts/setup.sh         what the tools need
#   scripts/setup.sh --dev   also what tests and lint need (scripts/requirements-dev.lock)
# Does nothing when all is there, starts over what was interrupted, and renews .venv when the lock changed.
# Prints the folder that belongs on PYTHONPATH; all messages go to stderr. CC names this computer's C compiler. PYTHON
# names the Python 3.8 to use; PYTHON=download brings one (scripts/python38.sh) into .venv/base.
# Where vendor/, or the folder that WHEELS names, holds wheels (make vendor), they are installed from there and nothing
# is downloaded.
set -euo pipefail
repo=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
cd "$repo"

venv=.venv
lock=tools/tvm/requirements.lock
dev_lock=scripts/requirements-dev.lock
log=build/logs/setup.log
source=()
advice="check the network"
export WHEELS=${WHEELS:-vendor}
# A plain pattern: bash without its line editor, as nixpkgs builds it, has no compgen.
wheels=("$WHEELS"/*.whl)
if [ -e "${wheels[0]}" ]; then
    source=(--no-index --find-links "$WHEELS")
    advice="renew $WHEELS/ with 'make vendor' where there is a network"
fi

fail() {
    echo "error: $*" >&2
    exit 2
}

trap 'echo interrupted >&2; exit 130' INT

is_python38() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 8))' >/dev/null 2>&1
}

first_python38() { # the first usable one of those named on stdin, a line each
    local python
    while IFS= read -r python; do
        if is_python38 "$python"; then
            echo "$python"
            return
        fi
    done
    return 1
}

on_path_or_in_pyenv() {
    local name
    for name in python3.8 python3 python; do
        command -v "$name" || true
    done
    printf '%s\n' "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.8*/bin/python
    if command -v pyenv >/dev/null; then
        printf '%s\n' "$(pyenv root 2>/dev/null)"/versions/3.8*/bin/python
    fi
}

from_uv() {
    command -v uv >/dev/null || return 0
    uv python find --no-project 3.8 2>/dev/null && return
    echo "no Python 3.8 found so far; trying 'uv python install 3.8'" >&2
    if uv python install --quiet 3.8 >&2; then
        uv python find --no-project 3.8
    fi
}

find_python38() {
    if [ -n "${PYTHON:-}" ]; then
        echo "$PYTHON"
        return
    fi
    first_python38 <<<"$(on_path_or_in_pyenv)" && return
    first_python38 <<<"$(from_uv)" && return
    fail "no Python 3.8 on PATH, under pyenv or through uv; type 'make setup PYTHON=download' to have one brought into" \
        ".venv, get one with 'pyenv install 3.8' or 'uv python install 3.8', or name it: make setup PYTHON=/path/to/python3.8"
}

check_compiler() {
    local compiler=${CC:-} name
    for name in cc gcc clang; do
        [ -n "$compiler" ] || compiler=$(command -v "$name" || true)
    done
    [ -n "$compiler" ] || fail "no C compiler (cc, gcc or clang) on PATH; type: apt-get install gcc libc6-dev"
    # CC may hold options too, as in 'ccache gcc': it is split into words on purpose.
    # shellcheck disable=SC2086
    $compiler -x c - -o /dev/null <<<$'#include <stdint.h>\n#include <string.h>\nint main(void) { return 0; }' \
        >/dev/null 2>&1 ||
        fail "the C compiler '$compiler' cannot build an empty program; type: apt-get install gcc libc6-dev"
}

# The state of a set-up is what its stamp says: which lock was installed completely, by which Python.
stamp_of() {
    { cat "$1" && "$venv/bin/python" -VV; } 2>/dev/null | sha256sum
}

is_installed() { # lock stamp
    [ -f "$2" ] && [ "$(stamp_of "$1")" = "$(cat "$2")" ]
}

install() { # lock stamp
    local count
    count=$(grep -c '^[a-z].*==' "$1")
    echo "installing $count packages ($1)" >&2
    mkdir -p "${log%/*}"
    if ! "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --no-deps --prefer-binary \
        "${source[@]}" --require-hashes --requirement "$1" >"$log" 2>&1; then
        grep -i '^ *error' "$log" | head -n 3 >&2 || true
        fail "pip could not install $1 (all it said: $log); $advice and type 'make setup' again"
    fi
    stamp_of "$1" >"$2"
}

make_venv() {
    local python
    if [ -e "$venv" ] && [ ! -f "$venv/made-by-setup" ]; then
        fail "$repo/$venv was not made by 'make setup'; move it away and try again"
    fi
    if [ "${PYTHON:-}" = download ]; then
        python=$repo/$venv/base/bin/python3.8
    else
        python=$(find_python38)
    fi
    echo "making $venv with $python" >&2
    rm -rf "$venv"
    mkdir "$venv"
    touch "$venv/made-by-setup"
    [ "${PYTHON:-}" != download ] || scripts/python38.sh "$venv/base"
    "$python" -m venv "$venv" || fail "$python could not make $venv; see above"
    # Python 3.8's own pip may be too old to know today's wheels.
    if ! "$venv/bin/python" -c 'import pip, sys; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (20, 3))'; then
        "$venv/bin/python" -m pip install --quiet "${source[@]}" --require-hashes --requirement scripts/pip.lock ||
            fail "pip could not renew itself; $advice and type 'make setup' again"
    fi
}

# The image's environment is complete, and nobody may write there.
if [ -f "$venv/sealed" ]; then
    echo "$repo/tvm/python"
    exit
fi
[ -w "$repo" ] || fail "$repo is not writable; clone the project to a folder of your own"

# Also where all is there already: what is named and cannot be used is said, not passed over.
if [ -n "${PYTHON:-}" ] && [ "$PYTHON" != download ]; then
    is_python38 "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.8 with its venv and ensurepip modules"
fi

# Two set-ups at once would spoil each other.
mkdir -p build || fail "cannot make the folder $repo/build"
exec 9>build/.setup-lock
if command -v flock >/dev/null && ! flock --nonblock 9; then
    echo "waiting for another set-up in this folder to end" >&2
    flock 9
fi

if ! is_installed "$lock" "$venv/installed"; then
    check_compiler
    make_venv
    install "$lock" "$venv/installed"
fi
if [ "${1:-}" = --dev ] && ! is_installed "$dev_lock" "$venv/installed-dev"; then
    install "$dev_lock" "$venv/installed-dev"
fi
exec "$venv/bin/python" scripts/setup_tvm.py
