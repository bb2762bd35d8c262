#!/usr/bin/env bash
# Makes a stand-in for the official Python image where that cannot be pulled: Debian 12 by debootstrap, and the Python
# 3.8 of this project's environment in /usr/local. As root.
#   scripts/image-base.sh FOLDER      the new root file system
# MIRROR: where Debian's packages come from.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
root=${1:?usage: scripts/image-base.sh FOLDER}
libraries=ca-certificates,libssl3,libffi8,libsqlite3-0,libbz2-1.0,libreadline8,liblzma5,libncursesw6,zlib1g
debootstrap --variant=minbase --include="$libraries" bookworm "$root" "${MIRROR:-http://deb.debian.org/debian}" \
    >"$root.log" || { tail "$root.log" >&2; exit 1; }
python=$(.venv/bin/python -c 'import sys; print(sys.base_prefix)')
tar -C "$python" --exclude=lib/python3.8/test --exclude=site-packages --exclude=__pycache__ --exclude='*.a' \
    -c bin lib | tar -C "$root/usr/local" -x
ln -sf python3.8 "$root/usr/local/bin/python3"
mkdir -p "$root/usr/local/lib/python3.8/site-packages"
chroot "$root" ldconfig
# As small as the images it stands for.
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{locale,man,info}/*
find "$root/usr/share/doc" -type f ! -name copyright -delete
