"""`make bench-operators`: what single operators cost on RV32IMC, counted in the emulator, into bench/OPERATORS.md.

One ONNX operator of a usual size a row, through the whole pipeline; outputs are compared byte for byte with the host.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / "tools"), str(REPO / "bench"), str(REPO / "tests")]

import kernel_costs  # noqa: E402
import numpy as np  # noqa: E402
from measure import HostWithKernels, Kernels, Subject, equal, project_of, quantize_quickly  # noqa: E402
from onnx_cases import ONNX_CASES, OnnxCase  # noqa: E402
from tables import table  # noqa: E402

from esp_tvm import cli  # noqa: E402
from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.files import whole_file  # noqa: E402
from esp_tvm.operators import OPERATORS  # noqa: E402
from esp_tvm.port_options import ALL, PortOptions  # noqa: E402
from esp_tvm.run.machines import RISCV, require  # noqa: E402
from esp_tvm.run.qemu import EmulatedProgram  # noqa: E402

TARGET = REPO / "bench" / "OPERATORS.md"
AS_IN_THE_MODEL = PortOptions()
# What stands around an operator that is alone in its model.
EDGES = ("quantize", "dequantize", "quantize_s16", "dequantize_s16", "pixels")

_HOW = """\
# What operators cost

`make bench-operators` writes this file. One ONNX operator a row, of a usual size, quantized and exported like any
model, compiled for RV32IMC (`-O2`) and run in the emulator as [RESULTS.md](RESULTS.md) says; outputs are compared byte
for byte with the host. Instructions of the operator alone: changes from and to float, and from NCHW to NHWC and back,
are the rows Quantize, Dequantize and Transpose. *a value*: instructions per value of the output; *a MAC*: per
multiply-accumulate; *kernels*: the C functions that compute it, without `esp_dl_`.

On a board a division takes more than one cycle, and so does what has to be fetched from flash first.

"""


def _weights(*shape: int) -> np.ndarray:
    """Normally distributed, so that sums of products keep the size of the inputs."""
    random = np.random.RandomState(int(np.sum(shape)))
    return (random.randn(*shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def _i(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


X = (1, 32, 16, 16)
ROWS = (32, 64)


def _layers() -> List[OnnxCase]:
    def conv(name: str, shape: Sequence[int], weights: Sequence[int], **attributes: Any) -> OnnxCase:
        bias = _weights(weights[0])
        return OnnxCase("Conv", name, {0: tuple(shape)}, {1: _weights(*weights), 2: bias}, attributes)

    def up(name: str, weights: Sequence[int], **attributes: Any) -> OnnxCase:
        return OnnxCase("ConvTranspose", name, {0: (1, 16, 8, 8)}, {1: _weights(*weights)}, attributes)

    same, recurrent = [1, 1, 1, 1], {"hidden_size": 32}
    factors = {1: np.full(64, 1.5, np.float32), 2: np.full(64, 0.25, np.float32)}
    channels = {i: np.full(32, value, np.float32) for i, value in ((1, 1.5), (2, 0.25), (3, 0.5), (4, 2.0))}
    # Something that takes int8 follows; it is not counted.
    inside = (("Softmax", ("x0",), "s", {"axis": -1}), ("MatMul", ("s", "x1"), "y0", {}))
    gates = [(1, {1: _weights(1, 4 * 32, 16), 2: _weights(1, 4 * 32, 32)}, "LSTM")]
    gates.append((2, {1: _weights(1, 3 * 32, 16), 2: _weights(1, 3 * 32, 32)}, "GRU"))
    return [
        conv("3x3, 32 to 32, 16x16", X, (32, 32, 3, 3), pads=same),
        conv("1x1, 32 to 32, 16x16", X, (32, 32, 1, 1)),
        conv("3x3, 32 to 32, 4 groups, 16x16", X, (32, 8, 3, 3), pads=same, group=4),
        conv("3x3, 32 to 32, dilation 2, 16x16", X, (32, 32, 3, 3), pads=[2] * 4, dilations=[2, 2]),
        conv("1-D, 9, 16 to 32, 128", (1, 16, 128), (32, 16, 9), pads=[4, 4]),
        conv("1x1, 256 to 64, one pixel", (1, 256, 1, 1), (64, 256, 1, 1)),
        conv("depthwise 3x3, 32, 16x16", X, (32, 1, 3, 3), pads=same, group=32),
        conv("depthwise 5x5, 32, 16x16", X, (32, 1, 5, 5), pads=[2] * 4, group=32),
        conv("depthwise 3x3, 32 to 64, 16x16", X, (64, 1, 3, 3), pads=same, group=32),
        conv("1-D depthwise, 9, 32, 128", (1, 32, 128), (32, 1, 9), pads=[4, 4], group=32),
        up("3x3 stride 2, 16 to 8, 8x8", (16, 8, 3, 3), strides=[2, 2], pads=same, output_padding=[1, 1]),
        up("2x2 stride 2, 16 to 8, 8x8", (16, 8, 2, 2), strides=[2, 2]),
        OnnxCase("Gemm", "256 to 64", {0: (1, 256)}, {1: _weights(64, 256).T.copy(), 2: _weights(64)}),
        OnnxCase("MatMul", "weights, 32 rows, 64 to 64", {0: ROWS}, {1: _weights(64, 64)}),
        OnnxCase("MatMul", "two activations, 4 of 32x16x32", {0: (1, 4, 32, 16), 1: (1, 4, 16, 32)}),
        *(
            OnnxCase(title, "16 steps, 16 inputs, 32 units", {0: (16, 1, 16)}, parts, recurrent)
            for _, parts, title in gates
        ),
        OnnxCase("BatchNormalization", "alone, 32, 16x16", {0: X}, channels, opset=15),
        OnnxCase("LayerNormalization", "32 rows of 64", {0: ROWS}, factors, opset=17),
        OnnxCase("InstanceNormalization", "32, 16x16", {0: X}, {i: channels[i] for i in (1, 2)}),
        OnnxCase("LpNormalization", "32 rows of 64", {0: ROWS}, {}, {"axis": -1, "p": 2}),
        OnnxCase("Softmax", "32 rows of 64, to float", {0: ROWS}, {}, {"axis": -1}),
        OnnxCase("Softmax", "32 rows of 64, to int8", {0: ROWS, 1: (64, 4)}, nodes=inside),
        OnnxCase("LogSoftmax", "32 rows of 64", {0: ROWS}, {}, {"axis": -1}),
    ]


def _elementwise() -> List[OnnxCase]:
    cases = []
    for operator in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Greater"):
        low = {"low": 1.0} if operator == "Div" else {}
        cases.append(OnnxCase(operator, "32, 16x16", {0: X, 1: X}, **low))
        cases.append(OnnxCase(operator, "and one per channel", {0: X, 1: (1, 32, 1, 1)}, **low))
    return [
        *cases,
        OnnxCase("Mul", "and one per pixel", {0: X, 1: (1, 1, 16, 16)}),
        OnnxCase("Mul", "constant per channel", {0: X}, {1: _weights(32, 1, 1)}),
        OnnxCase("Add", "and one per row of 64", {0: ROWS, 1: (32, 1)}),
        OnnxCase(
            "Where", "filled with a number", {1: X}, {0: (np.arange(256).reshape(16, 16) % 3 > 0), 2: np.float32(-1.5)}
        ),
        OnnxCase(
            "MaxUnpool",
            "2x2",
            {0: (1, 32, 8, 8)},
            {1: np.arange(2048).reshape(1, 32, 8, 8) * 4},
            {"kernel_shape": [2, 2], "strides": [2, 2]},
        ),
        OnnxCase("PRelu", "slope per channel", {0: X}, {1: np.full((32, 1, 1), 0.25, np.float32)}),
        OnnxCase("Relu", "alone", {0: X}),
        OnnxCase("Sigmoid", "", {0: X}),
    ]


def _rest() -> List[OnnxCase]:
    two = {"kernel_shape": [2, 2], "strides": [2, 2]}
    three = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    resize = {"coordinate_transformation_mode": "half_pixel"}
    cases = []
    for operator in ("MaxPool", "AveragePool"):
        cases += [OnnxCase(operator, f"{k}, 32, 16x16", {0: X}, {}, a) for k, a in (("2x2", two), ("3x3", three))]
    cases += [OnnxCase(operator, "32, 16x16", {0: X}) for operator in ("GlobalMaxPool", "GlobalAveragePool")]
    for operator in ("ReduceMean", "ReduceMax", "ReduceL2"):
        for what, axes, shape in (("plane", (2, 3), X), ("channels", (1,), X), ("rows of 64", (1,), ROWS)):
            cases.append(OnnxCase(operator, what, {0: shape}, {}, {"axes": axes, "keepdims": 1}))
    return [
        *cases,
        OnnxCase("ArgMax", "rows of 64", {0: ROWS}, {}, {"axis": 1}),
        OnnxCase("Transpose", "32x64", {0: ROWS}, {}, {"perm": [1, 0]}, behind_relu=True),
        OnnxCase("Transpose", "to channels last", {0: X}, {}, {"perm": [0, 2, 3, 1]}, behind_relu=True),
        OnnxCase("Transpose", "heads", {0: (1, 32, 4, 16)}, {}, {"perm": [0, 2, 1, 3]}, behind_relu=True),
        OnnxCase("Concat", "channels", {0: X, 1: X}, {}, {"axis": 1}),
        OnnxCase("Slice", "half of the channels", {0: X}, {1: _i(0), 2: _i(16), 3: _i(1)}),
        OnnxCase("Slice", "every other column", {0: X}, {1: _i(0), 2: _i(16), 3: _i(3), 4: _i(2)}),
        OnnxCase("Pad", "1 all around", {0: X}, {1: _i(0, 0, 1, 1, 0, 0, 1, 1)}),
        OnnxCase("Gather", "channels", {0: X}, {1: _i(*range(31, -1, -1))}, {"axis": 1}),
        OnnxCase("Gather", "rows", {0: ROWS}, {1: _i(*range(0, 32, 2))}),
        OnnxCase("Expand", "rows", {0: (32, 1)}, {1: _i(32, 64)}),
        OnnxCase("Tile", "twice", {0: X}, {1: _i(1, 1, 2, 2)}),
        OnnxCase("DepthToSpace", "2", {0: X}, {}, {"blocksize": 2}),
        OnnxCase("SpaceToDepth", "2", {0: X}, {}, {"blocksize": 2}),
        OnnxCase("Resize", "nearest, twice", {0: X}, {3: _i(1, 32, 32, 32)}, {"mode": "nearest", **resize}),
        OnnxCase("Resize", "linear, twice", {0: X}, {3: _i(1, 32, 32, 32)}, {"mode": "linear", **resize}),
    ]


def cases() -> List[OnnxCase]:
    """The rows of the table: those above, and the tests' largest row of every kernel that has none there."""
    rows = [*_layers(), *_elementwise(), *_rest()]
    measured = {row.operator for row in rows}
    for entry in OPERATORS.values():
        own = {name for rule in entry.rules if rule.kind for name in rule.operators}
        tested = [case for case in ONNX_CASES if case.operator in own and case.kernels]
        if not own & measured and tested:
            rows.append(max(tested, key=lambda case: sum(int(np.prod(shape)) for shape in case.inputs.values())))
    return rows


def pixels() -> Tuple[OnnxCase, PortOptions]:
    """A picture of three channels as a camera gives it, with a table for each channel."""
    case = OnnxCase("Conv", "of pixels", {0: (1, 3, 32, 32)}, {1: _weights(4, 3, 1, 1)}, low=0.0, high=255.0)
    half, one = (Fraction(127),) * 3, (Fraction(1),) * 3
    return case, PortOptions(input_types={ALL: "uint8"}, input_layouts={ALL: "NHWC"}, mean=half, std=one)


def count(case: OnnxCase, kernels: Kernels, ports: PortOptions = AS_IN_THE_MODEL) -> List[Dict[str, Any]]:
    """Per step: operator, kernel, macs, instructions, outputs (elements)."""
    model, samples = case.model(), case.samples()
    subject = Subject(case.id, quantize_quickly(model, samples), samples)
    with tempfile.TemporaryDirectory(prefix="esp_tvm_operators_") as folder:
        project = project_of(compile_model(subject.model, ports=ports), subject, Path(folder))
        emulated = EmulatedProgram(project, kernels.objects[RISCV])
        outputs, counts = emulated.measure(samples)
        equal(subject, HostWithKernels(project, kernels).run(samples), outputs, "emulator and host")
    steps = []
    for call in emulated.program.calls():
        if not call.is_view:
            operator = (call.followers or [call])[-1].operator or "fallback"
            step: Dict[str, Any] = {"operator": operator, "kernel": call.kernel}
            step.update(macs=call.macs, instructions=counts[-1].steps[call.index])
            step["outputs"] = 0 if call.is_fallback else call.writes[0].elements
            steps.append(step)
    return steps


def row(case: OnnxCase, steps: List[Dict[str, Any]]) -> List[str]:
    """A line of the table: the case's own steps together, as many times as its results are large."""
    own = [step for step in steps if step["operator"] not in EDGES and "quantize_s8_nhwc" not in step["kernel"]]
    # An operator that only moves values has a relu before it here.
    own = own[1:] if case.behind_relu else own
    if case.nodes:
        own = [step for step in own if step["operator"] == case.operator.lower()]
    if case.operator != "Transpose":
        # To NHWC and back, which in a network happens at its ends alone.
        own = [step for step in own if step["operator"] != "transpose"]
    instructions = sum(step["instructions"] for step in own)
    macs, outputs = sum(step["macs"] for step in own), own[-1]["outputs"] if own else 0
    names = list(dict.fromkeys(step["kernel"].replace("esp_dl_", "") or step["operator"] for step in own))
    kernels = ", ".join(f"`{name}`" for name in names)
    cells = [f"{case.operator}, {case.name}" if case.name else case.operator, f"{outputs:,}", f"{instructions:,}"]
    cells.append(f"{instructions / outputs:.1f}" if outputs else "")
    return [*cells, f"{instructions / macs:.2f}" if macs else "", kernels]


def edges(found: Dict[str, Tuple[int, int]], steps: List[Dict[str, Any]]) -> None:
    """Keep the largest change from float and to float: kernel -> (instructions, outputs)."""
    for step in steps:
        if step["operator"] in EDGES and step["outputs"] > found.get(step["kernel"], (0, 0))[1]:
            found[step["kernel"]] = (step["instructions"], step["outputs"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORD", help="print only rows whose name has a word; write nothing")
    words = parser.parse_args().words
    require(RISCV)
    chosen = [case for case in cases() if not words or any(word.lower() in case.id.lower() for word in words)]
    if not chosen:
        raise UserError(f"no operator has one of these words in its name: {' '.join(words)}")
    kernels = Kernels(machines=[RISCV])
    found: Dict[str, Tuple[int, int]] = {}
    rows = []
    for case in chosen:
        steps = count(case, kernels)
        edges(found, steps)
        rows.append(row(case, steps))
        print(" | ".join(rows[-1]), flush=True)
    if not words:
        case, ports = pixels()
        edges(found, count(case, kernels, ports))
    for kernel, (instructions, outputs) in sorted(found.items()):
        name = kernel.replace("esp_dl_", "")
        title = name.split("_")[0].capitalize()
        rows.append([title, f"{outputs:,}", f"{instructions:,}", f"{instructions / outputs:.1f}", "", f"`{name}`"])
    if words:
        return
    head = ["", "output values", "instructions", "a value", "a MAC", "kernels"]
    with whole_file(TARGET) as temporary:
        Path(temporary).write_text(_HOW + table(head, rows), encoding="utf-8")
    print("written: bench/OPERATORS.md")
    kernel_costs.main()


if __name__ == "__main__":
    cli.run(main)
