#!/usr/bin/env python3
"""Multiply-accumulates an instruction of the ESP32's MAC16 kernels, counted in an emulator of the ESP32-S3's core.

bench_esp32.py                                    the table of docs/esp32.md
bench_esp32.py model_quant.onnx sample.npy        a quantized model, beside the same with the C kernels
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests"), str(ROOT / "bench")]

import numpy as np  # noqa: E402
from bench_esp32s3 import (  # noqa: E402
    ROWS,
    Row,
    call_of,
    figures_of,
    load_quantized,
    model_and_sample,
    sizes_text,
)
from esp32s3_cases import Pair, run_in_emulator, verdicts  # noqa: E402
from tables import print_table  # noqa: E402

from esp_tvm import cli  # noqa: E402
from esp_tvm.compile.kernels.mac16 import CHIP, MAC16_VARIANTS, variants_of  # noqa: E402
from esp_tvm.compile.kernels.variants import Variant  # noqa: E402
from esp_tvm.operators import OPERATORS  # noqa: E402
from esp_tvm.run import esp32s3  # noqa: E402

SHAPES = (
    *ROWS,
    Row("3x3, 64->64, 16x16", None, None, 0, "conv2d", (16, 16), 64, 64, 3),
    Row("3x3, 32->32, 16x16", None, None, 0, "conv2d", (16, 16), 32, 32, 3),
    Row("1x1, 128->128, 6x6", None, None, 0, "conv2d", (6, 6), 128, 128, 1),
    Row("depthwise 3x3, 64 ch, 12x12", None, None, 0, "depthwise_conv2d", (12, 12), 64, 64, 3),
    Row("depthwise 3x3 s2, 64 ch, 24x24", None, None, 0, "depthwise_conv2d", (24, 24), 64, 64, 3, 2),
    Row("depthwise 3x3, 128 ch, 6x6", None, None, 0, "depthwise_conv2d", (6, 6), 128, 128, 3),
)


def measure(row: Row) -> Tuple[int, List[Tuple[Variant, float]]]:
    """(MAC, (variant, instructions) of the MAC16 kernels that can take the most and the least memory, and of C)."""
    random = np.random.RandomState(1)
    call = call_of(row, random)
    own = [variant for variant in MAC16_VARIANTS[row.operator] if variant.fits(call)]
    c = next(variant for variant in variants_of(row.operator, None) if variant.fits(call))
    pairs = [
        Pair(call, variant, row.low, 127, random) for variant in (own[0], min(own, key=lambda v: v.scratch(call)), c)
    ]
    with tempfile.TemporaryDirectory() as folder:
        found = verdicts(run_in_emulator(pairs, Path(folder)), pairs)
    for verdict in found:
        if verdict.difference:
            raise SystemExit(f"error: {row.name}: {verdict.difference}")
    return OPERATORS[row.operator].macs(call), [(p.variant, one.instructions) for p, one in zip(pairs, found)]


def shape_cells(rows: Sequence[Row] = SHAPES) -> Iterator[List[str]]:
    """Rows of the table: MAC an instruction with the most and the least scratch memory, and of the C kernel."""
    for row in rows:
        macs, ((most, fast), (least, lean), (_, plain)) = measure(row)
        call = call_of(row, np.random.RandomState(1))
        rates = [f"{macs / count:.2f}" for count in (fast, lean, plain)]
        bits = "16 bits" if getattr(least, "wide", False) else "8 bits"
        yield [row.name, rates[0], str(most.scratch(call)), rates[1], str(least.scratch(call)), bits, rates[2]]


def print_model(model_path: str, sample_path: str) -> None:
    """A quantized model with and without the MAC16 kernels: instructions by kernel."""
    model = load_quantized(model_path)
    for chip, title in ((CHIP, "with MAC16"), (None, "C alone")):
        figures = figures_of(model, sample_path, chip)
        kernels: Dict[str, int] = {}
        for step in figures["steps"]:
            name = f"{step['operator']} by {step['kernel']}"
            kernels[name] = kernels.get(name, 0) + step["instructions"]
        macs, count = figures["macs"], figures["instructions"]
        print(f"{title}: {count} instructions for {macs} MAC, {count / macs:.2f} a MAC; {sizes_text(figures)}")
        print("\n".join(f"  {count:>10} {name}" for name, count in kernels.items()))


def bench(words: List[str]) -> None:
    """Print the table, or what a model takes."""
    files = model_and_sample(words)
    with tempfile.TemporaryDirectory() as folder:
        reason = esp32s3.why_not(Path(folder))
    if reason:
        print(f"bench-esp32: skipped, {reason}")
    elif files is not None:
        print_model(*files)
    else:
        rows = [row for row in SHAPES if not words or any(word in row.name for word in words)]
        head = "shape | MAC an instruction | scratch | least memory | scratch | weights | C"
        print_table(head, shape_cells(rows))


def main() -> None:
    bench(sys.argv[1:])


if __name__ == "__main__":
    cli.run(main)
