#!/usr/bin/env python3
"""Accuracy after quantization, computed with the exact integer reference, beside what peers reach on the same data.

make bench-accuracy, or: scripts/in-env.sh python bench/accuracy.py [resnet8|kws|digits|conformer ...] [--json FILE]
make bench-accuracy WORDS="--shifted kws": what equalization gains and loses on data of other brightness and contrast
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO / "tools"))

import numpy as np  # noqa: E402
from transformers import conformer, vision_transformer  # noqa: E402

from esp_tvm import cli  # noqa: E402
from esp_tvm.data import load_samples  # noqa: E402
from esp_tvm.files import write_text  # noqa: E402
from esp_tvm.model import inputs_of, load_model, save_model  # noqa: E402
from esp_tvm.preprocess import preprocess_onnx  # noqa: E402
from esp_tvm.quantize import quantize_onnx  # noqa: E402
from esp_tvm.quantize.judge import judge  # noqa: E402
from esp_tvm.terminal import Table, show  # noqa: E402

SHARED = Path(os.environ.get("ESP_TVM_SHARED") or REPO.parent / "shared") / "models"
DIGITS = REPO / "examples" / "digits"
# (folder, calibration, evaluation, aim in dB); peers in dB: old ESP flow, esp-ppq default, esp-ppq best by hand, ONNX
# Runtime with free scales per tensor and per channel.
CASES = {
    "resnet8": (SHARED / "resnet8", "calib.npy", "eval.npy", 26.5, (12.8, 19.3, 25.9, 23.5, 25.3)),
    "kws": (SHARED / "kws", "calib.npy", "eval.npy", 25.0, (3.9, 20.6, 23.8, 21.2, 20.0)),
    # The peers' digits network was another small CNN on the same images.
    "digits": (DIGITS, "calib.npy", "test.npy", 34.0, (19.0, 20.1, 33.6, 29.7, 32.3)),
}
# Networks with weights from a fixed seed: (model, calibration, evaluation) and the aim in dB; no peers.
MADE = {"vision transformer": (vision_transformer, 25.0), "conformer": (conformer, 25.0)}
# Evaluation data as others may have it: (what, share of the range that is added, factor of the distance from the mean),
# within the range of the calibration data.
SHIFTED = (
    ("as it is", 0.0, 1.0),
    ("brighter by 1/8", 0.125, 1.0),
    ("brighter by 1/4", 0.25, 1.0),
    ("darker by 1/8", -0.125, 1.0),
    ("darker by 1/4", -0.25, 1.0),
    ("contrast x 0.6", 0.0, 0.6),
    ("contrast x 1.5", 0.0, 1.5),
)
# Evaluation samples of these: each is run 14 times.
MOST_SHIFTED = 100
HEADER = ("network", "ours dB", "aim", "top-1 as float", "seconds", "ESP old", "ppq", "ppq best", "ORT", "ORT ch.")


def measure(name: str, options: dict) -> dict:
    """Preprocess, quantize with `options`, and judge one network."""
    aim, peers = (MADE[name][1], ()) if name in MADE else CASES[name][3:]
    with tempfile.TemporaryDirectory() as temporary:
        path, calibration, evaluation = _files(name, Path(temporary))
        opt, quant = Path(temporary, "opt.onnx"), Path(temporary, "quant.onnx")
        with contextlib.redirect_stdout(None):
            preprocess_onnx(path, opt)
        started = time.perf_counter()
        quantize_onnx(opt, quant, calibration, **options)
        seconds = time.perf_counter() - started
        real, ours = load_model(opt), load_model(quant)
        samples = load_samples(evaluation, inputs_of(real))
        result = judge(real, ours, samples)
    return {
        "decibels": result.decibels,
        "cosine": result.cosine,
        "agreement": result.agreement,
        "samples": result.samples,
        "seconds": seconds,
        "aim": aim,
        "peers": peers,
    }


def measure_shifted(name: str) -> list:
    """[(what was done to the evaluation data, dB with equalization, dB without)] of one network."""
    with tempfile.TemporaryDirectory() as temporary:
        path, calibration, evaluation = _files(name, Path(temporary))
        opt = Path(temporary, "opt.onnx")
        with contextlib.redirect_stdout(None):
            preprocess_onnx(path, opt)
        real = load_model(opt)
        known, samples = (load_samples(file, inputs_of(real)) for file in (calibration, evaluation))
        quantized = []
        for equalize in (True, False):
            quant = Path(temporary, "quant.onnx")
            quantize_onnx(opt, quant, calibration, equalize=equalize)
            quantized.append(load_model(quant))
    found = []
    for what, shift, factor in SHIFTED:
        moved = {key: _moved(known[key], array[:MOST_SHIFTED], shift, factor) for key, array in samples.items()}
        found.append((what, *(judge(real, one, moved).decibels for one in quantized)))
    return found


def _moved(known, array, shift: float, factor: float) -> np.ndarray:
    """Evaluation data of one input, moved within the range of the calibration data `known`; both [N, *shape]."""
    known, array = (np.stack([np.asarray(x) for x in values]) for values in (known, array))
    low, high, mean = float(known.min()), float(known.max()), float(known.mean())
    moved = (array - mean) * factor + mean + shift * (high - low)
    return np.clip(moved, low, high).astype(array.dtype) if (shift, factor) != (0.0, 1.0) else array


def _files(name: str, temporary: Path) -> tuple:
    """The paths of a network, its calibration and its evaluation data."""
    if name in MADE:
        return _written(temporary, *MADE[name][0]())
    folder, calibration, evaluation = CASES[name][:3]
    return folder / "model.onnx", folder / calibration, folder / evaluation


def _written(folder: Path, model, calibration: dict, evaluation: dict) -> tuple:
    """The paths of a model and its samples, written to `folder`."""
    paths = folder / "model.onnx", folder / "calibration.npz", folder / "evaluation.npz"
    save_model(model, paths[0])
    for path, samples in zip(paths[1:], (calibration, evaluation)):
        np.savez(path, **samples)
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", choices=[[], *CASES, *MADE], help="which; all that are there by default")
    parser.add_argument("--per_channel", choices=("true", "false"), default="true")
    parser.add_argument("--method", default="auto")
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--shifted", action="store_true", help="on data of other brightness and contrast")
    args = parser.parse_args()
    names = args.networks or [*CASES, *MADE]
    for name in [one for one in names if one in CASES and not (CASES[one][0] / "model.onnx").exists()]:
        print(f"{name}: not here, left out", file=sys.stderr)
        names.remove(name)
    if args.shifted:
        rows = [(name, what, f"{a:.1f}", f"{b:.1f}") for name in names for what, a, b in measure_shifted(name)]
        show(Table(("network", "evaluation data", "equalized dB", "not dB"), rows, "llrr"))
        return 0
    rows, figures, missed = [], {}, []
    for name in names:
        got = figures[name] = measure(name, {"per_channel": args.per_channel == "true", "method": args.method})
        if got["decibels"] < got["aim"]:
            missed.append(name)
        agreement = f"{got['agreement'] * 100:.1f} %"
        ours = [name, f"{got['decibels']:.1f}", f"{got['aim']:.1f}", agreement, f"{got['seconds']:.1f}"]
        peers = [f"{peer:.1f}" for peer in got["peers"]]
        rows.append((*ours, *peers, *[""] * (len(HEADER) - len(ours) - len(peers))))
    show(Table(HEADER, rows, "l" + "r" * (len(HEADER) - 1)))
    print("dB: signal-to-noise ratio of the logits on the evaluation samples, by the exact integer reference")
    if args.json:
        write_text(args.json, json.dumps(figures, indent=1) + "\n")
    if missed:
        print(f"below the aim: {', '.join(missed)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    np.seterr(all="ignore")
    cli.run(main)
