#!/usr/bin/env bash
# make emulate: the whole project in ESP-IDF's QEMU where an ESP-IDF is active that has one for the chip, otherwise its
# C on Debian's emulated RISC-V, with the instructions counted. The chip is TARGET, or that of the last export.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

if ! command -v idf.py >/dev/null; then
    exec scripts/pipeline.sh emulate
fi
scripts/pipeline.sh export
OUT=$(scripts/pipeline.sh out)
metadata=$OUT/new_project/components/tvm_model/model/metadata.json
chip=$(sed -n 's/^ "target_chip": "\([a-z0-9]*\)".*/\1/p' "$metadata")
case $chip in
esp32 | esp32c3 | esp32s3)
    if idf.py --help 2>/dev/null | grep -qw qemu; then
        export OUT
        exec scripts/idf.sh qemu
    fi
    echo "note: this ESP-IDF has no 'idf.py qemu' (it came with 5.3)" >&2
    ;;
*) echo "note: ESP-IDF's QEMU does not know the $chip" >&2 ;;
esac
exec scripts/pipeline.sh emulate
