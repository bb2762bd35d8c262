#!/usr/bin/env bash
# The table of the models in the folder ZOO (bench/zoo.py), into OUT/zoo.md. FILES: pictures; WORDS: only some models.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
# shellcheck source=scripts/file-variables.sh
. scripts/file-variables.sh

options=(--out "${OUT:-build/zoo}")
if [ -n "${FILES:-}" ]; then
    split_files
    options+=(--pictures "${files[@]}")
fi
# shellcheck disable=SC2206
[ -z "${WORDS:-}" ] || options+=(--words $WORDS)
exec scripts/in-env.sh python bench/zoo.py "${options[@]}" -- "${ZOO:-}"
