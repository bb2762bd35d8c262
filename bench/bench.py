"""`make bench`: builds the generated programs for RV32IMC and Xtensa, counts instructions in QEMU, writes the results.

Also for the ESP32-S3 and its vector unit, where Espressif's compiler and an emulator of that core are on PATH.

bench/results.json has every figure, bench/RESULTS.md and bench/results.svg show them beside other software's.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / "tools"), str(REPO / "bench")]

import kernel_costs  # noqa: E402
import networks  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import pipeline_time  # noqa: E402
import results as result_files  # noqa: E402
import vector  # noqa: E402
import vector_results  # noqa: E402
from measure import Kernels, Mismatch, Subject, measure, other_choices, quantize_quickly  # noqa: E402

from esp_tvm import cli  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.files import write_text  # noqa: E402
from esp_tvm.quantize import quantize_model  # noqa: E402
from esp_tvm.run.machines import RISCV, XTENSA, require  # noqa: E402

SHARED = REPO.parent / "shared" / "models"
DIGITS = REPO / "examples" / "digits"
# Preprocessed and quantized by the documented commands; the rest is generated.
TRAINED = {
    "digits": (DIGITS / "model.onnx", DIGITS / "calib.npy", DIGITS / "test.npy"),
    "resnet8": (SHARED / "resnet8/model.onnx", SHARED / "resnet8/calib.npy", SHARED / "resnet8/eval.npy"),
    "kws": (SHARED / "kws/model.onnx", SHARED / "kws/calib.npy", SHARED / "kws/eval.npy"),
}
SAMPLES = 3
# The name of the shapes that are counted on the ESP32-S3 alone.
SHAPES = "esp32s3"


def trained(name: str, folder: Path, timings: Dict[str, Any]) -> Subject:
    """Preprocess and quantize by the documented commands; what they took goes to `timings`."""
    model, calibration, evaluation = TRAINED[name]
    quantized, seconds = pipeline_time.quantize(model, calibration, folder)
    timings[name] = seconds
    quantized_model = onnx.load(str(quantized))
    port = quantized_model.graph.input[0]
    shape = [dim.dim_value for dim in port.type.tensor_type.shape.dim]
    data = np.load(evaluation, mmap_mode="r")[:SAMPLES].astype(np.float32).reshape(-1, *shape)
    return Subject(name, quantized_model, {port.name: data})


def generated(name: str) -> Subject:
    """A network of networks.py, quantized with the defaults, as users do, or a layer, where nothing is searched for."""
    model = networks.find(name)()
    calibration = networks.samples(model, 4, seed=3)
    if name in networks.NETWORKS:
        quantized = quantize_model(model, calibration).model
    else:
        quantized = quantize_quickly(model, calibration, networks.WIDE.get(name, ""))
    return Subject(name, quantized, networks.samples(model, SAMPLES))


RESULTS = REPO / "bench" / "results.json"


def empty_results() -> Dict[str, Any]:
    return {"models": {}, "layers": {}, "pipeline_seconds": {}}


def read_results() -> Dict[str, Any]:
    """What was measured before, empty where nothing was."""
    return {**empty_results(), **(result_files.load(RESULTS) if RESULTS.is_file() else {})}


def keep_times(name: str, found: Dict[str, Any], before: Dict[str, Any]) -> None:
    """On a busy computer, the times of an earlier run say more."""
    earlier = before["pipeline_seconds"].get(name)
    if earlier is not None and pipeline_time.busy():
        print(f"{name}: the computer is busy, the pipeline's earlier times are kept")
        found["pipeline_seconds"][name] = earlier


def named(words: List[str], known: List[str]) -> List[str]:
    """Those of `known` that the words, one after the other, are made of; names of layers have several words."""
    left, found = " ".join(" ".join(words).split()), []
    while left:
        name = max((one for one in known if f"{left} ".startswith(f"{one} ")), key=len, default=None)
        if name is None:
            raise UserError(f"'{left}' is not in the bench; choose from: {'; '.join(known)}")
        found.append(name)
        left = left[len(name) :].strip()
    return found


def run(words: List[str]) -> Dict[str, Any]:
    """Measure everything, or what `words` name. What is left out, or not yet measured, keeps its earlier figures."""
    require(RISCV)
    known = [*TRAINED, *networks.NETWORKS, *networks.LAYERS, SHAPES]
    only = named(words, known)
    if XTENSA.missing():
        print(f"{XTENSA.name} is left out: {XTENSA.missing()}")
    reason = vector.missing()
    if reason:
        print(f"the ESP32-S3 is left out, what was counted there before is kept: {reason}")
    before = read_results()
    found = copy.deepcopy(before)
    kernels = Kernels()
    if not reason:
        part = {"toolchain": vector.toolchain(), "shapes": (found.get("esp32s3") or {}).get("shapes")}
        if not only or SHAPES in only:
            part["shapes"] = vector.measure_shapes()
        found["esp32s3"] = part
    for name in known[:-1]:
        if only and name not in only:
            continue
        if name in TRAINED and not TRAINED[name][0].is_file():
            print(f"{name}: left out, {TRAINED[name][0]} is not there; what was counted before is kept")
            continue
        with tempfile.TemporaryDirectory(prefix="esp_tvm_bench_") as text:
            folder, started, is_model = Path(text), time.time(), name not in networks.LAYERS
            subject = trained(name, folder, found["pipeline_seconds"]) if name in TRAINED else generated(name)
            try:
                vectors = (is_model or name in networks.WIDE) and not reason
                figures = measure(subject, folder, kernels, is_model, vectors)
            except Mismatch as error:
                raise UserError(str(error))
            if name in TRAINED:
                found["pipeline_seconds"][name].update(pipeline_time.export(TRAINED[name], folder))
                keep_times(name, found, before)
            print(f"    {time.time() - started:.0f} s")
            found["models" if is_model else "layers"][name] = figures
        if reason:
            vector_results.keep(found, before, reason)
        # After every network: what was measured stays when the bench is interrupted.
        result_files.write(found, REPO / "bench")
    for group in ("models", "layers", "pipeline_seconds"):
        # In the order of the bench, without what it no longer has.
        found[group] = {name: found[group][name] for name in known if name in found[group]}
    result_files.write(found, REPO / "bench")
    return found


def check(words: List[str]) -> int:
    """Say of every network, or of those that `words` name, whether what is chosen for it today is what was counted.

    Costs decide what the quantizer spends and which kernels run, and the bench counts costs of what runs: the table is
    settled once the programs that it leads to are those that it was counted on. Nothing is run. Returns 1 where not.
    """
    known, before, differ = [*TRAINED, *networks.NETWORKS, *networks.LAYERS], read_results(), 0
    for name in named(words, known) or known:
        figures = {**before["models"], **before["layers"]}.get(name)
        if figures is None or (name in TRAINED and not TRAINED[name][0].is_file()):
            print(
                f"{name}: left out, "
                + ("it was not counted" if figures is None else f"{TRAINED[name][0]} is not there")
            )
            continue
        with tempfile.TemporaryDirectory(prefix="esp_tvm_bench_") as folder:
            lines = other_choices(trained(name, Path(folder), {}) if name in TRAINED else generated(name), figures)
        print(f"{name}: " + ("as it was counted" if not lines else "is not what was counted"))
        for line in lines:
            print(f"    {line}")
        differ += bool(lines)
    if differ:
        print(f"{differ} of them differ: make bench NAMES=... counts them anew")
    return int(differ > 0)


def main() -> Optional[int]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="networks or layers to measure, esp32s3: its shapes (default: all)"
    )
    parser.add_argument("--compare", metavar="BASE", help="print what is better or worse than in this results.json")
    parser.add_argument("--check", action="store_true", help="say whether today's choices are those that were counted")
    arguments = parser.parse_args()
    if arguments.check:
        return check(arguments.names)
    if arguments.compare is not None:
        if not arguments.compare:
            raise UserError("nothing to compare with; give BASE=file.json, a results.json of another time")
        base, new = result_files.load(Path(arguments.compare)), result_files.load(RESULTS)
        print(result_files.comparison(base, new))
        return None
    found = run(arguments.names)
    print(json.dumps(found["pipeline_seconds"], indent=1))
    for name in result_files.DOCUMENTS:
        write_text(REPO / name, result_files.document(found, REPO / name))
    written = ["bench/results.json", "bench/RESULTS.md", "bench/results.svg", *result_files.DOCUMENTS]
    print(f"written: {', '.join(written)}")
    # The estimate of time follows what was counted.
    kernel_costs.main()
    print("make bench-check says whether these costs lead to the programs that were counted")
    return None


if __name__ == "__main__":
    cli.run(main)
