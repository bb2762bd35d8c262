#!/usr/bin/env bash
# Brings a Python 3.8 that runs from any folder: scripts/python38.sh FOLDER. It is the build of the project
# python-build-standalone that uv installs too (x86-64 Linux with glibc), checked by its hash.
# PYTHON_BUILD: another address, or a file that is here already; PYTHON_BUILD_SHA256: its hash.
set -euo pipefail
folder=${1:?usage: scripts/python38.sh FOLDER}
address=https://github.com/astral-sh/python-build-standalone/releases/download/20241002/cpython-3.8.20%2B20241002-x86_64-unknown-linux-gnu-install_only.tar.gz
hash=285e141c36f88b2e9357654c5f77d1f8fb29cc25132698fe35bb30d787f38e87
address=${PYTHON_BUILD:-$address}
hash=${PYTHON_BUILD_SHA256:-$hash}

fail() {
    echo "error: $*" >&2
    exit 2
}

fetch() { # address file
    if command -v curl >/dev/null; then
        curl --fail --silent --show-error --location --retry 3 --output "$2" "$1"
    elif command -v wget >/dev/null; then
        wget --quiet --output-document "$2" "$1"
    elif command -v python3 >/dev/null; then
        python3 -c 'import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as source, open(sys.argv[2], "wb") as file:
    shutil.copyfileobj(source, file)' "$1" "$2" 2>&1 | tail -n 1 >&2
    else
        fail "none of curl, wget and python3 is here to download $1; bring the file, and name it: PYTHON_BUILD=file"
    fi
}

machine=$(uname -sm)
[ "$machine" = "Linux x86_64" ] || [ -n "${PYTHON_BUILD:-}" ] ||
    fail "there is no ready-made Python 3.8 for $machine that fits the other pins"
mkdir -p "$folder"
archive=$folder.tar.gz
trap 'rm -f "$archive"' EXIT
case $address in
*://*)
    echo "downloading Python 3.8 ($address)" >&2
    fetch "$address" "$archive" || fail "Python 3.8 could not be downloaded; see above"
    ;;
*) cp -- "$address" "$archive" || fail "PYTHON_BUILD=$address cannot be read" ;;
esac
found=$(sha256sum "$archive")
[ "${found%% *}" = "$hash" ] || fail "$address has the hash ${found%% *}, not $hash; nothing of it was used"
tar -xzf "$archive" -C "$folder" --strip-components 1 || fail "$address cannot be unpacked"
"$folder/bin/python3.8" -c 'import ssl, venv, ensurepip' ||
    fail "the Python 3.8 of $address does not run on this machine"
