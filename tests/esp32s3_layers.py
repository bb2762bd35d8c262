#!/usr/bin/env python3
"""Random layers by the kernels of the ESP32-S3's vector unit: their bytes are those of the plain kernels.

esp32s3_layers.py [layers [seed]]     1000 layers, seed 1

Odd numbers of channels, strides, dilations, borders, weights at the ends of their range. The C that stands in for the
assembly runs on this computer, with sanitizers; the assembly runs where there is an emulator for it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, List, Sequence

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests")]

from esp32s3_cases import ALL, Pair, program, random_pairs, run_in_emulator, verdicts  # noqa: E402
from kernel_archive import build  # noqa: E402

from esp_tvm.run import esp32s3  # noqa: E402
from esp_tvm.run.host import SANITIZE, STRICT  # noqa: E402

# Layers of one program.
AT_A_TIME = 64


def run_on_host(pairs: Sequence[Pair], folder: Path) -> bytes:
    """What the program of `pairs`, built for this computer, reports."""
    source, binary = folder / "program.c", folder / "program"
    source.write_text(program(pairs, emulator=False), encoding="utf-8")
    build([source], binary, *STRICT, *SANITIZE)
    done = subprocess.run([str(binary)], capture_output=True)
    assert done.returncode == 0, done.stderr[:3000]
    return done.stdout


def layers(count: int, seed: int) -> List[Pair]:
    """`count` calls, as many of every kernel, one more of the first ones."""
    shares = [count // len(ALL) + (number < count % len(ALL)) for number in range(len(ALL))]
    return [pair for variant, share in zip(ALL, shares) for pair in random_pairs(variant, share, seed)]


def differences(pairs: Sequence[Pair], run: Callable[[Sequence[Pair], Path], bytes]) -> List[str]:
    """What differs, layer by layer."""
    found = []
    for first in range(0, len(pairs), AT_A_TIME):
        some = pairs[first : first + AT_A_TIME]
        with tempfile.TemporaryDirectory(prefix="esp_tvm_layers_") as folder:
            found += [one.difference for one in verdicts(run(some, Path(folder)), some) if one.difference]
    return found


def main() -> int:
    """1 where a layer differs."""
    try:
        count, seed = (int(word) for word in (*sys.argv[1:], *("1000", "1")[len(sys.argv) - 1 :]))
        if count < 1 or not 0 <= seed < 2**32:
            raise ValueError
    except ValueError:
        print("error: LAYERS and SEED are whole numbers, LAYERS of at least 1, SEED below 2^32", file=sys.stderr)
        return 2
    pairs = layers(count, seed)
    places = {"this computer": run_on_host}
    with tempfile.TemporaryDirectory() as folder:
        reason = esp32s3.why_not(Path(folder))
    if not reason:
        places["the emulator"] = run_in_emulator
    wrong = 0
    for place, run in places.items():
        found = differences(pairs, run)
        wrong += len(found)
        print("\n".join([*found[:10], f"{place}: {len(found)} of {count} layers differ"]), flush=True)
    if reason:
        print(f"the emulator: skipped, {reason}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
