#!/usr/bin/env python3
"""What exporting and running a network cost: seconds and processor seconds, with TVM's share, and memory.

    scripts/in-env.sh python bench/export_time.py [osnet mobilenet_v2 yolo11n] [--chip esp32s3 esp32c3]
    scripts/in-env.sh python bench/export_time.py --model model_quant.onnx --sample sample.npy

The networks are shapes of large ones with random weights (`large_networks`), quantized with little effort. Every export
has a process of its own, for its peak memory. Processor seconds say more than seconds where others use the computer
too; those of the C compiler, which checks what is written and builds the run, count.
"""

import argparse
import contextlib
import json
import os
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
from large_networks import LARGE, pictures  # noqa: E402

from esp_tvm import cli  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.terminal import Table, show  # noqa: E402

TOOLS = REPO / "tools" / "tvm"
# Samples that large networks are quantized with.
SAMPLES = 4
OF_TVM = ("TVM's importer", "TVM's passes", "TVM's build")


def processor_seconds() -> float:
    """Of this process and of those that it has started and waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class Parts:
    """Processor seconds of parts of a computation; of one within another only the inner one has them."""

    def __init__(self) -> None:
        self.seconds, self.calls, self._running, self._since = {}, {}, [], 0.0

    @contextlib.contextmanager
    def part(self, name: str):
        self._charge()
        self._running.append(name)
        self.calls[name] = self.calls.get(name, 0) + 1
        try:
            yield
        finally:
            self._charge()
            self._running.pop()

    def _charge(self) -> None:
        now = processor_seconds()
        if self._running:
            self.seconds[self._running[-1]] = self.seconds.get(self._running[-1], 0.0) + now - self._since
        self._since = now

    def measure(self, owner: object, function: str, name: str) -> None:
        """From now on calls of a function of a module or class count as this part."""
        original = getattr(owner, function)

        def measured(*args, **options):
            with self.part(name):
                return original(*args, **options)

        setattr(owner, function, measured)


def export_here(chip: str, model: str, sample: str, folder: str) -> dict:
    """Export here and now; seconds by part, memory in MB."""
    started, parts = time.perf_counter(), Parts()
    with parts.part("starting: Python's modules"):
        import tvm

        from esp_tvm.compile import model_to_c
        from esp_tvm.evaluate import NumpyEvaluator
        from esp_tvm.places import TEMPLATE
        from esp_tvm.project import export

    parts.measure(tvm.relay.frontend, "from_onnx", OF_TVM[0])
    parts.measure(tvm.ir.transform.Pass, "__call__", OF_TVM[1])
    parts.measure(model_to_c, "lower", OF_TVM[2])
    parts.measure(export, "import_model", "rewrites and patterns of Relay")
    parts.measure(model_to_c, "choose_kernels", "choice of kernels, strips")
    parts.measure(model_to_c, "_placed", "places in memory")
    parts.measure(model_to_c, "emit", "writing C")
    parts.measure(NumpyEvaluator, "run", "reference by NumPy")
    parts.measure(export, "verify", "comparison with ONNX Runtime")
    parts.measure(export, "write_project", "files, and the check of the C")
    with parts.part("all else"):
        export.export_onnx_model(chip, model, sample, str(TEMPLATE), folder)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    elapsed = time.perf_counter() - started
    return {"seconds": elapsed, "parts": parts.seconds, "calls": parts.calls, "memory": memory}


def in_a_process(*arguments: object) -> str:
    """What a process printed."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it failed"])[-1]
        raise UserError(f"{' '.join(command[1:])}: {last}")
    return done.stdout


def measure(name: str, chip: str, model: Path, sample: Path, folder: Path) -> None:
    """Export and run, and print what both cost."""
    found = json.loads(in_a_process(__file__, "--child", chip, model, sample, folder).splitlines()[-1])
    spent, calls = found["parts"], found["calls"]
    total = sum(spent.values())
    rows = [(part, f"{seconds:.1f}", calls[part]) for part, seconds in sorted(spent.items(), key=lambda one: -one[1])]
    show(Table((f"export of {name} for {chip}", "CPU s", "calls"), rows, "lrr"))
    of_tvm = sum(spent.get(part, 0.0) for part in OF_TVM)
    print(f"export: {found['seconds']:.1f} s, {total:.1f} s of processor time, {found['memory']:.0f} MB")
    print(f"  of that TVM's own functions: {of_tvm:.1f} s")
    started, busy = time.perf_counter(), processor_seconds()
    in_a_process(
        TOOLS / "run_project.py", "--project", folder / "new_project", "--model", model, "--input", sample, "--summary"
    )
    print(f"run: {time.perf_counter() - started:.1f} s, {processor_seconds() - busy:.1f} s of processor time")


def written(name: str, folder: Path) -> tuple:
    """Files of a large network: (the quantized model, a sample)."""
    model = LARGE[name]()
    real, tidy, quantized = (folder / f"{name}_{form}.onnx" for form in ("float", "opt", "quant"))
    calibration, sample = folder / f"{name}_calibration.npy", folder / f"{name}.npy"
    onnx.save(model, str(real))
    np.save(calibration, pictures(model, SAMPLES, 1))
    np.save(sample, pictures(model, 1, 2))
    in_a_process(TOOLS / "preprocess_onnx.py", "--input", real, "--output", tidy)
    options = ["--input_model", tidy, "--output_model", quantized, "--calibrate_dataset", calibration]
    in_a_process(TOOLS / "esp_quantize_onnx.py", *options, "--effort", "quick")
    return quantized, sample


def main():
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(export_here(*sys.argv[2:6])))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", choices=[[], *LARGE], help="which; by default yolo11n")
    parser.add_argument("--chip", nargs="+", default=["esp32s3"], help="what for")
    parser.add_argument("--model", help="a quantized model of your own in place of these networks")
    parser.add_argument("--sample", help="a sample for it")
    args = parser.parse_args()
    if args.model and not args.sample:
        raise UserError("--model needs --sample")
    print(f"load of this computer: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as folder:
        names = [] if args.model else args.networks or ["yolo11n"]
        files = {name: written(name, Path(folder)) for name in names}
        if args.model:
            files[Path(args.model).stem] = (Path(args.model), Path(args.sample))
        for name, (model, sample) in files.items():
            for chip in args.chip:
                measure(name, chip, model, sample, Path(folder) / f"{name}_{chip}")
    return 0


if __name__ == "__main__":
    cli.run(main)
