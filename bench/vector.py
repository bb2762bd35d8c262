"""Counts instructions on the ESP32-S3 with its vector kernels, where its tools are there: models and single shapes."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict

import numpy as np
import onnx
from bench_esp32s3 import ROWS, measure, model_figures

from esp_tvm.compile import compile_model
from esp_tvm.compile.kernels.esp32s3 import CHIP
from esp_tvm.errors import UserError
from esp_tvm.run import esp32s3

# What Espressif publishes for ESP-DL v3, in microseconds at 240 MHz.
ESP_DL_MICROSECONDS = {
    "1x1, 16->32, 20x20": 422,
    "3x3 s2, 32->16, 19x23": 482,
    "5x5 s2, 16->32, 22x22": 974,
    "3x3, 22->33, 19x23": 3447,
    "depthwise 3x3, 32 ch, 100x50": 5542,
}

_MINIMUM = "int least(int a, int b) { return a < b ? a : b; }\n"


def missing() -> str:
    """Why nothing can be counted here, in a few words; empty if it can."""
    with tempfile.TemporaryDirectory(prefix="esp_tvm_probe_") as folder:
        return esp32s3.why_not(Path(folder))


def toolchain() -> Dict[str, Any]:
    """Of the compiler for C: version, calling convention, and whether it uses the core's scalar instructions."""
    command = esp32s3.compiler()
    version = _output([*command, "-dumpfullversion"])
    macros = _output([*command, "-dM", "-E", "-x", "c", "-"])
    code = _output([*command, "-O2", "-S", "-x", "c", "-", "-o", "-"], _MINIMUM)
    return {
        "gcc": version.strip(),
        "convention": "call0" if "__XTENSA_CALL0_ABI__" in macros else "windowed",
        "scalar_instructions": any(line.split()[:1] == ["min"] for line in code.splitlines()),
    }


def _output(command, text: str = "") -> str:
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=True).stdout


def measure_model(model: onnx.ModelProto, sample: Dict[str, np.ndarray], expected: Dict[str, np.ndarray]):
    """One inference of a quantized model: see `model_figures`."""
    try:
        return model_figures(compile_model(model, chip=CHIP), sample, expected)
    except RuntimeError as error:
        raise UserError(f"on the ESP32-S3: {error}")


def measure_shapes() -> Dict[str, Dict[str, Any]]:
    """The shapes of `make bench-esp32s3`, with what other libraries reach there."""
    shapes = {}
    for row, kernel, macs, instructions in measure(list(ROWS)):
        figures = {"kernel": kernel, "macs": macs, "instructions": round(instructions), "esp_nn": row.esp_nn}
        if row.name in ESP_DL_MICROSECONDS:
            figures["esp_dl_microseconds"] = ESP_DL_MICROSECONDS[row.name]
        shapes[row.name] = figures
    return shapes
