#!/usr/bin/env python3
"""Multiply-accumulates an instruction of the ESP32-S3's vector kernels, counted in an emulator.

bench_esp32s3.py [part of a row's name ...]             the tables of docs/esp32-s3.md
bench_esp32s3.py model_quant.onnx sample.npy            the layers of a quantized model

Weights are drawn from a bell curve with a spread of its own for every channel and quantized with one power of two per
channel; inputs lie in 0..127, as after a relu, or in -128..127 for first layers.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests"), str(ROOT / "bench")]

import numpy as np  # noqa: E402
import onnx  # noqa: E402
from esp32s3_cases import REPEATS, Pair, run_in_emulator, verdicts  # noqa: E402
from kernel_archive import COMPONENT  # noqa: E402
from tables import print_table  # noqa: E402

from esp_tvm import cli  # noqa: E402
from esp_tvm.compile import CompiledModel, compile_model  # noqa: E402
from esp_tvm.compile.kernels.esp32s3 import CHIP, choose_anywhere, choose_vector  # noqa: E402
from esp_tvm.data import load_sample  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.estimate.work import work_of  # noqa: E402
from esp_tvm.evaluate import NumpyEvaluator  # noqa: E402
from esp_tvm.model import is_quantized, load_model  # noqa: E402
from esp_tvm.operators import OPERATORS  # noqa: E402
from esp_tvm.program import Call, Tensor  # noqa: E402
from esp_tvm.run import esp32s3  # noqa: E402


@dataclass(frozen=True)
class Row:
    """A shape: what it is called, what ESP-DL v3 reaches in MAC a cycle (published), what ESP-NN's assembly reaches in
    MAC an instruction (in an emulator), what is the aim here."""

    name: str
    esp_dl: Optional[float]
    esp_nn: Optional[float]
    aim: float
    operator: str
    size: Tuple[int, int]
    channels: int
    outputs: int
    kernel: int
    stride: int = 1
    low: int = 0
    one_exponent: bool = False  # as ESP-DL quantizes weights for this chip; else one for each output channel
    types: Tuple[str, str] = ("int8", "int8")  # of input and output
    addend: str = ""  # the type of a tensor that is added to the sums


ROWS = (
    Row("1x1, 16->32, 20x20", 2.0, 0.53, 6, "conv2d", (20, 20), 16, 32, 1),
    Row("3x3 s2, 32->16, 19x23", 4.8, 1.40, 8, "conv2d", (19, 23), 32, 16, 3, 2),
    Row("5x5 s2, 16->32, 22x22", 6.6, 1.64, 9, "conv2d", (22, 22), 16, 32, 5, 2),
    Row("3x3, 22->33, 19x23", 3.5, 1.18, 6, "conv2d", (19, 23), 22, 33, 3),
    Row("depthwise 3x3, 32 ch, 100x50", 1.0, 0.25, 3, "depthwise_conv2d", (100, 50), 32, 32, 3),
    Row("3x3, 3->16, 32x32", None, 0.21, 2, "conv2d", (32, 32), 3, 16, 3, 1, -128),
    Row("3x3, 16->16, 32x32", None, 0.97, 7, "conv2d", (32, 32), 16, 16, 3),
    Row("3x3, 64->64, 8x8", None, 2.51, 10, "conv2d", (8, 8), 64, 64, 3),
    Row("1x1, 64->64, 25x5", None, 1.39, 8, "conv2d", (25, 5), 64, 64, 1),
    Row("depthwise 3x3, 64 ch, 25x5", None, 0.22, 3, "depthwise_conv2d", (25, 5), 64, 64, 3),
    Row("1x1, 8->16, 48x48", None, 0.28, 3, "conv2d", (48, 48), 8, 16, 1),
    Row("depthwise 3x3, 8 ch, 48x48", None, None, 2, "depthwise_conv2d", (48, 48), 8, 8, 3),
    Row("3x3 s2, 3->8, 96x96", None, None, 3, "conv2d", (96, 96), 3, 8, 3, 2, -128),
    Row("1x1, 192->64, 14x14", None, None, 10, "conv2d", (14, 14), 192, 64, 1),
    Row(
        "depthwise 3x3, 32 ch, 100x50, one exponent",
        1.0,
        0.25,
        5.5,
        "depthwise_conv2d",
        (100, 50),
        32,
        32,
        3,
        one_exponent=True,
    ),
    Row("7x7 s2, 3->16, 96x48", None, None, 3, "conv2d", (96, 48), 3, 16, 7, 2, -128),
)


def _wide(name: str, aim: float, x: str, y: str, *sizes) -> Row:
    operator = "depthwise_conv2d" if name.startswith("depthwise") else "conv2d"
    return Row(f"{name}, {x} to {y}", None, None, aim, operator, *sizes, types=(x, y))


# Few outputs, and from or to int16: what the ESP32 has no kernels of its own for (bench_esp32.py).
MORE_ROWS = (
    Row("5x5, 32->1, 28x28", None, None, 4, "conv2d", (28, 28), 32, 1, 5),
    Row("1x1, 32->2, 28x28", None, None, 0.9, "conv2d", (28, 28), 32, 2, 1),
    _wide("3x3, 16->16, 32x32", 5, "int16", "int16", (32, 32), 16, 16, 3),
    _wide("3x3, 64->64, 8x8", 6, "int16", "int8", (8, 8), 64, 64, 3),
    _wide("3x3, 3->16, 32x32", 2, "int16", "int16", (32, 32), 3, 16, 3),
    _wide("3x3, 16->16, 32x32", 5, "int8", "int16", (32, 32), 16, 16, 3),
    _wide("1x1, 64->64, 25x5", 4.5, "int16", "int16", (25, 5), 64, 64, 1),
    _wide("1x1, 64->64, 25x5", 4.5, "int8", "int16", (25, 5), 64, 64, 1),
    _wide("depthwise 3x3, 32 ch, 48x48", 2.1, "int16", "int16", (48, 48), 32, 32, 3),
    replace(_wide("3x3, 16->16, 32x32, + int16", 5, "int16", "int16", (32, 32), 16, 16, 3), addend="int16"),
    replace(_wide("3x3, 64->64, 8x8, + int8", 6, "int16", "int8", (8, 8), 64, 64, 3), addend="int8"),
)


@dataclass(frozen=True)
class ValueRow:
    """A layer without weights: the shapes of its inputs and its output, channels last."""

    name: str
    operator: str
    inputs: Tuple[Tuple[int, ...], ...]
    output: Tuple[int, ...]
    attributes: dict
    types: Tuple[str, ...] = ()  # of the inputs and the output, where they are not int8


def _pool(name: str, operator: str, size, channels: int, kernel, stride: int = 1, before: int = 0) -> ValueRow:
    shape = [(length + 2 * before - tap) // stride + 1 for length, tap in zip(size, kernel)]
    attributes = {"kernel": kernel, "strides": (stride, stride), "padding": (before,) * 4, "dilation": (1, 1)}
    attributes["clamp"] = (-128, 127)
    if operator == "average_pool2d":
        attributes.update(count_include_pad=False, shift=0)
    return ValueRow(name, operator, ((1, *size, channels),), (1, *shape, channels), attributes)


_IMAGE = (1, 16, 16, 32)
_ODD = (1, 16, 16, 24)
_SLOPES = {
    "clamp": (-128, 127),
    "slope": (np.arange(32) * 3).astype(np.int8).reshape(1, 1, 1, 32),
    "shift": 0,
    "shift_negative": 7,
}
_BOTH = {"shift_a": 0, "shift_b": 1, "shift": 2, "clamp": (-128, 127)}
_WHOLE = {"shift_a": 0, "shift_b": 0, "shift": 0, "clamp": (-128, 127)}
_PRODUCT = {"transpose_b": False, "shift": 8, "clamp": (-128, 127)}
_HEADS = ((4, 64, 64), (4, 64, 64))
_S16, _MIXED = ("int16", "int16", "int16"), ("int16", "int8", "int16")


def _s16(row: ValueRow, types: Tuple[str, ...] = ("int16", "int16"), **attributes) -> ValueRow:
    """A row with these types, and other attributes."""
    low, high = np.iinfo(types[-1]).min, np.iinfo(types[-1]).max
    clamp = (0 if row.attributes["clamp"][0] == 0 else low, high)
    more = {"clamp": clamp, "output": types[-1], **attributes}
    name = f"{row.name}, {' and '.join(sorted(set(types[:-1])))} to {types[-1]}"
    return replace(row, name=name, operator=f"{row.operator}_s16", attributes={**row.attributes, **more}, types=types)


_SUM = ValueRow("sum", "add", (_IMAGE, _IMAGE), _IMAGE, _BOTH)
_MUL = ValueRow("product", "mul", (_IMAGE, _IMAGE), _IMAGE, {"shift": 7, "clamp": (-128, 127)})
_RELU = ValueRow("relu", "requantize", (_IMAGE,), _IMAGE, {"shift": 0, "clamp": (0, 127)})
_MAX = _pool("max 2x2 s2, 16 ch, 32x32", "max_pool2d", (32, 32), 16, (2, 2), 2)
_MEAN = _pool("average of all, 64 ch, 25x5", "average_pool2d", (25, 5), 64, (25, 5))
VALUE_ROWS = (
    _MAX,
    _pool("max 3x3 s2, 64 ch, 24x24", "max_pool2d", (24, 24), 64, (3, 3), 2, 1),
    _pool("max 2x2 s2, 20 ch, 16x16", "max_pool2d", (16, 16), 20, (2, 2), 2),
    _pool("average 2x2 s2, 16 ch, 32x32", "average_pool2d", (32, 32), 16, (2, 2), 2),
    _pool("average 3x3, 32 ch, 16x16", "average_pool2d", (16, 16), 32, (3, 3), 1, 1),
    _MEAN,
    _SUM,
    _MUL,
    ValueRow("product by channel", "mul_broadcast", (_IMAGE, (1, 1, 1, 32)), _IMAGE, {**_WHOLE, "shift": 7}),
    ValueRow("product by channel, 24 ch", "mul_broadcast", (_ODD, (1, 1, 1, 24)), _ODD, {**_WHOLE, "shift": 7}),
    ValueRow("larger value", "maximum", (_IMAGE, _IMAGE), _IMAGE, _WHOLE),
    _RELU,
    ValueRow("prelu", "prelu", (_IMAGE,), _IMAGE, _SLOPES),
    ValueRow("100x32 by 32x100, twice", "matmul", ((2, 100, 32), (2, 32, 100)), (2, 100, 100), _PRODUCT),
    ValueRow("64x100 by 100x100, twice", "matmul", ((2, 64, 100), (2, 100, 100)), (2, 64, 100), _PRODUCT),
    ValueRow("64x64 by 64x64 transposed, 4", "matmul", _HEADS, (4, 64, 64), {**_PRODUCT, "transpose_b": True}),
    ValueRow("softmax of 100", "softmax", ((200, 100),), (200, 100), {"exponent": -5, "output_exponent": -7}),
    ValueRow("table", "lookup", (_IMAGE,), _IMAGE, {"table": (np.arange(256) * 7 % 256 - 128).astype(np.int8)}),
    ValueRow("quantization", "quantize", (_IMAGE,), _IMAGE, {"exponent": -7, "zero_point": 0}),
    ValueRow("back to float", "dequantize", (_IMAGE,), _IMAGE, {"exponent": -7}),
    ValueRow("concatenation of 32 and 48 ch", "concat", (_IMAGE, (1, 16, 16, 48)), (1, 16, 16, 80), {"axis": 3}),
    ValueRow("transposed rows and columns", "transpose", (_IMAGE,), _IMAGE, {"axes": [0, 2, 1, 3]}),
    ValueRow("channels moved to the front", "transpose", (_IMAGE,), (1, 32, 16, 16), {"axes": [0, 3, 1, 2]}),
    _s16(_MAX),
    _s16(_MEAN),
    _s16(_SUM, _S16),
    _s16(_SUM, _MIXED, shift_b=8),
    _s16(_MUL, _S16, shift=15),
    _s16(_RELU),
    _s16(_RELU, ("int8", "int16"), shift=-8),
    _s16(_RELU, ("int16", "int8"), shift=8),
)


def quantized(values: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """([O, ...] int8, [O] exponents): the finest power of two per channel that holds its largest weight."""
    largest = np.abs(values).reshape(len(values), -1).max(axis=1)
    exponents = np.ceil(np.log2(largest / 127)).astype(int)
    scale = 2.0 ** exponents.reshape(-1, *[1] * (values.ndim - 1))
    return np.round(values / scale).astype(np.int8), exponents


def call_of(row: Row, random: np.random.RandomState) -> Call:
    """The call, its outputs spread over their width."""
    depthwise = row.operator == "depthwise_conv2d"
    inner = 1 if depthwise else row.channels
    shape = (row.outputs, row.kernel, row.kernel, inner)
    spread = np.exp(random.randn(row.outputs) * 0.25).reshape(-1, 1, 1, 1)
    values = random.randn(*shape) * spread
    if row.one_exponent:
        weights, exponents = quantized(values[None])
        weights, exponents = weights[0], exponents.repeat(row.outputs)
    else:
        weights, exponents = quantized(values)
    before = row.kernel // 2
    # As "same" of TensorFlow and PyTorch: padded all around, output as large as the stride leaves it.
    size = [(length + 2 * before - row.kernel) // row.stride + 1 for length in row.size]
    deviation = np.sqrt(inner * row.kernel**2) * 40
    shift = np.maximum(int(np.log2(deviation * 30 / 40)) - exponents + int(np.median(exponents)), 0)
    bias = np.round(random.randn(row.outputs) * deviation * 3).astype(np.int32)
    attributes = {"weights": weights, "bias": bias, "shift": shift, "clamp": (0, 127)}
    attributes.update(strides=(row.stride, row.stride), padding=(before,) * 4, dilation=(1, 1))
    if depthwise:
        attributes["weights"] = np.ascontiguousarray(weights[..., 0].transpose(1, 2, 0))
    else:
        attributes["groups"] = 1
    operator, (x, y) = row.operator, row.types
    if "int16" in row.types:
        operator += "_s16"
        attributes["shift"] = np.maximum(shift + 8 * ((x == "int16") - (y == "int16")), 0)
        attributes.update(clamp=(0, np.iinfo(y).max), output=y)
    inputs = [Tensor("x", (1, *row.size, row.channels), x)]
    if row.addend:
        operator = operator.replace("conv2d", "conv2d_add")
        inputs.append(Tensor("addend", (1, *size, row.outputs), row.addend))
        # As fine as the output, or 8 bits coarser.
        attributes["addend_shift"] = attributes["shift"] + 8 * ((row.addend == "int8") - (y == "int8"))
    return Call("", operator, inputs, [Tensor("y", (1, *size, row.outputs), y)], attributes)


def measure(rows: Sequence[Row]) -> List[Tuple[Row, str, int, float]]:
    """(row, kernel, MAC, instructions) of all rows."""
    pairs = []
    for row in rows:
        random = np.random.RandomState((*ROWS, *MORE_ROWS).index(row))
        call = call_of(row, random)
        variant = choose_vector(call, row.low, 127)
        pairs.append(Pair(call, variant, row.low, 127, random))
    with tempfile.TemporaryDirectory() as folder:
        output = run_in_emulator(pairs, Path(folder), REPEATS)
    result = []
    for row, pair, verdict in zip(rows, pairs, verdicts(output, pairs, REPEATS)):
        if verdict.difference:
            raise SystemExit(f"error: {row.name}: {verdict.difference}")
        macs = OPERATORS[pair.call.operator].macs(pair.call)
        result.append((row, type(pair.variant).__name__, macs, verdict.instructions))
    return result


def model_figures(
    compiled: CompiledModel, sample: Dict[str, np.ndarray], expected: Dict[str, np.ndarray]
) -> Dict[str, Any]:
    """The figures of one inference of a model that was compiled for the ESP32-S3.

    sample, expected: inputs and outputs by ONNX name. Raises UserError where an output differs.
    """
    with tempfile.TemporaryDirectory(prefix="esp_tvm_esp32s3_") as folder:
        outputs, counts = esp32s3.run_model(compiled, sample, COMPONENT, Path(folder))
    for name, array in expected.items():
        if outputs[name].tobytes() != np.ascontiguousarray(array).tobytes():
            raise UserError(f"output {name} differs between the ESP32-S3 and the reference")
    steps = []
    for call in compiled.program.calls():
        if not counts[call.index]:
            continue
        steps.append(
            {
                "operator": (call.followers or [call])[-1].operator or "fallback",
                "kernel": type(call.variant).__name__ if call.variant else "C",
                "macs": call.macs,
                "instructions": counts[call.index],
                "output": None if call.is_fallback else list(call.writes[0].shape),
                "taps": 1 if call.is_fallback else work_of(call).taps,
            }
        )
    return {
        "macs": sum(step["macs"] for step in steps),
        "instructions": sum(counts),
        "arena_bytes": compiled.program.arena_bytes,
        "constant_bytes": compiled.program.constant_bytes,
        "steps": steps,
    }


def measure_values(rows: Sequence[ValueRow]) -> List[Tuple[ValueRow, int, float, float]]:
    """(row, values of the output, instructions of the vector kernel, of the plain one in C) of all rows."""
    pairs = []
    for row in rows:
        dtype = "float32" if row.operator == "quantize" else "int8"
        types = row.types or (*[dtype] * len(row.inputs), "float32" if row.operator == "dequantize" else "int8")
        inputs = [Tensor(f"x{i}", shape, dtype) for i, (shape, dtype) in enumerate(zip(row.inputs, types))]
        output = Tensor("y", row.output, types[-1])
        call = Call("", row.operator, inputs, [output], row.attributes)
        pairs.append(
            Pair(call, choose_vector(call, -128, 127) or choose_anywhere(call), -128, 127, np.random.RandomState(1))
        )
    counted = []
    for timed in ("fast", "plain"):
        with tempfile.TemporaryDirectory() as folder:
            counted.append(verdicts(run_in_emulator(pairs, Path(folder), 2, timed), pairs, 2))
    for row, fast in zip(rows, counted[0]):
        if fast.difference:
            raise SystemExit(f"error: {row.name}: {fast.difference}")
    values = [pair.call.output.elements for pair in pairs]
    return [
        (row, count, fast.instructions, plain.instructions) for row, count, fast, plain in zip(rows, values, *counted)
    ]


def shape_cells(rows: Sequence[Row] = (*ROWS, *MORE_ROWS)) -> Iterator[List[str]]:
    """Rows of the table of shapes: multiply-accumulates an instruction, beside others'."""
    for row, kernel, macs, instructions in measure(rows):
        others = ["-" if value is None else f"{value:g}" for value in (row.esp_dl, row.esp_nn)]
        yield [row.name, *others, f"{row.aim:g}", f"{macs / instructions:.2f}", f"{instructions:.0f}", kernel]


def value_cells(rows: Sequence[ValueRow] = VALUE_ROWS) -> Iterator[List[str]]:
    """Rows of the table of layers without weights: instructions per value of the output."""
    for row, count, fast, plain in measure_values(rows):
        shape = "x".join(map(str, row.output[1:]))
        yield [row.name, shape, f"{fast:.0f}", f"{fast / count:.2f}", f"{plain / count:.1f}"]


def figures_of(model: onnx.ModelProto, sample_path: str, chip: Optional[str]) -> Dict[str, Any]:
    """`model_figures` of a quantized model with the kernels for a chip; None: with those in C."""
    compiled = compile_model(model, chip=chip)
    sample = load_sample(sample_path, [(port.name, port.shape, port.dtype) for port in compiled.program.inputs])
    expected = NumpyEvaluator(compiled.imported, compiled.partitioned).run(sample).outputs
    return model_figures(compiled, sample, expected)


def sizes_text(figures: Dict[str, Any]) -> str:
    """The memory of `model_figures`."""
    return f"arena {figures['arena_bytes']} bytes, constants {figures['constant_bytes']} bytes"


def _step_cells(step: Dict[str, Any]) -> List[str]:
    macs, count = step["macs"], step["instructions"]
    rate, shape = f"{macs / count:.2f}" if macs else "", "x".join(map(str, step["output"] or ()))
    return [step["operator"], shape, step["kernel"], str(macs or ""), str(count), rate]


def load_quantized(path: str) -> onnx.ModelProto:
    """A quantized model. Raises UserError for a float one: the C that TVM makes of it has other last bits."""
    model = load_model(path)
    if not is_quantized(model):
        raise UserError(f"{path}: is a float model; give the model that make quantize wrote (OUT/model_quant.onnx)")
    return model


def print_model(model_path: str, sample_path: str) -> None:
    """The layers of a quantized model: their kernels, instructions and MAC an instruction."""
    figures = figures_of(load_quantized(model_path), sample_path, CHIP)
    print_table("step | output | kernel | MAC | instructions | MAC an instruction", map(_step_cells, figures["steps"]))
    macs, count = figures["macs"], figures["instructions"]
    print(f"whole: {macs} MAC, {count} instructions, {macs / count:.2f} MAC an instruction")
    print(f"{sizes_text(figures)}; outputs equal the reference")


def model_and_sample(words: List[str]) -> Optional[Tuple[str, str]]:
    """The two files on the command line, None where words name rows. Raises UserError for anything between."""
    files = [word for word in words if word.endswith((".onnx", ".npy", ".npz")) or Path(word).exists()]
    if not files:
        unknown = [word for word in words if not any(word in row.name for row in (*ROWS, *MORE_ROWS, *VALUE_ROWS))]
        if unknown:
            raise UserError(f"{unknown[0]} is neither a file nor part of the name of a row")
        return None
    if len(words) != 2:
        raise UserError(f"{words[0]}: a model and a sample go together: MODEL=model_quant.onnx SAMPLE=sample.npy")
    for word in words:
        if not Path(word).is_file():
            raise UserError(f"{word}: no such file")
    return words[0], words[1]


def bench(words: List[str]) -> None:
    """Print the tables, or that of a model."""
    files = model_and_sample(words)
    with tempfile.TemporaryDirectory() as folder:
        reason = esp32s3.why_not(Path(folder))
    if reason:
        print(f"bench-esp32s3: skipped, {reason}")
        return
    if files is not None:
        print_model(*files)
        return
    rows, value_rows = (
        [row for row in rows if not words or any(word in row.name for word in words)]
        for rows in ((*ROWS, *MORE_ROWS), VALUE_ROWS)
    )
    if rows:
        head = "shape | ESP-DL v3, MAC a cycle | ESP-NN, MAC an instruction | aim | here | instructions | kernel"
        print_table(head, shape_cells(rows))
    if rows and value_rows:
        print()
    if value_rows:
        print_table("layer | output | instructions | per value | plain C, per value", value_cells(value_rows))


def main() -> None:
    bench(sys.argv[1:])


if __name__ == "__main__":
    cli.run(main)
