"""ESP-DL's .espdl files: their weights, their graph as ONNX, the same integers in the program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from espdl_files import EspdlBuilder, stored
from espdl_network import (
    B1,
    B3,
    B4,
    E_1,
    E_2,
    E_3,
    E_4,
    E_6,
    E_W3,
    E_X,
    E_Y,
    SLOPE,
    W1,
    W2,
    W3,
    W4,
    integers,
    network,
    refused,
)
from onnx import numpy_helper
from pipeline_harness import Kernels, Program, write_program

from esp_tvm.compile import compile_model
from esp_tvm.convert.convert import convert, summary
from esp_tvm.convert.espdl.layouts import block_of, unblocked
from esp_tvm.errors import UserError
from esp_tvm.model import inputs_of, load_model, outputs_of, run_session, session
from esp_tvm.quantize import quantize_model
from esp_tvm.quantize.foreign import adopt
from esp_tvm.quantize.passes import Passes

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tools/tvm/onnx_from.py"


# --- weights ---


@pytest.mark.parametrize("outputs", [1, 5, 16, 37])
@pytest.mark.parametrize("grouped, inputs", [(False, 3), (True, 1), (True, 2)])
@pytest.mark.parametrize("block", [16, 8])
def test_weights_are_what_they_were(outputs, grouped, inputs, block):
    weights = integers(outputs, inputs, 3, 2)
    assert np.array_equal(unblocked(stored(weights, grouped, block), weights.shape, block, grouped), weights)


def test_weights_without_blocks():
    weights = integers(5, 3, 2, 2)
    assert np.array_equal(unblocked(weights.transpose(0, 2, 3, 1), weights.shape, 0, False), weights)
    assert np.array_equal(unblocked(weights.transpose(2, 3, 1, 0), weights.shape, 0, True), weights)


def test_names_of_layouts():
    assert [block_of(f"(N/{n})HWC{n}") for n in (16, 8)] == [16, 8]
    assert block_of("N16HWC16_UNALIGNED") == block_of("(N/16)WC16_UNALIGNED") == 16
    assert block_of("NHWC") == block_of("HWCN") == 0
    assert block_of("") is block_of("NCHW") is block_of("(N/16)HWC8") is None


# --- a whole network ---


def sat(x):
    return np.clip(x, -128, 127)


def rshift(x, s):
    return np.floor(x * 2.0 ** -np.asarray(s, np.float64) + 0.5).astype(np.int64)


def convolved(x, w, b, stride, shift):
    """int8 [H, W, C] by [O, I, 3, 3] with a border of zeros; I is 1 of a depthwise one."""
    height, width, _ = x.shape
    padded = np.pad(x.astype(np.int64), ((1, 1), (1, 1), (0, 0)))
    total = np.zeros((height // stride, width // stride, len(w)), np.int64)
    for i in range(3):
        for j in range(3):
            part = padded[i : i + height : stride, j : j + width : stride]
            total += part * w[:, 0, i, j] if w.shape[1] == 1 else part @ w[:, :, i, j].astype(np.int64).T
    return sat(rshift(total + b, shift))


def expected(x):
    """The integers y of the integers x [8, 8, 3], step by step as docs/arithmetic.md has them."""
    a = np.maximum(convolved(x, W1, B1, 1, E_1 - E_X + 7), 0)
    d = convolved(a, W2, 0, 2, E_2 - E_1 + 7)
    p = np.where(d >= 0, d, sat(rshift(d * SLOPE.reshape(-1).astype(np.int64), 6)))
    q = sat(rshift(p, E_3 - E_2))
    r = sat(rshift(p @ W3[:, :, 0, 0].astype(np.int64).T + B3, E_3 - E_2 - np.array(E_W3)))
    s = sat(rshift(q + r, E_4 - E_3))
    # p lies at the exponent of s already.
    c = np.concatenate([s, p], -1)
    m = sat(np.floor(c.sum((0, 1)) * 2.0 ** (E_4 - E_6) / 16 + 0.5).astype(np.int64))
    return sat(rshift(m @ W4.astype(np.int64).T + B4, E_Y - E_6 + 8))


@pytest.fixture(scope="module")
def kernels():
    return Kernels()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.espdl"
    path.write_bytes(network().bytes(["x"], ["y"]))
    return path


def test_program_computes_the_integers_of_the_file(file, tmp_path, kernels):
    convert(file, tmp_path / "small.onnx")
    model = load_model(tmp_path / "small.onnx")
    assert inputs_of(model) == [("x", (1, 8, 8, 3), "float32")] and outputs_of(model) == [("y", (1, 5), "float32")]
    adopted = adopt(model, None, Passes(), "small.onnx")
    assert "taken as they are" in adopted.table() and "no scale" not in adopted.table()
    compiled = compile_model(adopted.model)
    program = Program(write_program(compiled, tmp_path), kernels)
    assert not [call for call in program.program.kernels if call.is_fallback]
    x = integers(6, 8, 8, 3, seed=9)
    given = {"x": (x[:, None] * 2.0**E_X).astype(np.float32)}
    wanted = np.stack([expected(one) for one in x])
    assert len(np.unique(wanted)) > 15
    assert np.array_equal(program.run(given)["y"].reshape(6, 5), wanted * 2.0**E_Y)


def test_exponents_are_those_of_the_file(file, tmp_path):
    convert(file, tmp_path / "small.onnx")
    graph = load_model(tmp_path / "small.onnx").graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    scales = [float(constants[node.input[1]]) for node in graph.node if node.op_type == "QuantizeLinear"]
    assert sorted(scales) == sorted(2.0**e for e in (E_X, E_1, E_2, E_2, E_3, E_3, E_4, E_4, E_6, E_6, E_Y))


def test_float_is_what_the_integers_stand_for(file, tmp_path):
    convert(file, tmp_path / "small.onnx", as_float=True)
    model = load_model(tmp_path / "small.onnx")
    assert not {"QuantizeLinear", "DequantizeLinear"} & {node.op_type for node in model.graph.node}
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    real = np.exp2(np.array(E_W3, np.float32)).reshape(-1, 1, 1, 1) * W3
    assert any(array.shape == W3.shape and np.array_equal(array, real) for array in weights.values())
    x = integers(8, 8, 3, seed=9, low=-30, high=30)
    y = run_session(session(model), ["y"], {"x": (x[None] * 2.0**E_X).astype(np.float32)})[0]
    assert np.abs(y[0] - expected(x) * 2.0**E_Y).max() < 6 * 2.0**E_Y
    # It may be quantized anew.
    samples = {"x": (integers(4, 1, 8, 8, 3, low=-30, high=30) * 2.0**E_X).astype(np.float32)}
    assert quantize_model(model, samples, Passes(method="minmax", equalize=False, fit=False)).model


def test_test_values_of_the_file_are_compared(tmp_path):
    b, path = network(), tmp_path / "small.espdl"
    x = integers(8, 8, 3, seed=9)
    b.tests = {"x": x[None], "y": expected(x)[None].astype(np.int8)}
    path.write_bytes(b.bytes(["x"], ["y"]))
    result = convert(path, tmp_path / "small.onnx")
    assert result.differences[0].absolute <= 2.0**E_Y
    assert "largest difference" in "\n".join(summary(result, path, "small.onnx"))
    (tmp_path / "small.onnx").unlink()
    b.tests["y"] = (-b.tests["y"]).astype(np.int8)
    path.write_bytes(b.bytes(["x"], ["y"]))
    assert "does not compute what its source does" in refused(path)


# --- other operators ---


def one_node(tmp_path, build):
    """The ONNX model of a file that `build` fills: from x [1, 6, 6, 4], a channel-last image behind a pool."""
    b = EspdlBuilder()
    b.tensor("x", [1, 6, 6, 4], -4)
    b.tensor("i", [1, 6, 6, 4], -4)
    b.node("MaxPool", ["x"], "i", kernel_shape=[1, 1], strides=[1, 1], pads=[0, 0, 0, 0])
    build(b)
    path = tmp_path / "one.espdl"
    path.write_bytes(b.bytes(["x"], ["y"]))
    convert(path, tmp_path / "one.onnx")
    model = load_model(tmp_path / "one.onnx")
    x = (integers(1, 6, 6, 4, seed=2) * 2.0**-4).astype(np.float32)
    return run_session(session(model), ["y"], {"x": x})[0], x


def rounded(x, exponent):
    return np.clip(np.floor(x * 2.0**-exponent + 0.5), -128, 127) * 2.0**exponent


@pytest.mark.parametrize("group, exponents", [(1, [-5]), (1, [-5, -6, -4, -5]), (4, [-5])])
def test_zeros_between_pixels_make_a_transposed_convolution(tmp_path, group, exponents):
    weights = integers(4, 4 // group, 3, 3, low=-12, high=12)

    def build(b):
        b.tensor("z", [1, 12, 11, 4], -4)
        b.tensor("y", [1, 12, 11, 4], -3)
        b.node("InsertZeros", ["i"], "z", stride=[2, 2], output_padding=[1, 0])
        b.conv("z", "y", weights, exponents, group=group, pads=[1, 1, 1, 1])

    y, x = one_node(tmp_path, build)
    spread = np.pad(np.zeros((12, 11, 4)), ((1, 1), (1, 1), (0, 0)))
    spread[1:12:2, 1:12:2] = x[0]
    real = weights * np.exp2(np.resize(exponents, 4)).reshape(4, 1, 1, 1)
    total = np.zeros((12, 11, 4))
    for i in range(3):
        for j in range(3):
            part = spread[i : i + 12, j : j + 11]
            total += part * real[:, 0, i, j] if group > 1 else part @ real[:, :, i, j].T
    assert np.array_equal(y[0], np.clip(np.rint(total * 8), -128, 127) / 8)


def test_axes_are_those_of_the_file(tmp_path):
    def build(b):
        b.tensor("y", [1, 6, 12, 4], -4)
        b.node("Concat", ["i", "i"], "y", axis=2)

    y, x = one_node(tmp_path, build)
    assert np.array_equal(y, np.concatenate([x, x], 2))


def test_softmax_along_channels_gives_floats(tmp_path):
    def build(b):
        b.tensor("y", [1, 6, 6, 4], 0, "float32")
        b.node("Softmax", ["i"], "y", axis=3)

    y, x = one_node(tmp_path, build)
    assert np.allclose(y, np.exp(x) / np.exp(x).sum(-1, keepdims=True), atol=1e-6)


def test_constant_operand_of_a_sum(tmp_path):
    offsets = integers(1, 1, 1, 4)

    def build(b):
        b.tensor("y", [1, 6, 6, 4], -3)
        b.node("Add", ["i", b.constant("k", offsets, [-4])], "y")

    y, x = one_node(tmp_path, build)
    assert np.abs(y - rounded(x + offsets * 2.0**-4, -3)).max() <= 2.0**-3


def test_sizes_of_a_resize_stay_channels_first(tmp_path):
    def build(b):
        b.tensor("y", [1, 12, 6, 4], -4)
        scales = b.constant("k", np.array([1, 1, 2, 1], np.float32))
        ways = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        b.node("Resize", ["i", "", scales], "y", **ways)

    y, x = one_node(tmp_path, build)
    assert np.array_equal(y, x.repeat(2, 1))


def test_mean_over_axes_as_an_input(tmp_path):
    def build(b):
        b.tensor("y", [1, 4], -5)
        b.node("ReduceMean", ["i", b.constant("k", np.array([1, 2]))], "y", keepdims=0)

    y, x = one_node(tmp_path, build)
    assert np.abs(y - rounded(x.mean((1, 2)), -5)).max() <= 2.0**-5


def test_matrices_are_blocked_too(tmp_path):
    weights = integers(4, 18, low=-20, high=20)

    def build(b):
        b.tensor("y", [1, 6, 6, 18], 0)
        blocked = stored(np.ascontiguousarray(weights.T)[:, :, None, None]).reshape(4, 18)
        b.node("MatMul", ["i", b.constant("k", blocked, [-3], "(N/16)HWC16_UNALIGNED")], "y")

    y, x = one_node(tmp_path, build)
    assert np.array_equal(y, np.clip(np.rint(x.astype(np.float64) @ (weights * 2.0**-3)), -128, 127))


def in_blocks(b, name, rows, columns):
    """Adds the nodes by which the exporter brings [1, rows, columns] into blocks; returns the last tensor."""

    def add(op_type, inputs, output, shape, **attributes):
        b.tensor(output, shape, -4)
        return b.node(op_type, inputs, output, **attributes)

    def reshaped(x, output, shape):
        return add("Reshape", [x, b.constant(f"{output}_shape", np.array(shape))], output, shape)

    blocks, whole = columns // 16, columns // 16 * 16
    if columns == whole:
        split = reshaped(name, "split", [1, rows, blocks, 16])
        return reshaped(
            add("Transpose", [split], "turned", [1, blocks, rows, 16], perm=[0, -2, -3, -1]),
            "blocked",
            [1, rows, columns],
        )
    turned = add("Transpose", [name], "turned", [1, columns, rows], perm=[0, -1, -2])
    if not blocks:
        return reshaped(turned, "blocked", [1, rows, columns])

    def window(output, start, end):
        bounds = [[0, start, 0], [1, end, rows], [0, 1, 2], [1, 1, 1]]
        names = [b.constant(f"{output}_{i}", np.array(values)) for i, values in enumerate(bounds)]
        return add("Slice", [turned, *names], output, [1, end - start, rows])

    split = reshaped(window("head", 0, whole), "split", [1, blocks, 16, rows])
    head = reshaped(
        add("Transpose", [split], "sides", [1, blocks, rows, 16], perm=[0, -3, -1, -2]), "heads", [1, whole, rows]
    )
    joined = add("Concat", [head, window("tail", whole, columns)], "joined", [1, columns, rows], axis=1)
    return reshaped(joined, "blocked", [1, rows, columns])


@pytest.mark.parametrize("columns", [32, 36, 6, 20, 1])
@pytest.mark.parametrize("turned_before", [False, True])
def test_product_of_two_computed_tensors(tmp_path, columns, turned_before):
    """The second operand's blocks are undone, also where the exporter merged them with a Transpose before them."""
    rows, b, path = 8, EspdlBuilder(), tmp_path / "two.espdl"
    stored_shape = [1, columns, rows] if turned_before else [1, rows, columns]
    b.tensor("x", [1, 5, rows], -4)
    b.tensor("k", stored_shape, -4)
    b.tensor("r", stored_shape, -4)
    b.tensor("y", [1, 5, columns], -1)
    b.node("Relu", ["k"], "r")
    start = "r"
    if turned_before:
        b.tensor("t", [1, rows, columns], -4)
        start = b.node("Transpose", ["r"], "t", perm=[0, 2, 1])
    b.node("MatMul", ["x", in_blocks(b, start, rows, columns)], "y", activation="Linear")
    path.write_bytes(b.bytes(["x", "k"], ["y"]))
    convert(path, tmp_path / "two.onnx")
    model = load_model(tmp_path / "two.onnx")
    assert not {"Slice", "Concat"} & {node.op_type for node in model.graph.node}
    x, k = (integers(*shape, seed=3) * 2.0**-4 for shape in ([1, 5, rows], stored_shape))
    matrix = np.maximum(k, 0).transpose(0, 2, 1) if turned_before else np.maximum(k, 0)
    feeds = {"x": x.astype(np.float32), "k": k.astype(np.float32)}
    y = run_session(session(model), ["y"], feeds)[0]
    assert np.array_equal(y, np.clip(np.rint(x @ matrix * 2), -128, 127) / 2)


def test_another_order_of_a_computed_operand_is_refused(tmp_path):
    b, path = EspdlBuilder(), tmp_path / "two.espdl"
    for name, shape in (("x", [1, 5, 8]), ("k", [1, 8, 32]), ("y", [1, 5, 32])):
        b.tensor(name, shape, -4)
    b.node("MatMul", ["x", "k"], "y")
    path.write_bytes(b.bytes(["x", "k"], ["y"]))
    assert "'y_node' (MatMul): the order of its second operand" in refused(path)


def sigmoid_table(e_x, e_y):
    values = 1 / (1 + np.exp(-np.arange(-128, 128) * 2.0**e_x))
    return np.clip(np.floor(values * 2.0**-e_y + 0.5), -128, 127).astype(np.int8)


def test_table_of_a_function(tmp_path):
    def build(b, shift=0):
        b.tensor("y", [1, 6, 6, 4], -7)
        b.constant("Sigmoid_lut_0", np.roll(sigmoid_table(-4, -7), shift), [-7])
        b.node("Sigmoid", ["i"], "y", lut="Sigmoid_lut_0")

    y, x = one_node(tmp_path, build)
    assert np.abs(y - rounded(1 / (1 + np.exp(-x)), -7)).max() <= 2.0**-7
    (tmp_path / "one.onnx").unlink()
    with pytest.raises(
        UserError, match=r"node 'y_node' \(Sigmoid\): the table in the file is not that of this function"
    ):
        one_node(tmp_path, lambda b: build(b, 9))


def test_swish_is_newer_than_the_opset_that_is_written(tmp_path):
    def build(b):
        b.tensor("y", [1, 6, 6, 4], -4)
        b.node("Swish", ["i"], "y")

    y, x = one_node(tmp_path, build)
    assert np.abs(y - rounded(x / (1 + np.exp(-x)), -4)).max() <= 2.0**-4


# --- Espressif's own ---


@pytest.fixture(scope="module")
def espressif(shared_models):
    if not (shared_models / "espdl").is_dir():
        pytest.skip("no models of ESP-DL beside the project (../shared/models/espdl)")
    return shared_models / "espdl"


def clock() -> np.ndarray:
    """A clock on a wall, drawn: RGB [224, 224, 3], 0 to 255."""
    y, x = np.mgrid[:224, :224].astype(float)
    picture = np.full((224, 224, 3), 200.0)

    def disc(angle, distance, radius, colour):
        row, column = 112 - distance * np.cos(angle), 112 + distance * np.sin(angle)
        picture[(y - row) ** 2 + (x - column) ** 2 < radius**2] = colour

    disc(0, 0, 95, (40, 30, 30))
    disc(0, 0, 85, (245, 245, 235))
    for minute in range(60):
        whole = minute % 5 == 0
        for distance in np.linspace(72 if whole else 79, 82, 30):
            disc(minute * np.pi / 30, distance, 2.2 if whole else 0.9, (20, 20, 20))
    for angle, length, radius in ((5.2, 45, 4), (1.0, 65, 3)):
        for distance in np.linspace(-8, length, 90):
            disc(angle, distance, radius, (15, 15, 15))
    return picture


@pytest.mark.parametrize("chip", ["s3", "p4"])
def test_mobilenet_knows_a_clock(espressif, chip, tmp_path):
    path = tmp_path / "model.onnx"
    convert(espressif / f"imagenet_cls_mobilenetv2_s8_v1_{chip}.espdl", path)
    x = (clock() - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
    y = run_session(session(load_model(path)), ["466"], {"input.1": x[None].astype(np.float32)})[0][0]
    # Of ImageNet's classes: analog clock, wall clock.
    assert set(np.argsort(-y)[:2]) == {409, 892}


@pytest.mark.slow
@pytest.mark.parametrize("chip", ["s3", "p4"])
def test_mobilenet_knows_a_cat(espressif, chip, tmp_path, kernels):
    """scikit-image's photograph, which make example-image brings, by ONNX Runtime and by the generated C."""
    photograph = ROOT / "build/env/image_classification/skimage/data/chelsea.png"
    if not photograph.is_file():
        pytest.skip("no photograph of a cat; make example-image installs scikit-image's")
    from PIL import Image

    with Image.open(photograph) as file:
        pixels = np.asarray(file.convert("RGB").resize((224, 224), Image.BILINEAR), float)
    x = ((pixels - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375])[None].astype(np.float32)
    convert(espressif / f"imagenet_cls_mobilenetv2_s8_v1_{chip}.espdl", tmp_path / "model.onnx")
    model = load_model(tmp_path / "model.onnx")
    in_onnx = run_session(session(model), ["466"], {"input.1": x})[0]
    compiled = compile_model(adopt(model, None, Passes(), "model.onnx").model)
    in_c = Program(write_program(compiled, tmp_path), kernels).run({"input.1": x[None]})["466"]
    for scores in (in_onnx, in_c):
        # Of ImageNet's classes: tabby, tiger cat, Egyptian cat.
        assert {281, 282, 285} <= set(np.argsort(-scores.reshape(1000))[:5]), np.argsort(-scores.reshape(1000))[:5]


def test_all_are_taken_as_they_are(espressif, tmp_path):
    paths = sorted(espressif.glob("*.espdl"))
    assert len(paths) >= 5
    for path in paths:
        convert(path, tmp_path / "model.onnx")
        model = load_model(tmp_path / "model.onnx")
        adopted = adopt(model, None, Passes(), path)
        assert "taken as they are" in adopted.table() and "no scale" not in adopted.table(), path
        onnx.checker.check_model(adopted.model)
