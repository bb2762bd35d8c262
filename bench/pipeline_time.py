"""How long the documented commands take."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, Sequence, Tuple

import numpy as np

from esp_tvm.errors import UserError

TOOLS = Path(__file__).resolve().parent.parent / "tools" / "tvm"


def busy() -> bool:
    """Whether so much else runs on this computer that times say little: twice as many processes as processors."""
    return os.getloadavg()[0] > 2 * (os.cpu_count() or 1)


def timed(script: str, *arguments: object) -> float:
    """Seconds that a documented command takes, from start to end of its process."""
    started = time.perf_counter()
    command = [sys.executable, str(TOOLS / script), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        last = (done.stdout.strip().splitlines() or ["no output"])[-1]
        raise UserError(f"{script} failed: {last}")
    return round(time.perf_counter() - started, 1)


def quantize(model: Path, calibration: Path, folder: Path) -> Tuple[Path, Dict[str, float]]:
    """(the quantized model, seconds of preprocess and quantize)."""
    tidy, quantized = folder / "model_opt.onnx", folder / "model_quant.onnx"
    seconds = {"preprocess": timed("preprocess_onnx.py", "--input", model, "--output", tidy)}
    arguments = ["--input_model", tidy, "--output_model", quantized, "--calibrate_dataset", calibration]
    seconds["quantize"] = timed("esp_quantize_onnx.py", *arguments)
    return quantized, seconds


def export(paths: Sequence[Path], folder: Path) -> Dict[str, float]:
    """Seconds of the export, and of quantize and export together, with the first sample of the evaluation data."""
    sample = folder / "sample.npy"
    np.save(sample, np.load(paths[2], mmap_mode="r")[:1])
    arguments = ["--target_chip", "esp32c3", "--model_path", folder / "model_quant.onnx"]
    return {"export": timed("export_onnx_model.py", *arguments, "--img_path", sample, "--out_path", folder / "export")}
