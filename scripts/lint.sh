#!/usr/bin/env bash
# Checks the style of Python (ruff), C (clang-format) and shell files (shellcheck), or puts it right.
#   scripts/lint.sh check|format
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
scripts/setup.sh --dev >/dev/null
bin=.venv/bin

# Without git, or in a copy that is no checkout, every file that set-up and builds did not make.
list() { # pattern...
    local pattern names=()
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files -z --cached --others --exclude-standard -- "$@"
        return
    fi
    for pattern in "$@"; do names+=(-o -path "./$pattern" -o -name "$pattern"); done
    find . \( -path ./.venv -o -path ./tvm -o -path ./build -o -path ./dist -o -path ./vendor -o -path ./.git \) -prune \
        -o -type f \( "${names[@]:1}" \) -print0
}

# Only files of this project: tracked, or new and not ignored. A file that was deleted but is still tracked is left out.
files() { # pattern...
    local file
    list "$@" | sort -zu |
        while IFS= read -r -d '' file; do
            if [ -f "$file" ]; then printf '%s\0' "$file"; fi
        done
}

status=0
case ${1:-} in
    check)
        "$bin/ruff" check --quiet --output-format concise . || status=1
        "$bin/ruff" format --check --quiet --output-format concise . || {
            echo "run: make format" >&2
            status=1
        }
        files '*.c' '*.h' | xargs -0 -r "$bin/clang-format" --dry-run -Werror || status=1
        files '*.sh' .ci/run | xargs -0 -r "$bin/shellcheck" || status=1
        ;;
    format)
        "$bin/ruff" check --quiet --fix . || status=1
        "$bin/ruff" format --quiet .
        files '*.c' '*.h' | xargs -0 -r "$bin/clang-format" -i
        ;;
    *)
        echo "error: say 'check' or 'format'" >&2
        exit 2
        ;;
esac
[ "$status" -eq 0 ] || {
    echo "error: lint found something; see above" >&2
    exit 1
}
