#!/usr/bin/env bash
# Brings TVM to tvm/python/tvm of this project (once) and makes this shell use it:
#
#     . ./download.sh
#
# Works in bash and zsh and from every folder; sets PYTHONPATH and TOPHUB_LOCATION and nothing else. Run instead of
# sourced, it only brings TVM. A TVM 0.11 to 0.19 that TVM_HOME or PYTHONPATH names is used in place of ours.
# The work is done in a process of its own (scripts/setup_tvm.py), so that nothing there can end or change this shell.

if [ -n "${BASH_VERSION:-}" ]; then
    _esp_tvm_file=${BASH_SOURCE[0]}
elif [ -n "${ZSH_VERSION:-}" ]; then
    eval '_esp_tvm_file=${(%):-%x}'
elif [ "${0##*/}" = download.sh ]; then
    _esp_tvm_file=$0
else
    _esp_tvm_file=./download.sh
fi

if _esp_tvm_path=$(
    # A subshell: cd, set and exit stay in here.
    set +eu
    # 'command' goes past aliases.
    tvm_tools=$(command dirname "$(command readlink -f -- "$_esp_tvm_file")")
    repo=$(command readlink -f -- "$tvm_tools/../..")
    setup=$repo/scripts/setup_tvm.py
    if [ ! -f "$setup" ]; then
        echo "error: $setup is missing; source download.sh from its own folder, tools/tvm of the project" >&2
        exit 2
    fi
    if "$repo/.venv/bin/python" -c '' 2>/dev/null; then
        exec "$repo/.venv/bin/python" "$setup"
    fi
    for python in python python3; do
        if "$python" -c 'import sys, numpy, attr, decorator, psutil, pip; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
            exec "$python" "$setup"
        fi
    done
    echo "error: no Python with the packages of tools/tvm/requirements.txt; type: make -C '$repo' setup" >&2
    exit 2
); then
    case ":${PYTHONPATH:-}:" in
        ":$_esp_tvm_path:"*) ;;
        *) export PYTHONPATH="$_esp_tvm_path${PYTHONPATH:+:$PYTHONPATH}" ;;
    esac
    # Without this TVM looks for tuning logs on the network in its first build.
    export TOPHUB_LOCATION=NONE
    echo "PYTHONPATH=$PYTHONPATH"
    unset _esp_tvm_file _esp_tvm_path
else
    unset _esp_tvm_file _esp_tvm_path
    # return where this file is sourced, exit where it is run
    # shellcheck disable=SC2317
    return 2 2>/dev/null || exit 2
fi
