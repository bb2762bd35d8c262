#!/usr/bin/env python3
"""What quantizing costs: seconds, processor seconds, memory, and the accuracy that they bring.

    scripts/in-env.sh python bench/quantize_time.py [resnet8|kws|digits ...] [--effort quick default thorough]
    scripts/in-env.sh python bench/quantize_time.py osnet mobilenet_v2 yolo11n
    scripts/in-env.sh python bench/quantize_time.py --model m.onnx --calibration c.npy --evaluation e.npy

The last three are shapes of large networks with random weights (`large_networks`), on 64 drawn pictures; without names
they are left away. Every network and effort has a process of its own, for its peak memory. Processor seconds say more
than seconds where others use the computer too.
"""

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / "tools"), str(REPO / "bench")]

import numpy as np  # noqa: E402
import onnx  # noqa: E402
from accuracy import CASES  # noqa: E402
from large_networks import LARGE, pictures  # noqa: E402

from esp_tvm import cli  # noqa: E402
from esp_tvm.data import load_samples  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.model import inputs_of, load_model  # noqa: E402
from esp_tvm.preprocess import preprocess_onnx  # noqa: E402
from esp_tvm.quantize import Passes, quantize_model  # noqa: E402
from esp_tvm.quantize.passes import EFFORTS  # noqa: E402
from esp_tvm.quantize.report import at_output, measure  # noqa: E402
from esp_tvm.terminal import Table, show  # noqa: E402

HEADER = ("network", "effort", "seconds", "CPU s", "MB", "held back dB", "evaluation dB")


def run_one(model: Path, calibration: Path, evaluation: Path, effort: str) -> dict:
    """Quantize here and now; the worst output's dB on the samples held back, and on those of `evaluation`."""
    real = load_model(model)
    samples, others = (load_samples(path, inputs_of(real)) for path in (calibration, evaluation))
    started, busy = time.perf_counter(), time.process_time()
    result = quantize_model(real, samples, Passes(effort=effort), model)
    row = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - busy}
    row["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    unseen = measure(result.network, result.exponents, result.weights, others)
    for key, noise in (("held", result.noise), ("evaluation", unseen)):
        row[key] = min(at_output(result.network, noise, name).decibels for name in result.network.outputs)
    return row


def in_a_process(model: Path, calibration: Path, evaluation: Path, effort: str) -> dict:
    command = [sys.executable, __file__, "--child", model, calibration, evaluation, effort]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise UserError(f"{model}: quantizing failed")
    return json.loads(done.stdout.splitlines()[-1])


def written(name: str, folder: Path) -> tuple:
    """Files of a large network: (model, calibration samples, evaluation samples)."""
    model = LARGE[name]()
    files = folder / f"{name}_float.onnx", folder / f"{name}_calibration.npy", folder / f"{name}_evaluation.npy"
    onnx.save(model, str(files[0]))
    for file, count, seed in ((files[1], 64, 1), (files[2], 16, 2)):
        np.save(file, pictures(model, count, seed))
    return files


def main():
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(run_one(*map(Path, sys.argv[2:5]), sys.argv[5])))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "networks", nargs="*", choices=[[], *CASES, *LARGE], help="which; by default all small ones that are there"
    )
    parser.add_argument("--effort", nargs="+", choices=list(EFFORTS), default=["default"])
    parser.add_argument("--model", help="a float model of your own in place of these networks")
    parser.add_argument("--calibration", help="its calibration samples")
    parser.add_argument("--evaluation", help="its samples for evaluation")
    args = parser.parse_args()
    if args.model and not (args.calibration and args.evaluation):
        raise UserError("--model needs --calibration and --evaluation")
    cases = {name: (case[0] / "model.onnx", case[0] / case[1], case[0] / case[2]) for name, case in CASES.items()}
    chosen = {name: cases[name] for name in args.networks or cases if name in cases and cases[name][0].exists()}
    if args.model:
        chosen = {Path(args.model).stem: (Path(args.model), Path(args.calibration), Path(args.evaluation))}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        chosen.update((name, written(name, Path(folder))) for name in args.networks if name in LARGE)
        for name, (model, calibration, evaluation) in chosen.items():
            tidy = Path(folder, f"{name}.onnx")
            with contextlib.redirect_stdout(None):
                preprocess_onnx(model, tidy)
            for effort in args.effort:
                got = in_a_process(tidy, calibration, evaluation, effort)
                figures = (got[key] for key in ("seconds", "cpu", "memory", "held", "evaluation"))
                rows.append((name, effort, *(f"{value:.1f}" for value in figures)))
    show(Table(HEADER, rows, "llrrrrr"))
    return 0


if __name__ == "__main__":
    np.seterr(all="ignore")
    cli.run(main)
