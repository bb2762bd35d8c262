#!/usr/bin/env bash
# Installs the Debian packages that are missing. Needs root and apt-get only when some are.
#   scripts/system-packages.sh [LIST ...]   files in this folder, a package a line (default apt-packages.txt)
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

command -v dpkg-query >/dev/null || {
    echo "error: this is no Debian or Ubuntu; install what scripts/apt-packages.txt lists in your system's way" >&2
    exit 2
}
[ $# -gt 0 ] || set -- apt-packages.txt
missing=()
while read -r name _; do
    case $name in '' | '#'*) continue ;; esac
    if [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" != installed ]; then
        missing+=("$name")
    fi
done < <(cat -- "$@")
if [ ${#missing[@]} -eq 0 ]; then
    echo "all system packages are there"
    exit
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "error: not root; type: sudo apt-get install ${missing[*]}" >&2
    exit 2
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q </dev/null
apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null
