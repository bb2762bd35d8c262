import hashlib
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from small_models import HOSTILE_NAMES, model_of, random, small_cnn

from esp_tvm.errors import UserError
from esp_tvm.preprocess import preprocess_model
from esp_tvm.quantize import Passes, quantize_model, quantize_onnx
from esp_tvm.quantize.calibrate import LOCAL_METHODS, Histogram, choose_exponent, covering_exponent
from esp_tvm.quantize.rules import RULES
from esp_tvm.quantize.weights import quantize_weights, real_weights


def samples_for(shape, count=8, scale=1.0):
    return {"x": random(count, *shape, scale=scale, seed=5)}


def quantized(nodes, shape, out, constants=(), opset=13, scale=1.0, **options):
    model = model_of(nodes, {"x": shape}, {"y": out}, constants, opset)
    return quantize_model(model, samples_for(shape, scale=scale), Passes(**options))


def node(kind, inputs, outputs, name="", **attributes):
    return helper.make_node(kind, inputs, outputs, name, **attributes)


class Graph:
    """The QDQ graph as the compiler will read it."""

    def __init__(self, model):
        onnx.checker.check_model(model)
        self.model = model
        self.nodes = list(model.graph.node)
        self.constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.producer = {o: n for n in self.nodes for o in n.output}

    def one(self, kind):
        (found,) = [n for n in self.nodes if n.op_type == kind]
        return found

    def exponent(self, scale):
        mantissa, exponent = np.frexp(self.constants[scale])
        assert np.all(mantissa == 0.5), "a scale is no power of two"
        return exponent - 1

    def dequantized(self, name):
        """(source: constant or tensor name, exponent) of a tensor that a DequantizeLinear makes."""
        made = self.producer.get(name)
        assert made is not None and made.op_type == "DequantizeLinear", f"{name} is not dequantized"
        return self.constants.get(made.input[0], made.input[0]), self.exponent(made.input[1])

    def quantizer(self, name):
        (found,) = [n for n in self.nodes if name in n.input]
        assert found.op_type == "QuantizeLinear"
        return int(self.exponent(found.input[1]))

    def check(self):
        """All scales powers of two, zero points 0, types as agreed; ONNX Runtime loads it."""
        for n in self.nodes:
            if n.op_type in ("QuantizeLinear", "DequantizeLinear"):
                self.exponent(n.input[1])
                zero = self.constants[n.input[2]]
                assert not zero.any() and zero.dtype in (np.int8, np.int32)
        names = [n.name for n in self.nodes]
        assert all(names) and len(set(names)) == len(names)
        return onnxruntime.InferenceSession(self.model.SerializeToString())


# --- one operator ---


def test_conv_relu_with_per_channel_weights_and_int32_bias():
    weights = random(4, 3, 3, 3) * np.array([8, 1, 0.1, 0.01], np.float32)[:, None, None, None]
    bias = random(4)
    result = quantized(
        [node("Conv", ["x", "w", "b"], ["c"]), node("Relu", ["c"], ["y"])],
        [1, 3, 6, 6],
        [1, 4, 4, 4],
        {"w": weights, "b": bias},
        equalize=False,
        correct_bias=False,
        fit=False,
        method="minmax",
    )
    graph = Graph(result.model)
    graph.check()
    conv = graph.one("Conv")
    _, e_x = graph.dequantized(conv.input[0])
    values, e_w = graph.dequantized(conv.input[1])
    whole, e_b = graph.dequantized(conv.input[2])
    assert values.dtype == np.int8 and whole.dtype == np.int32
    assert len(set(e_w)) == 4 and np.array_equal(e_b, e_x + e_w)
    scale = np.exp2(e_w.astype(float))
    # The tops of most rows are used: clipping a few weights by at most one exponent is a choice.
    assert (np.abs(values).reshape(4, -1).max(axis=1) >= 63).all()
    error = np.abs(values * scale[:, None, None, None] - weights).reshape(4, -1)
    assert (np.median(error, axis=1) <= scale / 2).all()
    assert np.abs(whole * np.exp2(e_b.astype(float)) - bias).max() <= np.exp2(e_b.astype(float)).max() / 2
    # Nothing between Conv and its Relu; the output dequantized under the model's own name.
    assert graph.one("Relu").input[0] == conv.output[0]
    assert graph.producer["y"].op_type == "DequantizeLinear"


def test_per_tensor_weights_have_a_scalar_scale():
    result = quantized(
        [node("Conv", ["x", "w"], ["y"])], [1, 3, 6, 6], [1, 4, 4, 4], {"w": random(4, 3, 3, 3)}, per_channel=False
    )
    graph = Graph(result.model)
    graph.check()
    assert graph.dequantized(graph.one("Conv").input[1])[1].shape == ()


@pytest.mark.parametrize("trans_b, alpha, beta", [(0, 1.0, 1.0), (1, 0.5, 2.0), (0, -1.5, 0.25)])
def test_gemm_becomes_one_normal_form(trans_b, alpha, beta):
    weights = random(6, 4) if trans_b == 0 else random(4, 6)
    gemm = node("Gemm", ["x", "w", "b"], ["y"], transB=trans_b, alpha=alpha, beta=beta)
    model = model_of([gemm], {"x": [1, 6]}, {"y": [1, 4]}, {"w": weights, "b": random(1, 4)})
    result = quantize_model(model, samples_for([1, 6]))
    graph = Graph(result.model)
    session = graph.check()
    made = graph.one("Gemm")
    assert graph.dequantized(made.input[1])[0].shape == (4, 6)
    x = samples_for([1, 6])["x"][0]
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    step = 2.0 ** result.exponents["y"]
    assert np.abs(session.run(None, {"x": x})[0] - expected).max() < 4 * step


@pytest.mark.parametrize("constant_first", [False, True])
def test_matmul_and_add_become_one(constant_first):
    add = ["b", "m"] if constant_first else ["m", "b"]
    nodes = [node("MatMul", ["x", "w"], ["m"], "mm"), node("Add", add, ["a"]), node("Relu", ["a"], ["y"])]
    result = quantized(nodes, [2, 6], [2, 4], {"w": random(6, 4), "b": random(4)})
    graph = Graph(result.model)
    graph.check()
    gemm = graph.one("Gemm")
    assert gemm.name == "mm" and graph.dequantized(gemm.input[2])[0].dtype == np.int32
    assert sum(n.op_type == "QuantizeLinear" for n in graph.nodes) == 2


def test_matmul_of_three_axes_has_its_bias_on_the_add():
    nodes = [node("MatMul", ["x", "w"], ["m"]), node("Add", ["b", "m"], ["y"])]
    result = quantized(nodes, [1, 3, 6], [1, 3, 4], {"w": random(6, 4) * np.float32([1, 2, 4, 8]), "b": random(4)})
    graph = Graph(result.model)
    graph.check()
    matmul, add = graph.one("MatMul"), graph.one("Add")
    values, e_w = graph.dequantized(matmul.input[1])
    whole, e_b = graph.dequantized(add.input[0])
    assert values.shape == (6, 4) and whole.dtype == np.int32 and add.input[1] == matmul.output[0]
    assert graph.producer[matmul.input[1]].attribute[0].i == 1
    assert np.array_equal(e_b, graph.dequantized(matmul.input[0])[1] + e_w)


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul"])
def test_two_activations(kind):
    nodes = [node("Relu", ["x"], ["r"]), node(kind, ["x", "r"], ["s"]), node("Clip", ["s", "lo", "hi"], ["y"])]
    model = model_of(nodes, {"x": [1, 3, 4, 4]}, {"y": [1, 3, 4, 4]}, {"lo": np.float32(-1), "hi": np.float32(6)})
    graph = Graph(quantize_model(model, samples_for([1, 3, 4, 4])).model)
    graph.check()
    # All this depends on x alone, value by value: one table, nothing quantized in between.
    assert sum(n.op_type == "QuantizeLinear" for n in graph.nodes) == 2


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul"])
def test_residual(kind):
    nodes = [
        node("MaxPool", ["x"], ["p"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node(kind, ["x", "p"], ["s"]),
        node("Relu", ["s"], ["y"]),
    ]
    graph = Graph(quantized(nodes, [1, 3, 4, 4], [1, 3, 4, 4]).model)
    graph.check()
    both = graph.one(kind)
    assert all(graph.dequantized(name) for name in both.input) and graph.one("Relu").input[0] == both.output[0]


@pytest.mark.parametrize(
    "move, shape, out, constants",
    [
        (node("MaxPool", ["c"], ["y"], kernel_shape=[2, 2]), [1, 2, 4, 4], [1, 2, 3, 3], {}),
        (node("GlobalMaxPool", ["c"], ["y"]), [1, 2, 4, 4], [1, 2, 1, 1], {}),
        (node("Reshape", ["c", "to"], ["y"]), [1, 2, 4, 4], [1, 32], {"to": np.array([1, 32])}),
        (node("Flatten", ["c"], ["y"]), [1, 2, 4, 4], [1, 32], {}),
        (node("Transpose", ["c"], ["y"], perm=[0, 2, 3, 1]), [1, 2, 4, 4], [1, 4, 4, 2], {}),
        (node("Squeeze", ["c", "to"], ["y"]), [1, 2, 4, 4], [2, 4, 4], {"to": np.array([0])}),
        (node("Unsqueeze", ["c", "to"], ["y"]), [1, 2, 4, 4], [1, 1, 2, 4, 4], {"to": np.array([0])}),
    ],
)
def test_moves_keep_the_exponent(move, shape, out, constants):
    conv = node("Conv", ["x", "w"], ["c"])
    result = quantized([conv, move], shape, out, {"w": random(2, 2, 1, 1), **constants})
    assert result.exponents["y"] == result.exponents["c"]
    Graph(result.model).check()


@pytest.mark.parametrize("kind", ["Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "Exp", "Relu"])
def test_functions_of_one_value(kind):
    result = quantized([node(kind, ["x"], ["y"])], [1, 20], [1, 20], opset=14)
    graph = Graph(result.model)
    graph.check()
    made = graph.one(kind)
    graph.dequantized(made.input[0])
    graph.quantizer(made.output[0])
    assert result.noise["y"].decibels > 25


def test_functions_spelled_out_are_one_table():
    swish = [node("Sigmoid", ["x"], ["s"]), node("Mul", ["x", "s"], ["y"])]
    gelu = [
        node("Div", ["x", "root"], ["a"]),
        node("Erf", ["a"], ["b"]),
        node("Add", ["b", "one"], ["c"]),
        node("Mul", ["x", "c"], ["d"]),
        node("Mul", ["d", "half"], ["y"]),
    ]
    constants = {"root": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)}
    for nodes in (swish, gelu):
        used = {n for one in nodes for n in one.input}
        graph = Graph(quantized(nodes, [1, 20], [1, 20], {k: v for k, v in constants.items() if k in used}).model)
        graph.check()
        assert sum(n.op_type == "QuantizeLinear" for n in graph.nodes) == 2


def test_softmax_at_the_end_is_float_and_inside_is_int8():
    end = quantized([node("Softmax", ["x"], ["y"])], [1, 10], [1, 10])
    assert Graph(end.model).producer["y"].op_type == "Softmax"
    nodes = [node("Softmax", ["x"], ["s"]), node("Tanh", ["s"], ["y"])]
    inside = quantized(nodes, [1, 10], [1, 10], scale=4.0)
    assert inside.exponents["s"] == -7
    Graph(inside.model).check()


def test_softmax_of_a_long_row_is_finer_inside_but_not_where_it_ends_the_model():
    """Its values are small: of most of 200 at 2^-7 nothing would be left. What an output clips is lost for good."""
    nodes = [node("Softmax", ["x"], ["s"]), node("Mul", ["s", "w"], ["y"])]
    inside = quantized(nodes, [1, 200], [1, 200], {"w": random(1, 200)})
    powers = np.exp(samples_for([1, 200])["x"].astype(np.float64))
    most = (powers / powers.sum(axis=-1, keepdims=True)).max()
    exponent = inside.exponents["s"]
    assert exponent < -7 and most <= 127.5 * 2.0**exponent and most > 127.5 * 2.0 ** (exponent - 1)
    constants = {"w": random(1, 200), "shape": np.array([1, 2, 100])}
    ends = [*nodes[:1], node("Reshape", ["s", "shape"], ["y"]), node("Mul", ["s", "w"], ["z"])]
    model = model_of(ends, {"x": [1, 200]}, {"y": [1, 2, 100], "z": [1, 200]}, constants)
    assert quantize_model(model, samples_for([1, 200]), Passes()).exponents["s"] == -7


def _search_along_an_axis():
    return [n for n, rule in RULES.items() if rule.compares and "axis" in onnx.defs.get_schema(n, 13).attributes]


@pytest.mark.parametrize("operator", _search_along_an_axis())
def test_what_looks_for_the_largest_value_reads_the_float_values_of_a_softmax(operator):
    """In int8 the small ones are equal."""
    constants = {"k": np.array([1])} if operator == "TopK" else {}
    search = node(operator, ["s", *constants], ["v", "f"] if constants else ["f"], axis=1)
    nodes = [node("Softmax", ["x"], ["s"]), search, node("Cast", ["f"], ["c"], to=1)]
    result = quantized([*nodes, node("ReduceMax", ["c"], ["y"], axes=[1])], [2, 10], [2, 1], constants)
    assert Graph(result.model).one(operator).input[0] == "s"


# --- float islands ---


def test_neighbours_without_a_rule_share_one_float_island():
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Celu", ["c"], ["a"]),
        node("Shrink", ["a"], ["b"]),
        node("Conv", ["b", "w"], ["y"]),
    ]
    constants = {"w": random(2, 2, 1, 1)}
    result = quantized(nodes, [1, 2, 4, 4], [1, 2, 4, 4], constants)
    graph = Graph(result.model)
    graph.check()
    island = graph.one("Shrink")
    assert island.input[0] == graph.one("Celu").output[0]
    graph.quantizer(island.output[0])
    assert "Celu" in result.table() and "stays float" in result.table()


def test_float_layers_read_the_float_value_where_there_is_one():
    nodes = [
        node("Shrink", ["x"], ["a"]),
        node("Conv", ["x", "w"], ["b"]),
        node("Concat", ["a", "b"], ["y"], axis=1),
    ]
    constants = {"w": random(2, 2, 1, 1)}
    graph = Graph(quantized(nodes, [1, 2, 4, 4], [1, 4, 4, 4], constants).model)
    graph.check()
    assert graph.one("Shrink").input[0] == "x"
    graph.dequantized(graph.one("Conv").input[0])


def test_moves_between_float_layers_stay_float():
    nodes = [
        node("Shrink", ["x"], ["a"]),
        node("Flatten", ["a"], ["f"]),
        node("Shrink", ["f"], ["g"]),
        node("Gemm", ["g", "w"], ["y"]),
    ]
    constants = {"w": random(8, 3)}
    graph = Graph(quantized(nodes, [1, 2, 2, 2], [1, 3], constants).model)
    graph.check()
    assert graph.one("Flatten").input[0] == "a"


# --- graphs ---


def test_an_output_that_is_also_used_inside():
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["d"]), node("Conv", ["d", "w"], ["e"])]
    model = model_of(
        nodes, {"x": [1, 2, 4, 4]}, {"c": [1, 2, 4, 4], "d": [1, 2, 4, 4], "e": [1, 2, 4, 4]}, {"w": random(2, 2, 1, 1)}
    )
    result = quantize_model(model, samples_for([1, 2, 4, 4]))
    graph = Graph(result.model)
    session = graph.check()
    assert [o.name for o in session.get_outputs()] == ["c", "d", "e"]
    x = samples_for([1, 2, 4, 4])["x"][0]
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    for name, ours, theirs in zip("cde", session.run(None, {"x": x}), expected):
        assert np.abs(ours - theirs).max() < 4 * 2.0 ** result.exponents[name]
        assert np.array_equal(ours * 2.0 ** -result.exponents[name] % 1, np.zeros_like(ours))


def test_several_inputs():
    model = model_of([node("Add", ["p", "q"], ["y"])], {"p": [1, 4], "q": [1, 4]}, {"y": [1, 4]})
    result = quantize_model(model, {"p": random(6, 1, 4), "q": random(6, 1, 4, scale=30.0)})
    assert result.exponents["p"] < result.exponents["q"]
    Graph(result.model).check()


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
def test_hostile_names(name):
    model = preprocess_model(small_cnn(lambda plain: name + plain)).model
    result = quantize_model(model, {name + "x": random(4, 1, 3, 8, 8)})
    session = Graph(result.model).check()
    assert [i.name for i in session.get_inputs()] == [name + "x"]
    assert [o.name for o in session.get_outputs()] == [name + "y"]
    assert all(line.isprintable() and len(line) < 200 for line in result.table().split("\n"))


def test_names_that_are_taken_already():
    nodes = [node("Conv", ["x", "scale_2^0"], ["x_quantized"]), node("Conv", ["x_quantized", "zero_point"], ["y"])]
    constants = {"scale_2^0": random(2, 2, 1, 1), "zero_point": random(2, 2, 1, 1, seed=3)}
    Graph(quantized(nodes, [1, 2, 4, 4], [1, 2, 4, 4], constants).model).check()


def test_small_cnn_keeps_its_accuracy():
    model = preprocess_model(small_cnn()).model
    result = quantize_model(model, {"x": random(16, 1, 3, 8, 8)})
    Graph(result.model).check()
    assert result.noise["y"].decibels > 20
    assert all(layer.rule is not None for layer in result.network.layers)


# --- exponents ---


@pytest.mark.parametrize("low, high, exponent", [(0, 127, 0), (0, 127.5, 0), (0, 128, 1), (-128.5, 0, 0), (-129, 0, 1)])
def test_covering_exponent(low, high, exponent):
    assert covering_exponent(low, high) == exponent
    assert covering_exponent(low * 2.0**-9, high * 2.0**-9) == exponent - 9


def test_histogram_does_not_depend_on_order():
    values = random(7, 1000) * np.array([1e-3, 10, 0, 1, 5, 100, 3], np.float32)[:, None]
    forward, backward = Histogram(), Histogram()
    for row in values:
        forward.add(row)
    backward.add(values[::-1])
    assert forward.high == backward.high and forward.counts.sum() == backward.counts.sum() == 7000
    index = int(np.argmax(np.abs(values.reshape(-1))))
    assert np.abs(values.reshape(-1)[index]) < 2048 * forward.width
    exact = np.bincount((np.abs(values.reshape(-1)) / np.float32(forward.width)).astype(int), minlength=2048)
    # Narrow bins merged into wide ones are where they would have been counted in the first place.
    np.testing.assert_array_equal(forward.counts, exact)


@pytest.mark.parametrize("method", LOCAL_METHODS)
def test_methods_choose_sensibly(method):
    flat, outlier, zero = Histogram(), Histogram(), Histogram()
    flat.add(np.linspace(-1.5, 1.5, 10_001, dtype=np.float32))
    outlier.add(np.append(random(100_000), np.float32(100.0)))
    zero.add(np.zeros(10, np.float32))
    assert choose_exponent(flat, method, 99.99) == -6
    assert choose_exponent(zero, method, 99.99) == 0
    clipped = choose_exponent(outlier, method, 99.99)
    assert clipped == 0 if method == "minmax" else clipped < 0


# --- weights ---


def test_bias_too_large_makes_weights_coarser():
    weights, bias = random(2, 3) * np.float32(1e-6), np.array([100.0, 0.0], np.float32)
    made = quantize_weights(weights, bias, -7, True)
    _, real = real_weights(made, -7)
    assert abs(real[0] - 100.0) < 1e-3 and made.exponents[0] > made.exponents[1]
    total = np.abs(made.values.astype(np.int64)).sum(axis=1) * 128 + np.abs(made.bias.astype(np.int64))
    assert (total * 2 <= 2**31).all()


def test_channels_of_zeros():
    weights = random(3, 5)
    weights[1] = 0
    made = quantize_weights(weights, np.array([1.0, 2.0, 3.0], np.float32), -4, True)
    assert not made.values[1].any() and abs(real_weights(made, -4)[1][1] - 2.0) < 1e-2
    everything = quantize_weights(np.zeros((2, 2), np.float32), np.zeros(2, np.float32), 0, True)
    assert not everything.values.any() and not everything.bias.any()


# --- what users do wrong ---


def test_complaints(tmp_path):
    model = small_cnn()
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    np.save(tmp_path / "c.npy", random(4, 3, 8, 8))

    def complaint(**options):
        arguments = {
            "input_model": tmp_path / "m.onnx",
            "output_model": tmp_path / "q.onnx",
            "calibrate_dataset": tmp_path / "c.npy",
            **options,
        }
        with pytest.raises(UserError) as error:
            quantize_onnx(**arguments)
        assert not (tmp_path / "q.onnx").exists() and "\n" not in str(error.value)
        return str(error.value)

    assert "choose one of" in complaint(method="magic")
    assert "percentile" in complaint(percentile=0.0)
    np.save(tmp_path / "bad.npy", random(4, 3, 9, 8))
    assert "[4, 3, 9, 8]" in complaint(calibrate_dataset=tmp_path / "bad.npy")
    assert "folder" in complaint(output_model=tmp_path)
    (tmp_path / "file").write_text("")
    assert "cannot" in complaint(output_model=tmp_path / "file" / "q.onnx")
    np.save(tmp_path / "huge.npy", np.full((4, 3, 8, 8), 3e38, np.float32))
    assert "1e+15" in complaint(calibrate_dataset=tmp_path / "huge.npy")
    broken = small_cnn()
    weights = next(t for t in broken.graph.initializer if t.name == "w2")
    weights.CopyFrom(numpy_helper.from_array(np.full((8, 1, 3, 3), np.nan, np.float32), "w2"))
    (tmp_path / "nan.onnx").write_bytes(broken.SerializeToString())
    assert complaint(input_model=tmp_path / "nan.onnx")
    weights.CopyFrom(numpy_helper.from_array(np.full((8, 1, 3, 3), 3e38, np.float32), "w2"))
    (tmp_path / "huge.onnx").write_bytes(broken.SerializeToString())
    assert "a weight is 3e+38" in complaint(input_model=tmp_path / "huge.onnx")
    quantize_onnx(tmp_path / "m.onnx", tmp_path / "done.onnx", tmp_path / "c.npy")
    assert "quantized already" in complaint(input_model=tmp_path / "done.onnx")


def test_nothing_to_quantize():
    model = model_of([node("Shrink", ["x"], ["y"])], {"x": [4]}, {"y": [4]})
    with pytest.raises(UserError, match="no operator that can be quantized"):
        quantize_model(model, samples_for([4]))


def test_script(tmp_path, repo):
    (tmp_path / "m.onnx").write_bytes(preprocess_model(small_cnn()).model.SerializeToString())
    np.save(tmp_path / "c.npy", random(4, 3, 8, 8))

    def run(*options, calib="c.npy"):
        script = [sys.executable, str(repo / "tools/tvm/esp_quantize_onnx.py"), "--input_model", tmp_path / "m.onnx"]
        script += ["--output_model", tmp_path / "q.onnx", "--calibrate_dataset", tmp_path / calib, *options]
        return subprocess.run(script, capture_output=True, text=True)

    def channel_scales():
        graph = Graph(onnx.load(str(tmp_path / "q.onnx")))
        return max(graph.constants[n.input[1]].ndim for n in graph.nodes if n.op_type == "DequantizeLinear")

    done = run()
    assert done.returncode == 0 and "SNR" in done.stdout and not done.stderr, done.stderr
    assert channel_scales() == 1
    first = hashlib.sha256((tmp_path / "q.onnx").read_bytes()).hexdigest()
    assert run("--per_channel", "False").returncode == 0 and channel_scales() == 0
    assert run("--per_channel", "true").returncode == 0
    assert hashlib.sha256((tmp_path / "q.onnx").read_bytes()).hexdigest() == first, "not the same bytes"
    assert run("--per_channel", "maybe").returncode == 2
    done = run(calib="nothing.npy")
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("options", [{"int16_gain": -1.0}, {"int16_gain": np.nan}, {"percentile": 0.0}], ids=str)
def test_numbers_that_no_search_can_use(options):
    (name,) = options
    with pytest.raises(UserError, match=f"^{name} .*: give a number"):
        quantize_onnx("m.onnx", "q.onnx", None, **options)
