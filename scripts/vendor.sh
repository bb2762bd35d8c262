#!/usr/bin/env bash
# Downloads every wheel that the lock files pin into vendor/, hashes checked, for machines without network: copy the
# project's folder there, vendor/ in it, and type `make setup` (or `make image`), which then downloads nothing. That
# machine must be of the same kind: x86-64 Linux with glibc, Python 3.8, a C compiler.
#   scripts/vendor.sh [DIRECTORY]
# Also renews scripts/wheels.json, which changes only when a lock file has changed.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
folder=${1:-vendor}
have=()
locks=(tools/tvm/requirements.lock tools/tvm/tvm.lock scripts/requirements-dev.lock scripts/pip.lock)

fail() {
    echo "error: $*" >&2
    exit 2
}

# A plain pattern: bash without its line editor, as nixpkgs builds it, has no compgen.
there=("$folder"/*.whl)
if [ -e "$folder" ] && [ ! -e "${there[0]}" ] && [ -n "$(ls -A "$folder" 2>/dev/null)" ]; then
    fail "$folder holds something else than wheels; name another folder or move it away"
fi
scripts/setup.sh >/dev/null
rm -rf "$folder.new"
mkdir -p "$folder.new"
trap 'rm -rf "$folder.new"' EXIT
# What is there already, with the right hash, is not downloaded again.
[ ! -d "$folder" ] || have=(--find-links "$folder")
for lock in "${locks[@]}"; do
    .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: \
        --require-hashes "${have[@]}" --dest "$folder.new" --requirement "$lock" ||
        fail "pip could not download what $lock lists; see above"
done
.venv/bin/python scripts/vendor_wheels.py "$folder.new"
rm -rf "$folder"
mv "$folder.new" "$folder"
echo "$folder: $(find "$folder" -name '*.whl' | wc -l) wheels, $(du -sm "$folder" | cut -f 1) MB"
