"""The ranges of values by which kernels are chosen hold, and where a false one is taken the program says so."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from qdq import QdqBuilder

pytest.importorskip("tvm")

from esp32s3_calls import pooling, sixteens  # noqa: E402
from esp32s3_cases import Pair, program  # noqa: E402
from kernel_archive import build  # noqa: E402
from kernel_case import Case  # noqa: E402
from kernel_harness import expected, kernel_call  # noqa: E402
from operator_cases import CASES  # noqa: E402
from pipeline_harness import Kernels, Program, write_program  # noqa: E402
from test_esp32s3 import convolution  # noqa: E402
from variant_cases import CLAMPS, RANGES  # noqa: E402

from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.compile.kernels.esp32s3.checked import Conv2dChecked  # noqa: E402
from esp_tvm.compile.kernels.esp32s3.convolution import Conv2dLanes  # noqa: E402
from esp_tvm.compile.kernels.esp32s3.depthwise import DepthwiseLanes  # noqa: E402
from esp_tvm.compile.kernels.esp32s3.measured import Conv2dMeasured  # noqa: E402
from esp_tvm.compile.kernels.esp32s3.values import Average  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.evaluate import NumpyEvaluator  # noqa: E402
from esp_tvm.operators import OPERATORS  # noqa: E402
from esp_tvm.operators.pooling import AveragePool2d, MaxPool2d  # noqa: E402
from esp_tvm.program import Call, Tensor  # noqa: E402
from esp_tvm.run.host import SANITIZE, STRICT  # noqa: E402

LEAVES = "leave the lanes of 20 bits"


def within(case: Case, low: int, high: int, random: np.random.RandomState):
    """Inputs of a case: bytes in low..high, often at an end; others as they come."""
    sets = []
    for i, (shape, dtype) in enumerate(case.inputs):
        if dtype != "int8":
            sets.append(case.samples()[0][i])
            continue
        x = random.randint(low, high + 1, shape).astype(np.int8)
        x[random.rand(*shape) < 0.5] = random.choice([low, high])
        sets.append(x)
    return sets


def check_range(case: Case, low: int, high: int, random: np.random.RandomState) -> None:
    call = kernel_call(case, "call")
    if call.output.dtype != "int8":
        return
    ranges = [(low, high) if dtype == "int8" else (-128, 127) for _, dtype in case.inputs]
    least, greatest = OPERATORS[case.operator].output_range(call, ranges)
    values = expected(case, within(case, low, high, random))
    assert values.size == 0 or least <= int(values.min()) <= int(values.max()) <= greatest, (case.id, low, high)


@pytest.mark.parametrize("operator", sorted({case.operator for case in CASES}))
def test_no_value_leaves_its_range(operator):
    random = np.random.RandomState(0)
    for case in (case for case in CASES if case.operator == operator):
        for low, high in (*RANGES, (5, 9), (-90, -60)):
            check_range(case, low, high, random)


def pool_case(operator: str, random: np.random.RandomState) -> Case:
    """Windows of any size with padding, dilation and ceil_mode; clamps that may lie beside the input's range."""
    call = pooling(operator, random)
    clamp = [*CLAMPS, (20, 40), (-90, -60)][random.randint(len(CLAMPS) + 2)]
    attributes = {**call.attributes, "clamp": clamp, "output_size": call.output.shape[1:3]}
    return Case("pool", operator, ((call.inputs[0].shape, "int8"),), attributes)


@pytest.mark.parametrize("operator", ["max_pool2d", "average_pool2d"])
def test_windows_without_a_tap_in_the_image(operator):
    random, empty = np.random.RandomState(1), 0
    for _ in range(300):
        case = pool_case(operator, random)
        low, high = RANGES[random.randint(len(RANGES))]
        check_range(case, low, high, random)
        unclamped = {**case.attributes, "clamp": (-128, 127)}
        call = kernel_call(Case("pool", operator, case.inputs, unclamped), "call")
        if operator == "max_pool2d":
            # As narrow as can be: -128 only where the rule gives it for an image of 127 alone.
            image = np.full(case.inputs[0][0], 127, np.int8)
            has_empty = bool(expected(Case("", operator, case.inputs, unclamped), [image]).min() < 0)
            assert OPERATORS[operator].output_range(call, [(3, 7)]) == ((-128 if has_empty else 3), 7)
            empty += has_empty
    assert operator != "max_pool2d" or empty > 5


def test_a_clamp_beside_the_range_of_the_input():
    """Not the intersection, which is empty, but where the clamp puts every value."""
    case = Case("beside", "max_pool2d", (((1, 2, 2, 1), "int8"),), {"kernel": (2, 2), "clamp": (10, 20)})
    case.attributes.update(strides=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1))
    assert MaxPool2d().output_range(kernel_call(case, "call"), [(0, 5)]) == (10, 10)


# --- a model whose sums fit the lanes but for the windows without a tap ------------------------------------------


def empty_window_model(dilated: bool) -> onnx.ModelProto:
    """Relu, MaxPool with a window that lies in the padding alone, Conv of 1x1 with 48 times 86: 127 * 48 * 86 < 2^19,
    128 * 48 * 86 > 2^19."""
    b = QdqBuilder(seed=0)
    x = b.quantize(b.node("Relu", [b.input("x", [1, 48, 3, 4], -4)]), -4)
    if dilated:
        window = {"kernel_shape": [1, 2], "dilations": [1, 6], "pads": [0, 2, 0, 2], "strides": [1, 1]}
        columns = 2
    else:
        window, columns = {"kernel_shape": [1, 2], "pads": [0, 0, 0, 1], "strides": [1, 2], "ceil_mode": 1}, 3
    x = b.quantize(b.node("MaxPool", [x], **window), -4)
    w = b.initializer(np.full((16, 48, 1, 1), 86, np.int8))
    w = b.node("DequantizeLinear", [w, b.scale(-7), b.initializer(np.int8(0))])
    bias = b.node("DequantizeLinear", [b.initializer(np.full(16, -20000, np.int32)), b.scale(-11)])
    b.quantize(b.node("Conv", [x, w, bias]), 2, "y")
    b.output("y", [1, 16, 3, columns])
    return b.model()


def outputs(model: onnx.ModelProto, folder: Path, kernels: Kernels):
    """(what the C for the ESP32-S3 gives on this computer, what the rules give)"""
    compiled = compile_model(model, chip="esp32s3")
    sample = {"x": np.full((1, 1, 48, 3, 4), 7.9, np.float32)}
    rules = NumpyEvaluator(compiled.imported, compiled.partitioned).run({"x": sample["x"][0]}).outputs["y"]
    return Program(write_program(compiled, folder), kernels).run(sample)["y"][0], rules


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    return Kernels()


@pytest.mark.parametrize("dilated", [False, True], ids=["ceil_mode", "dilation"])
def test_windows_in_the_padding_count_in_proofs(dilated, kernels, tmp_path, monkeypatch):
    model = empty_window_model(dilated)
    got, rules = outputs(model, tmp_path / "right", kernels)
    assert got.tobytes() == rules.tobytes()
    # The former rule, that a maximum keeps its input's range: the program ends, and says why.
    monkeypatch.setattr(MaxPool2d, "output_range", lambda self, call, inputs: inputs[0])
    with pytest.raises(UserError, match=f"esp_dl_conv2d_s8_esp32s3: sums from .* {LEAVES}"):
        outputs(model, tmp_path / "wrong", kernels)


def test_the_model_that_failed(kernels, shared_cases, tmp_path):
    folder = shared_cases / "models/empty_window_ceil"
    model, x = onnx.load(str(folder / "model.onnx")), np.load(folder / "in.npy")
    compiled = compile_model(model, chip="esp32s3")
    got = Program(write_program(compiled, tmp_path), kernels).run({"x": x.reshape(-1, 1, 48, 3, 4)})
    rules = NumpyEvaluator(compiled.imported, compiled.partitioned)
    for i, sample in enumerate(x.reshape(-1, 1, 48, 3, 4)):
        for name, array in rules.run({"x": sample}).outputs.items():
            assert got[name][i].tobytes() == array.tobytes()
    assert 484 in got[next(iter(got))]


# --- the stand-ins by themselves -------------------------------------------------------------------------------


def run_pair(pair: Pair, folder: Path) -> subprocess.CompletedProcess:
    source, binary = folder / "program.c", folder / "program"
    source.write_text(program([pair], emulator=False), encoding="utf-8")
    build([source], binary, *STRICT, *SANITIZE)
    return subprocess.run([str(binary)], capture_output=True)


def ones(random, kernel: int, channels: int, borders: bool, depthwise: bool = False):
    """A call whose sums reach 2^19 where inputs lie at an end of int8, and stay far below it in 0..20."""
    while True:
        call = sixteens("depthwise_conv2d" if depthwise else "conv2d", random)
        shape, padded = call.attributes["weights"].shape, any(call.attributes["padding"])
        if shape[0 if depthwise else 1] == kernel and shape[2 if depthwise else 3] == channels and padded == borders:
            break
    count = kernel * kernel * (1 if depthwise else channels)
    call.attributes["weights"] = np.full(shape, 127, np.int8)
    # As few as lanes take.
    call.attributes["shift"] = call.attributes["shift"] % 5
    # What the weights alone cannot reach stands in the bias.
    call.attributes["bias"] = np.full_like(call.attributes["bias"], 2**19 - 1 - min(count * 127 * 100, 2**19 - 1))
    # What lies outside counts as an input.
    call.attributes.pop("pad_value", None)
    return call


def average() -> Call:
    """64 times the sum of 63 values, as an odd number of them keeps it."""
    attributes = {"kernel": (9, 7), "strides": (1, 1), "padding": (0,) * 4, "dilation": (1, 1), "shift": -6}
    attributes.update(clamp=(-128, 127), count_include_pad=False)
    x, y = Tensor("x", (1, 9, 7, 16), "int8"), Tensor("y", (1, 1, 1, 16), "int8")
    return Call("", "average_pool2d", [x], [y], attributes)


RANDOM = np.random.RandomState(4)


@pytest.mark.parametrize(
    "variant, call",
    [
        (Conv2dLanes(), convolution(48, 127)),  # held, over borders
        (Conv2dLanes(), ones(RANDOM, 1, 48, False)),  # held
        (Conv2dLanes(), ones(RANDOM, 1, 16, False)),  # one
        (Conv2dLanes(), ones(RANDOM, 5, 8, True)),  # lanes, or windows that are put together
        (Conv2dLanes(), ones(RANDOM, 3, 3, False)),
        (Conv2dChecked(rows=True, check_bits=11), convolution(48, 127)),
        (Conv2dMeasured(usual=0.6), convolution(48, 127)),
        (DepthwiseLanes(), ones(RANDOM, 3, 32, True, depthwise=True)),
        (DepthwiseLanes(), ones(RANDOM, 5, 16, False, depthwise=True)),
        (Average(AveragePool2d()), average()),
    ],
    ids=lambda value: getattr(value, "operator", ""),
)
def test_sums_that_leave_their_lanes_end_the_program(variant, call, tmp_path):
    """Taken against its proof; with values near 0 the same call runs and is right."""
    assert not variant.fits_range(call, -128, 127)
    pair = Pair(call, variant, -128, 127, np.random.RandomState(0))
    pair.inputs[0][:] = 127
    done = run_pair(pair, tmp_path)
    assert done.returncode != 0 and LEAVES in done.stderr.decode() and variant.kernel in done.stderr.decode()
    pair.inputs[0][:] = np.arange(len(pair.inputs[0])) % 3
    done = run_pair(pair, tmp_path)
    assert done.returncode == 0, done.stderr.decode()[:2000]
