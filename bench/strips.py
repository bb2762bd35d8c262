"""`make bench-strips`: what strips of rows save of the arena, and what they cost, counted in emulators.

Writes bench/STRIPS.md. Inputs and outputs are int8 in buffers of the application, which the arena does not hold. The
outputs with strips are compared byte for byte with those without. Trained networks are measured where ../shared has
them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence
from unittest import mock

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / "tools"), str(REPO / "bench")]

import networks  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import pipeline_time  # noqa: E402
import vector  # noqa: E402
import yolo  # noqa: E402
from measure import COMPONENT, TEMPLATE, Kernels, quantize_quickly  # noqa: E402
from tables import table  # noqa: E402

from esp_tvm import cli  # noqa: E402
from esp_tvm.boards import DEFAULT_SLOWDOWN, choose_board  # noqa: E402
from esp_tvm.chips import check_chip  # noqa: E402
from esp_tvm.compile import CompiledModel, compile_imported, import_model  # noqa: E402
from esp_tvm.compile.kernels.esp32s3 import CHIP  # noqa: E402
from esp_tvm.compile.kernels.winograd import Conv2dWinograd  # noqa: E402
from esp_tvm.convert.convert import convert  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.estimate import sum_of  # noqa: E402
from esp_tvm.files import whole_file  # noqa: E402
from esp_tvm.port_options import ALL, PortOptions  # noqa: E402
from esp_tvm.program import Loop  # noqa: E402
from esp_tvm.program.evaluate import evaluate  # noqa: E402
from esp_tvm.project.compile_for_board import compile_for_board  # noqa: E402
from esp_tvm.project.constants import fit_and_estimate  # noqa: E402
from esp_tvm.project.fit import fit_chip  # noqa: E402
from esp_tvm.project.write import write_project  # noqa: E402
from esp_tvm.run import esp32s3  # noqa: E402
from esp_tvm.run.machines import RISCV, require  # noqa: E402
from esp_tvm.run.qemu import EmulatedProgram  # noqa: E402

TARGET = REPO / "bench" / "STRIPS.md"
_PLACES = (REPO.parent / "shared/models", REPO.parent.parent / "shared/models")
SHARED = next((folder for folder in _PLACES if folder.is_dir()), None)
# A chip without kernels of its own, with PSRAM: everything fits.
BOARD = "esp32"
# The estimate is for this one.
ESTIMATED = {"flash": "16MB", "psram": "8MB:oct"}
SLOWDOWN = float(DEFAULT_SLOWDOWN) / 100
# Measured again, with ARENA=<bytes> instead of ARENA=least, and both programs without minimal filtering.
LIMITS = {"ResNet-8": 18000}
UNFILTERED = ("ResNet-8",)
INSIDE = {"input_types": {ALL: "int8"}, "output_types": {ALL: "int8"}}

_HOW = """\
# What strips save

`make bench-strips` writes this file. *whole*: layer by layer; *strips*: `ARENA=least`, layers run together a few rows
at a time, for at most {slowdown} % more instructions by the estimate, or as many bytes as a row says, at any cost
([memory.md](../docs/memory.md)). Inputs and
outputs are int8 in the application's buffers, images as NHWC, which the arena does not hold; it holds all activations
between and the kernels' scratch memory. Instructions of one inference, counted in emulators: RV32IMC as
[RESULTS.md](RESULTS.md) says, and the ESP32-S3 with its vector kernels where its tools are installed, else `-`.
*estimate*: milliseconds on a board with {memory}, not measured
([estimate.md](../docs/estimate.md)): layer by layer, where an arena that does not fit inside lies in PSRAM; exported
for that board (`ARENA=auto`: with strips so that it fits, or in [two arenas](../docs/memory.md#two-arenas)) with the
weights in flash (`--constants flash`); and as it is exported by default, with the weights in PSRAM where that is worth
it ([psram.md](../docs/psram.md#weights-in-psram)). Kernels differ between chips, and so do arenas. Portable C
computes 3x3 convolutions by minimal filtering where the arena has the scratch memory and strips are four rows tall; a
smaller arena costs ResNet-8 and YOLO11n that. Rows *without minimal filtering* have it in neither program: they say
what strips themselves take. MobileNets and YOLO11n have random weights (bench/networks.py,
bench/yolo.py); the others are trained.
Inputs are random: kernels of the ESP32-S3 that measure their input ([esp32-s3.md](../docs/esp32-s3.md)) take longer
for it than for pictures (ResNet-8). The outputs are the same bytes in all programs.

"""


def _generated(make: Callable[[], onnx.ModelProto]) -> onnx.ModelProto:
    model = make()
    return quantize_quickly(model, networks.samples(model, 4, seed=3))


def _trained(name: str) -> onnx.ModelProto:
    folder = SHARED / name
    with tempfile.TemporaryDirectory(prefix="esp_tvm_bench_") as work:
        quantized, _ = pipeline_time.quantize(folder / "model.onnx", folder / "calib.npy", Path(work))
        return onnx.load(str(quantized))


def _espdl(name: str) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory(prefix="esp_tvm_bench_") as work:
        convert(SHARED / f"espdl/{name}.espdl", Path(work) / "model.onnx")
        return onnx.load(str(Path(work) / "model.onnx"))


def subjects() -> Dict[str, Callable[[], onnx.ModelProto]]:
    """What is measured: name -> the maker of a quantized model."""
    found: Dict[str, Callable[[], onnx.ModelProto]] = {
        "MobileNetV1 0.25, 96x96": lambda: _generated(networks.mobilenet_v1_025),
        "MobileNetV2 0.35, 96x96": lambda: _generated(networks.mobilenet_v2_035),
        "MobileNetV2 0.35, 144x144": lambda: _generated(lambda: networks.mobilenet_v2_035(144)),
    }
    if SHARED is not None:
        found["ResNet-8"] = lambda: _trained("resnet8")
        found["keyword spotting DS-CNN"] = lambda: _trained("kws")
        found["MobileNetV2 1.0, 224x224"] = lambda: _espdl("imagenet_cls_mobilenetv2_s8_v1_s3")
        found["pedestrian detector, 224x224"] = lambda: _espdl("pedestrian_detect_pico_s8_v1_s3")
    found["YOLO11n, 320x320"] = lambda: _generated(yolo.yolo11n)
    return found


@contextmanager
def _without_minimal_filtering() -> Iterator[None]:
    with mock.patch.object(Conv2dWinograd, "computes", lambda variant, call: False):
        yield


def _sample(compiled: CompiledModel) -> Dict[str, np.ndarray]:
    random = np.random.RandomState(1)
    return {p.name: random.randint(-128, 128, (1, *p.shape)).astype(p.dtype) for p in compiled.program.inputs}


def _on_riscv(compiled: CompiledModel, sample: Dict[str, np.ndarray], kernels: Kernels) -> tuple:
    """(instructions, outputs)"""
    with tempfile.TemporaryDirectory(prefix="esp_tvm_bench_") as folder:
        one = {name: array[0] for name, array in sample.items()}
        fit, expected = fit_chip(compiled, check_chip(BOARD)), evaluate(compiled.program, one).outputs
        project = write_project(compiled, one, expected, str(TEMPLATE), folder, BOARD, fit)
        outputs, counts = EmulatedProgram(project, kernels.objects[RISCV]).measure(sample)
    return counts[0].instructions, outputs


def _on_esp32s3(compiled: CompiledModel, sample: Dict[str, np.ndarray]) -> tuple:
    with tempfile.TemporaryDirectory(prefix="esp_tvm_bench_") as folder:
        one = {name: array[0] for name, array in sample.items()}
        outputs, counts = esp32s3.run_model(compiled, one, COMPONENT, Path(folder))
    return sum(counts), outputs


def _milliseconds(compiled: CompiledModel, constants: str) -> str:
    """The estimate for an ESP32-S3; constants: where they are stored."""
    fit_and_estimate(compiled, choose_board(CHIP, **ESTIMATED), constants)
    return f"{sum_of(compiled.program)[0].microseconds / 1000:.3g}"


def _estimates(whole: CompiledModel, model: onnx.ModelProto, relay: tuple, ports: PortOptions) -> List[str]:
    """Milliseconds layer by layer, and as the export places it for the board, with weights in flash and by default."""
    board = choose_board(CHIP, **ESTIMATED)
    found = [_milliseconds(whole, "flash")]
    for constants in ("flash", "auto"):
        compiled = compile_for_board(model, relay, board, ports=ports, constants=constants)
        found.append(_milliseconds(compiled, constants))
    return found


def measure(name: str, model: onnx.ModelProto, kernels: Kernels, vector_too: bool, limit: int = 0) -> List[str]:
    """A row of the table; limit: bytes of the arena with strips, 0: the least. Raises `UserError` where outputs
    differ."""
    relay = import_model(model)
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    planar = len(shape) == 4 and shape[1] in (1, 3) and shape[3] > 3
    ports = PortOptions(**INSIDE, input_layouts={ALL: "NHWC"} if planar else {})
    cells: List[str] = [name]
    first: Optional[Dict[str, np.ndarray]] = None
    for chip in (None, CHIP) if vector_too else (None,):
        found, compiled_both = [], []
        for strips in (None, limit):
            slowdown = None if limit else SLOWDOWN
            compiled = compile_imported(model, relay, chip=chip, strips=strips, slowdown=slowdown, ports=ports)
            compiled_both.append(compiled)
            sample = _sample(compiled)
            count, outputs = _on_esp32s3(compiled, sample) if chip else _on_riscv(compiled, sample, kernels)
            first = outputs if first is None else first
            for port, array in first.items():
                if outputs[port].tobytes() != array.tobytes():
                    raise UserError(f"{name}: output {port} differs with strips or between chips")
            found.append((compiled.program, count))
        (whole, before), (program, after) = found
        loops = sum(isinstance(item, Loop) for item in program.items)
        cells += [str(whole.arena_bytes), f"**{program.arena_bytes}**", str(loops)]
        cells += [str(before), f"{100 * (after / before - 1):+.1f} %"]
        if chip:
            cells += _estimates(compiled_both[0], model, relay, ports)
    return cells + ["-"] * (14 - len(cells))


def main(arguments: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "words", nargs="*", help="only networks with one of these in their names; prints, writes nothing"
    )
    words = parser.parse_args(arguments).words
    require(RISCV)
    chosen = {
        name: make for name, make in subjects().items() if not words or any(w.lower() in name.lower() for w in words)
    }
    if not chosen:
        raise UserError(f"none of the networks has one of these words: {' '.join(words)}; {'; '.join(subjects())}")
    kernels, vector_too = Kernels((RISCV,)), not vector.missing()
    rows: List[List[str]] = []
    for name, make in chosen.items():
        model = make()
        for limit in (0, LIMITS[name]) if name in LIMITS else (0,):
            row = f"{name}, ARENA={limit}" if limit else name
            rows.append(measure(row, model, kernels, vector_too, limit))
            print(" ".join(rows[-1]), flush=True)
        if name in UNFILTERED:
            with _without_minimal_filtering():
                rows.append(measure(f"{name}, without minimal filtering", model, kernels, False))
            print(" ".join(rows[-1]), flush=True)
    machine = ["arena whole", "strips", "loops", "instructions whole", "more with strips"]
    estimates = ["estimate whole", "weights in flash", "as exported"]
    text = table(["", *machine, *[f"S3: {one}" for one in [*machine, *estimates]]], rows)
    if words:
        print(text)
        return
    with whole_file(TARGET) as temporary:
        memory = f"{ESTIMATED['psram']} PSRAM"
        temporary.write_text(_HOW.format(memory=memory, slowdown=DEFAULT_SLOWDOWN) + text, encoding="utf-8")
    print(f"wrote {TARGET}")


if __name__ == "__main__":
    cli.run(main)
