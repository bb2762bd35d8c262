"""Models that other tools quantized: taken as they are, completed, or converted with the loss stated."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pipeline_harness import compile_once_imported
from small_models import model_of, random, small_cnn

from esp_tvm.compile import compile_model
from esp_tvm.convert.qdq import Qdq
from esp_tvm.convert.qdq_float import strip
from esp_tvm.convert.qdq_form import as_it_is, why_not_as_it_is
from esp_tvm.errors import UserError
from esp_tvm.model import load_model
from esp_tvm.preprocess import preprocess_model
from esp_tvm.quantize import Passes, quantize_model, quantize_onnx
from esp_tvm.quantize.foreign import adopt
from esp_tvm.quantize.judge import exact_runner, judge

SAMPLES = {"x": random(12, 1, 3, 8, 8, seed=7)}
PLAIN = Passes(method="minmax", equalize=False, centre=False, fit=False)


@pytest.fixture(scope="module")
def real():
    return preprocess_model(small_cnn()).model


@pytest.fixture(scope="module")
def ours(real):
    return quantize_model(real, SAMPLES, PLAIN).model


def outputs(model):
    run = exact_runner(model)
    return np.concatenate([run({"x": x})[0] for x in SAMPLES["x"]])


# --- taken as it is ---


def foreign(model, **changes):
    """Our model as another tool would have written it."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    model.producer_name = "another"
    for change in changes.values():
        change(model.graph)
    onnx.checker.check_model(model)
    return model


def value_of(graph, name):
    return numpy_helper.to_array(next(t for t in graph.initializer if t.name == name))


def uint8_activations(graph):
    graph.initializer.append(numpy_helper.from_array(np.uint8(128), "zero128"))
    constants = {t.name for t in graph.initializer}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[0] not in constants:
            node.input[2] = "zero128"


def float_biases(graph):
    for node in list(graph.node):
        tensor = next((t for t in graph.initializer if t.name == node.input[0]), None)
        if node.op_type == "DequantizeLinear" and tensor is not None and tensor.data_type == TensorProto.INT32:
            bias = (value_of(graph, node.input[0]) * value_of(graph, node.input[1])).astype(np.float32)
            graph.initializer.append(numpy_helper.from_array(bias, node.output[0]))
            graph.node.remove(node)


def weights_quantized_in_the_graph(graph):
    for node in list(graph.node):
        tensor = next((t for t in graph.initializer if t.name == node.input[0]), None)
        if node.op_type == "DequantizeLinear" and tensor is not None and tensor.data_type == TensorProto.INT8:
            values, scale = value_of(graph, node.input[0]), value_of(graph, node.input[1])
            shape = [-1] + [1] * (values.ndim - 1) if scale.ndim else []
            name = f"{tensor.name}_float"
            graph.initializer.append(numpy_helper.from_array(values * scale.reshape(shape), name))
            made = helper.make_node("QuantizeLinear", [name, *node.input[1:]], [f"{name}_q"], f"{name}_Q")
            made.attribute.extend(node.attribute)
            node.input[0] = f"{name}_q"
            graph.node.insert(0, made)


def no_pairs_around_moves(graph):
    for kind in ("MaxPool", "Flatten", "Reshape"):
        for node in list(graph.node):
            if node.op_type != kind:
                continue
            quantize = next(n for n in graph.node if node.output[0] in n.input)
            dequantize = next(n for n in graph.node if quantize.output[0] in n.input)
            node.output[0] = dequantize.output[0]
            graph.node.remove(quantize)
            graph.node.remove(dequantize)


def no_zero_points(graph):
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            del node.input[2:]


CHANGES = [uint8_activations, float_biases, weights_quantized_in_the_graph, no_pairs_around_moves]


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "changes", [CHANGES, *[slow([c]) for c in [*CHANGES, no_zero_points]]], ids=lambda c: c[-1].__name__
)
def test_powers_of_two_are_taken_as_they_are(ours, changes):
    """Bit for bit, by the step quantize and straight at export, and every operator by a kernel."""
    theirs = foreign(ours, **{c.__name__: c for c in changes})
    expected = outputs(ours)
    assert np.array_equal(outputs(theirs), expected)
    adopted = adopt(theirs, None, Passes())
    assert adopted.state is None and "taken as they are" in adopted.table()
    assert np.array_equal(outputs(adopted.model), expected)
    assert not compile_once_imported(theirs).program.fallbacks
    calls = [(c.operator, c.output.exponent) for c in compile_once_imported(ours).program.computations]
    assert [(c.operator, c.output.exponent) for c in compile_once_imported(theirs).program.computations] == calls


def test_ours_is_left_alone(ours):
    assert as_it_is(ours) is ours
    with pytest.raises(UserError, match="quantized already"):
        adopt(ours, None, Passes())


def test_narrow_range_and_transposed_weights():
    """torch: Clip of the integers; Gemm with weights [I, O]; the weights' zero point folded."""
    constants = {
        "s": np.float32(2**-4),
        "z": np.int8(0),
        "low": np.int8(-127),
        "high": np.int8(127),
        "w": (np.arange(24) - 12).reshape(6, 4).astype(np.int8),
        "ws": np.exp2([-3, -4, -5, -3]).astype(np.float32),
        "wz": np.array([1, 0, -3, 2], np.int8),
        "b": random(4),
        "so": np.float32(2**-3),
    }
    node = helper.make_node
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("Clip", ["q", "low", "high"], ["c"]),
        node("DequantizeLinear", ["c", "s", "z"], ["d"]),
        node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=1),
        node("Gemm", ["d", "wd", "b"], ["g"]),
        node("QuantizeLinear", ["g", "so", "z"], ["gq"]),
        node("DequantizeLinear", ["gq", "so", "z"], ["y"]),
    ]
    model = model_of(nodes, {"x": [1, 6]}, {"y": [1, 4]}, constants)
    assert why_not_as_it_is(Qdq(model)) is None
    compiled = compile_model(model)
    assert not compiled.program.fallbacks and "dense" in [c.operator for c in compiled.program.computations]
    x = np.array([[-20, 9, -8, 0.3, 7.99, -1]], np.float32)
    q = np.clip(np.floor(x * 16 + 0.5), -127, 127)
    w = (constants["w"] - constants["wz"].astype(float)) * constants["ws"]
    bias = np.floor(constants["b"] / (constants["ws"] / 16) + 0.5) * constants["ws"] / 16
    y = np.clip(np.floor((q / 16 @ w + bias) * 8 + 0.5), -128, 127) / 8
    assert np.array_equal(exact_runner(model)({"x": x})[0], y.astype(np.float32))


@pytest.mark.slow
def test_missing_scales_are_completed(ours, real):
    """Only the activations of two convolutions have scales: the rest stays float, or gets scales from samples."""
    theirs = foreign(ours)
    kept = {n.input[0] for n in theirs.graph.node if n.op_type == "Conv"}
    removed = []
    for node in list(theirs.graph.node):
        if node.op_type == "DequantizeLinear" and node.output[0] not in kept:
            maker = next((n for n in theirs.graph.node if n.output[0] == node.input[0]), None)
            if maker is not None and maker.op_type == "QuantizeLinear":
                removed.append((maker, node))
    for maker, node in removed:
        for user in theirs.graph.node:
            user.input[:] = [maker.input[0] if name == node.output[0] else name for name in user.input]
        theirs.graph.node.remove(maker)
        theirs.graph.node.remove(node)
    onnx.checker.check_model(theirs)
    alone = adopt(theirs, None, Passes())
    assert "stays float" in alone.table()
    compiled = compile_model(theirs)
    assert compiled.program.fallbacks
    completed = adopt(theirs, SAMPLES, Passes())
    assert "completed: tensor" in completed.table()
    compiled = compile_model(completed.model)
    assert not compiled.program.fallbacks
    assert judge(real, completed.model, SAMPLES).decibels > judge(real, ours, SAMPLES).decibels - 3


# --- converted ---


class Reader:
    def __init__(self):
        self.left = iter(SAMPLES["x"])

    def get_next(self):
        x = next(self.left, None)
        return None if x is None else {"x": x}


ORT = {
    "uint8": {},
    "per channel": {"per_channel": True, "activation_type": "QInt8"},
    "QOperator": {"quant_format": "QOperator"},
    "QOperator, per channel": {"quant_format": "QOperator", "per_channel": True, "activation_type": "QInt8"},
}


@pytest.mark.parametrize("options", [list(ORT.values())[0], *map(slow, list(ORT.values())[1:])], ids=ORT)
def test_free_scales_are_converted(tmp_path, real, options):
    quantization = pytest.importorskip("onnxruntime.quantization")
    options = dict(options)
    form = getattr(quantization.QuantFormat, options.pop("quant_format", "QDQ"))
    kind = getattr(quantization.QuantType, options.pop("activation_type", "QUInt8"))
    (tmp_path / "real.onnx").write_bytes(real.SerializeToString())
    np.save(tmp_path / "calib.npy", SAMPLES["x"][:, 0])
    quantization.quantize_static(
        str(tmp_path / "real.onnx"),
        str(tmp_path / "theirs.onnx"),
        Reader(),
        quant_format=form,
        activation_type=kind,
        weight_type=quantization.QuantType.QInt8,
        **options,
    )
    loss = {}
    for calibration in (None, tmp_path / "calib.npy"):
        result = quantize_onnx(tmp_path / "theirs.onnx", tmp_path / "done.onnx", calibration)
        assert "no power of two" in result.table() and "loss, on" in result.table()
        made = load_model(tmp_path / "done.onnx")
        assert not compile_model(made).program.fallbacks
        loss[calibration] = judge(real, made, SAMPLES).decibels
    # Relu was left to the range of uint8 there: it must be back.
    assert min(loss.values()) > 15 and loss[tmp_path / "calib.npy"] > 25


@pytest.mark.slow
def test_stripped_model_is_the_float_model(ours, real):
    """Without its rounding, up to the rounding of the weights."""
    stripped, scales = strip(Qdq(ours))
    assert not any("Quantize" in node.op_type for node in stripped.graph.node)
    assert {"x"} <= set(scales) and all(scale.exponent is not None for scale in scales.values())
    assert judge(real, quantize_model(stripped, SAMPLES, PLAIN).model, SAMPLES).decibels > 20


def test_complaints(tmp_path, repo, real):
    (tmp_path / "m.onnx").write_bytes(real.SerializeToString())
    with pytest.raises(UserError, match="--calibrate_dataset"):
        quantize_onnx(tmp_path / "m.onnx", tmp_path / "q.onnx", None)
    node = helper.make_node
    dynamic = model_of([node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])], {"x": [4]}, {"y": [4]}, check=False)
    dynamic.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    (tmp_path / "d.onnx").write_bytes(dynamic.SerializeToString())
    script = [sys.executable, str(repo / "tools/tvm/esp_quantize_onnx.py"), "--input_model", str(tmp_path / "d.onnx")]
    done = subprocess.run([*script, "--output_model", str(tmp_path / "q.onnx")], capture_output=True, text=True)
    assert done.returncode == 2 and "quantized dynamically" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("zero", [-7, -128])
def test_integers_that_are_joined_and_split(zero):
    """tf2onnx leaves Concat, Split and Reshape of TensorFlow Lite's integers without quantizers around each."""
    constants = {"s": np.float32(0.11), "z": np.int8(zero), "shape": np.array([1, 4, 2], np.int64)}
    nodes = [
        helper.make_node("QuantizeLinear", [name, "s", "z"], [f"{name}_q"], f"{name}_quantize") for name in ("x", "h")
    ]
    nodes += [
        helper.make_node("Reshape", ["x_q", "shape"], ["r"], "reshape"),
        helper.make_node("Concat", ["h_q", "r"], ["c"], "concat", axis=1),
        helper.make_node("Split", ["c"], ["a", "b"], "split", axis=2),
        helper.make_node("DequantizeLinear", ["a", "s", "z"], ["a_r"], "a_dequantize"),
        helper.make_node("DequantizeLinear", ["b", "s", "z"], ["b_r"], "b_dequantize"),
        helper.make_node("Mul", ["a_r", "b_r"], ["m"], "mul"),
        helper.make_node("QuantizeLinear", ["m", "s", "z"], ["m_q"], "m_quantize"),
        helper.make_node("DequantizeLinear", ["m_q", "s", "z"], ["y"], "m_dequantize"),
    ]
    model = model_of(nodes, {"x": [1, 8], "h": [1, 3, 2]}, {"y": [1, 7, 1]}, constants)
    real, scales = strip(Qdq(model))
    # What moves values of at least 0 needs no Relu for it.
    assert {n.op_type for n in real.graph.node} - {"Relu"} == {"Reshape", "Concat", "Split", "Mul"}
    assert [n.input[0] for n in real.graph.node if n.op_type == "Relu"] == ["m"] * (zero == -128)
    assert [scales[node.output[0]].zero for node in real.graph.node if node.op_type in ("Concat", "Split")] == [
        zero
    ] * 2
    adopted = adopt(model, None, PLAIN)
    assert not [line for line in adopted.table().splitlines() if "stays float" in line]


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-0.5, 0.5)])
@pytest.mark.parametrize("calibrated", [True, False])
def test_a_clip_that_became_the_range_of_a_tensor_is_one_again(bounds, calibrated):
    """ONNX Runtime's quantizer leaves it out, where the ends of the range saturate as it does."""
    constants = {
        "w": random(8, 3, 3, 3, seed=1),
        "u": random(2, 8, 1, 1, seed=2),
        **dict(zip("lh", map(np.float32, bounds))),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "first"),
        helper.make_node("Clip", ["c", "l", "h"], ["k"], "clip"),
        helper.make_node("Conv", ["k", "u"], ["y"], "second"),
    ]
    real = model_of(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 2, 6, 6]}, constants)
    scale = np.float32((bounds[1] - bounds[0]) / 255)
    given = {"xs": np.float32(0.03), "xz": np.uint8(128), "s": scale, "z": np.uint8(round(-bounds[0] / scale))}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"], "x_q"),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"], "x_d"),
        helper.make_node("Conv", ["xd", "w"], ["c"], "first"),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["q"], "c_q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], "c_d"),
        helper.make_node("Conv", ["d", "u"], ["y"], "second"),
    ]
    theirs = model_of(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 2, 6, 6]}, {**constants, **given})
    made = adopt(theirs, SAMPLES if calibrated else None, PLAIN).model
    assert judge(real, made, SAMPLES).decibels > 28


@pytest.mark.parametrize("calibrated", [True, False])
def test_what_an_input_is_cut_off_at_stays(calibrated):
    """Values below 0 and above 1 are 0 and 1 to the given model, which has a zero point of 0 in uint8."""
    s = np.float32(1 / 255)
    constants = {"w": random(8, 3, 3, 3, seed=1), "s": s, "z": np.uint8(0), "ys": np.float32(0.11), "yz": np.uint8(128)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "x_q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], "x_d"),
        helper.make_node("Conv", ["d", "w"], ["c"], "conv"),
        helper.make_node("QuantizeLinear", ["c", "ys", "yz"], ["e"], "c_q"),
        helper.make_node("DequantizeLinear", ["e", "ys", "yz"], ["y"], "c_d"),
    ]
    theirs = model_of(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 8, 6, 6]}, constants)
    made = adopt(theirs, SAMPLES if calibrated else None, PLAIN)
    assert ("is cut off at 0 and 1" in made.table()) == (not calibrated)
    assert judge(theirs, made.model, SAMPLES).decibels > (28 if calibrated else 22)
    compiled = compile_model(made.model)
    assert not compiled.program.fallbacks
    # On one side alone, too.
    below = {"x": np.minimum(SAMPLES["x"], 1)}
    assert judge(theirs, adopt(theirs, below, PLAIN).model, below).decibels > 28
    # Where no sample has anything to cut off, nothing is spent on it.
    within = adopt(theirs, {"x": np.clip(SAMPLES["x"], 0, 1)}, PLAIN).model
    assert not any(node.op_type == "Clip" for node in within.graph.node)


def test_pairs_for_each_reader_and_pads_of_integers():
    """As ONNX Runtime's DedicatedQDQPair and its Pad of integers have them."""
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    constants = {"s": np.float32(0.11), "z": np.uint8(7), "pads": pads}
    nodes = [helper.make_node("Neg", ["x"], ["n"], "neg")]
    for name in "ab":
        nodes.append(helper.make_node("QuantizeLinear", ["n", "s", "z"], [f"{name}_q"], f"{name}_quantize"))
    nodes += [
        helper.make_node("Pad", ["a_q", "pads", "z"], ["p"], "pad"),
        helper.make_node("Pad", ["b_q", "pads"], ["o"], "other"),
        *(helper.make_node("DequantizeLinear", [name, "s", "z"], [f"{name}_r"], f"{name}_d") for name in "po"),
        helper.make_node("Mul", ["p_r", "o_r"], ["y"], "mul"),
    ]
    model = model_of(nodes, {"x": [1, 2, 3, 3]}, {"y": [1, 2, 5, 5]}, constants)
    real, _ = strip(Qdq(model))
    assert [node.op_type for node in real.graph.node] == ["Neg", "Pad", "Pad", "Mul"]
    run, x = exact_runner(real), random(1, 2, 3, 3)
    np.testing.assert_allclose(
        run({"x": x})[0],
        np.pad(-x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        * np.pad(-x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-7 * 0.11),
        rtol=1e-5,
    )
