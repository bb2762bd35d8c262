#!/usr/bin/env bash
# make emulate: runs the project in an emulator. EMULATOR selects it:
#   esp-idf      the whole project, bootloader and all, in the QEMU of the ESP-IDF that is active
#   qemu-riscv   its C alone on Debian's emulated RISC-V, with the instructions counted
# Without it: esp-idf if possible, otherwise qemu-riscv, with a last line that says what was not run. The chip is TARGET,
# or that of the last export.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

fail() {
    echo "error: $*" >&2
    exit 2
}

# Why ESP-IDF's QEMU cannot run a project for the chip; nothing if it can.
why_not() { # chip
    local words
    command -v idf.py >/dev/null || { echo "no ESP-IDF is active (. \$IDF_PATH/export.sh)" && return; }
    case $1 in
    esp32 | esp32c3 | esp32s3) ;;
    *) echo "ESP-IDF's QEMU does not know the $1" && return ;;
    esac
    # Read everything first: a search that ends early would end idf.py too, whose failure would end this script.
    words=$(idf.py --help 2>/dev/null || true)
    grep -qw qemu <<<"$words" || echo "this ESP-IDF has no 'idf.py qemu' (it came with 5.3)"
}

case ${EMULATOR:=} in
'' | esp-idf | qemu-riscv) ;;
*) fail "EMULATOR=$EMULATOR is neither esp-idf nor qemu-riscv" ;;
esac
if [ "$EMULATOR" = qemu-riscv ] || { [ -z "$EMULATOR" ] && ! command -v idf.py >/dev/null; }; then
    exec scripts/pipeline.sh emulate
fi
scripts/pipeline.sh export
OUT=$(scripts/pipeline.sh out)
export OUT
chip=$(sed -n 's/^ "target_chip": "\([a-z0-9]*\)".*/\1/p' "$OUT/new_project/components/tvm_model/model/metadata.json")
reason=$(why_not "$chip")
if [ -z "$reason" ]; then
    exec scripts/idf.sh qemu
fi
[ -z "$EMULATOR" ] || fail "EMULATOR=esp-idf: $reason; take EMULATOR=qemu-riscv for the program's C alone"
scripts/pipeline.sh emulate
echo "not run: ESP-IDF's start, its drivers and partitions, since $reason; this was the program's C on an emulated RISC-V"
