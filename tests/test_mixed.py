"""Mixed precision: int16 for some tensors, in the file, in every reference, and in C."""

import functools

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from pipeline_harness import Kernels, Program, compare_with_references, write_program
from small_models import model_of, random

from esp_tvm.compile import compile_model
from esp_tvm.convert.int16 import collapse
from esp_tvm.errors import UserError
from esp_tvm.estimate.costs import instructions
from esp_tvm.model import load_model
from esp_tvm.quantize import Passes, quantize_model
from esp_tvm.quantize.budget import UNASKED, Purse, read_budget
from esp_tvm.quantize.costs import Instructions, largest_memory
from esp_tvm.quantize.graph import read_network
from esp_tvm.quantize.judge import judge
from esp_tvm.quantize.mixed import widenable

node = helper.make_node
SAMPLES = {"x": random(12, 1, 3, 8, 8, seed=7)}
PLAIN = {"method": "minmax", "equalize": False, "centre": False, "fit": False}


def network_model():
    """All that has an int16 kernel; values of a wide range at the end."""
    constants = {
        "w1": random(8, 3, 3, 3, scale=0.3),
        "b1": random(8),
        "w2": random(8, 8, 1, 1, scale=0.3),
        "w3": random(8, 1, 3, 3, scale=0.4),
        "w5": random(5, 32, scale=0.4),
        "b5": random(5),
        "low": np.float32(-1),
        "high": np.float32(2),
    }
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], "first", **pads),
        node("Relu", ["c1"], ["r1"], "relu"),
        node("Conv", ["r1", "w2"], ["c2"], "second"),
        node("Add", ["r1", "c2"], ["s"], "sum"),
        node("Conv", ["s", "w3"], ["c3"], "depth", group=8, **pads),
        node("MaxPool", ["c3"], ["m"], "max", kernel_shape=[2, 2], strides=[2, 2]),
        node("Clip", ["m", "low", "high"], ["k"], "clip"),
        node("AveragePool", ["k"], ["g"], "mean", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 0, 0]),
        node("Transpose", ["g"], ["t"], "turn", perm=[0, 3, 2, 1]),
        node("Flatten", ["t"], ["f"], "flat"),
        node("Gemm", ["f", "w5", "b5"], ["y"], "dense", transB=1),
    ]
    return model_of(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 5]}, constants)


REAL = network_model()
REAL_NETWORK = read_network(REAL)
BUDGET = "instructions=150%,arena=100%"


@functools.lru_cache(maxsize=None)
def kernels():
    return Kernels(sanitize=True)


def mixed(names):
    return quantize_model(REAL, SAMPLES, Passes(**PLAIN, int16=names))


def differing(model, tmp_path, **options):
    """What the C computes otherwise than both references, of every layer. options: of `compile_model`"""
    compiled = compile_model(model, **options)
    assert not compiled.program.fallbacks
    program = Program(write_program(compiled, tmp_path), kernels())
    comparison = compare_with_references(program, compiled, SAMPLES)
    found = [one.title for one in [*comparison.layers, *comparison.outputs] if one.differing]
    return compiled, found


def test_everything_in_int16(tmp_path):
    """Byte for byte, C under sanitizers against TVM's reference and NumPy's; noise is that of the weights alone."""
    everything = ",".join(widenable(read_network(REAL)))
    result = mixed(everything)
    compiled, found = differing(result.model, tmp_path)
    assert found == []
    used = {call.operator for call in compiled.program.computations}
    assert {name for name in used if not name.endswith("_s16")} <= {"reshape", "transpose"}
    assert {"conv2d_s16", "depthwise_conv2d_s16", "dense_s16", "conv2d_add_s16", "max_pool2d_s16"} <= used
    assert {"average_pool2d_s16", "quantize_s16", "dequantize_s16"} <= used
    eight = quantize_model(REAL, SAMPLES, Passes(**PLAIN)).model
    assert judge(REAL, result.model, SAMPLES).decibels > judge(REAL, eight, SAMPLES).decibels + 3
    assert "int16 costs" in result.table()


def test_everything_in_int16_for_the_vector_unit(tmp_path):
    """The C that stands in for the assembly of the ESP32-S3, under sanitizers."""
    compiled, found = differing(mixed(",".join(widenable(REAL_NETWORK))).model, tmp_path, chip="esp32s3")
    assert found == []
    kinds = {type(call.variant).__name__ for call in compiled.program.computations}
    assert {"Conv2dS16", "Conv2dAddS16", "DepthwiseS16", "DenseS16Wide", "PoolS16"} <= kinds
    # What the quantizer counts for it is what the export takes: it was a multiple where vectors were taken for plain C.
    costs = Instructions(REAL_NETWORK)
    spent = costs.total["esp32s3"] * (1.0 + costs.shares(widenable(REAL_NETWORK))["esp32s3"])
    # Transposes are views to the quantizer: most are part of a change of layout.
    calls = [call for call in compiled.program.calls() if call.operator != "transpose"]
    taken = sum(instructions(call, "xtensa", vector=True) or 0.0 for call in calls)
    assert 0.75 < spent / taken < 1.33
    in_c = sum(instructions(call, "xtensa", vector=False) or 0.0 for call in calls)
    assert spent < in_c / 3


def detector():
    """Two heads of different grids whose scores and boxes are joined; the scores are far below 0 but for a few."""
    constants = {
        "w": random(4, 3, 3, 3, scale=0.3),
        "w1": random(2, 4, 1, 1, scale=0.4),
        "b1": np.array([-1900, 0.5], np.float32),
        "w2": random(2, 4, 1, 1, scale=0.4),
        "b2": np.array([-1800, 0.5], np.float32),
        "shape1": np.array([1, 128, 1]),
        "shape2": np.array([1, 32, 1]),
        "first": np.array([0]),
        "last": np.array([100]),
        "axis": np.array([1]),
    }
    nodes = [
        node("Conv", ["x", "w"], ["c"], "stem", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"], "relu"),
        node("Conv", ["r", "w1", "b1"], ["h1"], "fine"),
        node("MaxPool", ["r"], ["m"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["m", "w2", "b2"], ["h2"], "coarse"),
        node("Transpose", ["h1"], ["t1"], "turn1", perm=[0, 2, 3, 1]),
        node("Transpose", ["h2"], ["t2"], "turn2", perm=[0, 2, 3, 1]),
        node("Reshape", ["t1", "shape1"], ["s1"], "flat1"),
        node("Reshape", ["t2", "shape2"], ["s2"], "flat2"),
        node("Concat", ["s1", "s2"], ["scores"], "join", axis=1),
        node("Slice", ["s1", "first", "last", "axis"], ["part"], "cut"),
    ]
    return model_of(nodes, {"x": [1, 3, 8, 8]}, {"scores": [1, 160, 1], "part": [1, 100, 1]}, constants)


def test_scores_of_a_lopsided_range_keep_their_answers(tmp_path):
    """-1900 to 6: one step of int8 is larger than every score that counts. int16 up to the outputs, in every reference
    and in C."""
    model = detector()
    result = quantize_model(model, SAMPLES, Passes(fit=False, effort="quick"))
    assert {"scores", "part", "h1", "h2"} <= set(result.network.wide)
    assert {result.exponents[name] for name in ("scores", "s1", "s2", "h1", "h2")} == {result.exponents["scores"]}
    for name in ("scores", "part"):
        assert result.answers[name].vanished == 0 and not result.answers[name].lost()
    eight = quantize_model(model, SAMPLES, Passes(fit=False, effort="quick", int16_outputs=False))
    assert eight.answers["scores"].lost()
    compiled, found = differing(result.model, tmp_path)
    assert found == []
    joined = [call for call in compiled.program.computations if call.operator in ("concat", "strided_slice")]
    assert {call.operator: call.output.dtype for call in joined} == {"concat": "int16", "strided_slice": "int16"}


SLOW = [pytest.param(names, marks=pytest.mark.slow) for names in ("x,sum", "second,mean,dense")]


@pytest.mark.parametrize("names", ["first,depth", *SLOW])
def test_widths_side_by_side(names, tmp_path):
    """int8 and int16 at both ends of one kernel."""
    compiled, found = differing(mixed(names).model, tmp_path)
    assert found == []
    types = {tensor.dtype for call in compiled.program.computations for tensor in [*call.inputs, call.output]}
    assert {"int8", "int16"} <= types


def test_file_is_standard_onnx(tmp_path):
    """The checker takes it, ONNX Runtime computes it as the chip does but for the rounding of ties."""
    model = mixed("first,sum,dense").model
    onnx.save(model, str(tmp_path / "q.onnx"))
    assert load_model(tmp_path / "q.onnx").graph == model.graph
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    from esp_tvm.quantize.judge import exact_runner

    run = exact_runner(model)
    ours = np.stack([run({"x": x})[0] for x in SAMPLES["x"]])
    theirs = np.stack([session.run(None, {"x": x})[0] for x in SAMPLES["x"]])
    assert np.abs(ours - theirs).max() <= 0.02 * np.abs(theirs).max()
    collapsed = collapse(model)
    assert sum(node.op_type == "Floor" for node in model.graph.node) == 3
    assert not any(node.op_type == "Floor" for node in collapsed.graph.node)
    assert collapse(REAL) is REAL
    kinds = [[n.op_type for n in collapse(one).graph.node] for one in (model, as_older_files(model))]
    assert kinds[0] == kinds[1]
    first = {"x": SAMPLES["x"][0]}
    assert np.array_equal(run(first)[0], exact_runner(as_older_files(model))(first)[0])


def as_older_files(model):
    """int16 as it was written before: the last Mul is Cast(INT32) and DequantizeLinear."""
    older = onnx.ModelProto.FromString(model.SerializeToString())
    older.graph.initializer.append(numpy_helper.from_array(np.int32(0), "zero_point_int32"))
    for one in [n for n in older.graph.node if n.op_type == "Mul" and n.name.endswith("_DequantizeLinear")]:
        place = list(older.graph.node).index(one)
        whole = one.input[0] + "_cast"
        older.graph.node.insert(place, node("Cast", [one.input[0]], [whole], to=onnx.TensorProto.INT32))
        one.op_type = "DequantizeLinear"
        one.input[:] = [whole, one.input[1], "zero_point_int32"]
    return older


@pytest.mark.slow
def test_auto_takes_as_few_as_it_needs():
    eight = quantize_model(REAL, SAMPLES, Passes(fit=False, int16_outputs=False))
    little = quantize_model(REAL, SAMPLES, Passes(fit=False, int16_outputs=False, int16="auto", int16_gain=0.5))
    much = quantize_model(REAL, SAMPLES, Passes(fit=False, int16_outputs=False, int16="auto", int16_gain=40))
    counts = [len(one.network.wide) for one in (eight, little, much)]
    assert 0 == counts[0] < counts[1] < counts[2]
    gains = [judge(REAL, one.model, SAMPLES).decibels for one in (eight, little, much)]
    assert gains[0] + 0.4 < gains[1] < gains[2]
    again = quantize_model(REAL, SAMPLES, Passes(fit=False, int16_outputs=False, int16="auto", int16_gain=0.5))
    assert again.model.SerializeToString(deterministic=True) == little.model.SerializeToString(deterministic=True)


def test_budget_is_kept():
    """What is spent is within the budget, and more of it gains more."""
    made = [quantize_model(REAL, SAMPLES, Passes(fit=False, effort="quick", budget=b)) for b in ("", BUDGET)]
    little, much = (Purse(one.network, read_budget(BUDGET), False).cost(one.network.wide) for one in made)
    assert little <= UNASKED.instructions and little < much <= 1.5
    assert made[1].effects[-1][1] > made[0].effects[-1][1] + 0.1
    before, after = (largest_memory(REAL_NETWORK, wide) for wide in ((), made[1].network.wide))
    assert after <= 2 * before
    for text in ("instructions", "instructions=5", "time=5%", "arena=-1%", "arena=nan%", "arena=5%%", "x" * 999):
        with pytest.raises(UserError, match="--budget: '.{,60}' is no part of a budget"):
            read_budget(text)
    with pytest.raises(UserError, match="arena is given twice"):
        read_budget("arena=5%,arena=7%")


def test_complaints():
    with pytest.raises(UserError, match="'nothing' cannot be int16 here; what can: x, "):
        mixed("nothing")
    model = REAL.SerializeToString()
    softmax = onnx.ModelProto.FromString(model)
    softmax.graph.node.append(node("LogSoftmax", ["y"], ["z"], "end", axis=1))
    softmax.graph.output[0].name = "z"
    with pytest.raises(UserError, match="'dense' cannot be int16"):
        quantize_model(softmax, SAMPLES, Passes(**PLAIN, int16="dense"))


SMOOTH = {
    "sigmoid": [node("Sigmoid", ["c"], ["a"], "act")],
    "tanh": [node("Tanh", ["c"], ["a"], "act")],
    "swish": [node("Sigmoid", ["c"], ["s"], "inner"), node("Mul", ["c", "s"], ["a"], "act")],
    "hard swish": [node("HardSwish", ["c"], ["a"], "act")],
    "leaky relu": [node("LeakyRelu", ["c"], ["a"], "act", alpha=0.1)],
}


@functools.lru_cache(maxsize=None)
def with_function(kind, wide, factor=1.0):
    """(float model, quantized model) of a convolution, a function, and a convolution; wide: tensors of int16."""
    constants = {"w1": random(8, 3, 3, 3, scale=0.3 * factor), "w2": random(4, 8, 1, 1, scale=0.3)}
    nodes = [node("Conv", ["x", "w1"], ["c"], "first"), *SMOOTH[kind], node("Conv", ["a", "w2"], ["y"], "second")]
    real = model_of(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 4, 6, 6]}, constants, opset=14)
    return real, quantize_model(real, SAMPLES, Passes(int16=",".join(wide), **PLAIN)).model


@pytest.mark.parametrize("wide", [("c", "a"), ("c",), ("a",)], ids="-".join)
@pytest.mark.parametrize("kind", SMOOTH)
def test_functions_of_int16(kind, wide, tmp_path):
    """A table in every width, the same in C, NumPy and Relay; and finer than one of int8."""
    real, made = with_function(kind, wide)
    compiled = compile_model(made)
    assert not compiled.program.fallbacks
    assert [call.operator for call in compiled.program.kernels if call.kind == "lookup"] == ["lookup_s16"]
    program = Program(write_program(compiled, tmp_path), Kernels(sanitize=True))
    comparison = compare_with_references(program, compiled, SAMPLES)
    assert comparison.equal, comparison
    # The last rounding is of int8 in all of them.
    assert judge(real, made, SAMPLES).decibels > judge(real, with_function(kind, ())[1], SAMPLES).decibels


def places(outlier):
    """Two heads joined to one output; outlier: by how much one channel is larger than the others."""
    constants = {name: random(4, 3, 1, 1, seed=number) for number, name in enumerate(("w1", "w2"))}
    constants["w2"][0] *= outlier
    nodes = [
        node("Conv", ["x", "w1"], ["c1"], "near"),
        node("Conv", ["x", "w2"], ["c2"], "far"),
        node("Concat", ["c1", "c2"], ["y"], "join", axis=1),
    ]
    return model_of(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 8, 8, 8]}, constants)


def test_what_a_named_concat_copies_is_int16_too():
    """One of int8 tensors in int16 has their coarse steps."""
    real = places(1.0)
    made = quantize_model(real, SAMPLES, Passes(**PLAIN, int16_outputs=False, int16="join"))
    assert made.network.wide == {"c1", "c2", "y"}
    plain = quantize_model(real, SAMPLES, Passes(**PLAIN, int16_outputs=False))
    assert judge(real, made.model, SAMPLES).decibels > judge(real, plain.model, SAMPLES).decibels + 1


@pytest.mark.parametrize("outlier, wide, told", [(300.0, "", True), (300.0, "join", False), (1.0, "", False)])
def test_steps_that_are_coarse_for_most_values_are_told(outlier, wide, told):
    made = quantize_model(places(outlier), SAMPLES, Passes(**PLAIN, int16_outputs=False, int16=wide))
    words = "output 'y': its steps are"
    assert [words in note for note in made.notes].count(True) == told
    assert not told or any(words in note and "--int16 makes them finer" in note for note in made.notes)


def test_what_lines_cannot_follow_is_refused():
    """The square root rises without end at 0."""
    nodes = [
        node("Conv", ["x", "w1"], ["c"], "first"),
        node("Abs", ["c"], ["b"], "positive"),
        node("Sqrt", ["b"], ["a"], "root"),
        node("Conv", ["a", "w2"], ["y"], "second"),
    ]
    constants = {"w1": random(8, 3, 3, 3, scale=0.3), "w2": random(4, 8, 1, 1, scale=0.3)}
    real = model_of(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 4, 6, 6]}, constants)
    with pytest.raises(UserError, match="steps off, as lines between 513 values of its function; leave what it reads"):
        quantize_model(real, SAMPLES, Passes(int16="c,root", **PLAIN))


def test_a_state_in_int16_of_which_the_last_step_is_read(tmp_path):
    """As torch exports y[:, -1] of a GRU of which the state goes on: a Gather of one place."""
    constants = {
        "w": random(1, 18, 4, scale=0.5),
        "r": random(1, 18, 6, scale=0.5),
        "b": random(1, 36, scale=0.1),
        "last": np.int64(-1),
        "o": random(3, 6, scale=0.5),
        "shape": np.array([3, 6], np.int64),
    }
    nodes = [
        node("GRU", ["x", "w", "r", "b", "", "h"], ["y", "h_next"], "gru", hidden_size=6, linear_before_reset=1),
        node("Reshape", ["y", "shape"], ["steps"], "steps"),
        node("Gather", ["steps", "last"], ["now"], "last", axis=0),
        node("Unsqueeze", ["now", "zero"], ["row"], "row"),
        node("Gemm", ["row", "o"], ["z"], "dense", transB=1),
    ]
    constants["zero"] = np.array([0], np.int64)
    real = model_of(nodes, {"x": [3, 1, 4], "h": [1, 1, 6]}, {"z": [1, 3], "h_next": [1, 1, 6]}, constants)
    samples = {"x": random(12, 3, 1, 4), "h": random(12, 1, 1, 6, scale=0.5, seed=1)}
    made = quantize_model(real, samples, Passes(**PLAIN, int16="h_next")).model
    compiled = compile_model(made)
    assert not compiled.program.fallbacks
    layers = [call for call in compiled.program.kernels if call.kind == "gru"]
    assert [call.operator for call in layers] == ["gru_s16"]
    program = Program(write_program(compiled, tmp_path), Kernels(sanitize=True))
    assert compare_with_references(program, compiled, samples).equal
