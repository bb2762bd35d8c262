"""What goes to which kernel, and what the generated C says."""

from __future__ import annotations

import re

import numpy as np
import pytest
from onnx import TensorProto, helper
from qdq import QdqBuilder

pytest.importorskip("tvm")

from esp_tvm.compile import compile_model, import_model  # noqa: E402
from esp_tvm.compile.aot import _compiled as tvms_compiler  # noqa: E402
from esp_tvm.compile.main_calls import program_of_kernels  # noqa: E402
from esp_tvm.compile.results import Results  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.port_options import PortOptions  # noqa: E402
from esp_tvm.program.evaluate import evaluate  # noqa: E402


def operators(compiled):
    return [call.operator for call in compiled.program.computations]


def test_conv_relu_is_one_kernel_in_nhwc():
    b = QdqBuilder()
    x = b.input("x", [1, 3, 8, 10], -4)
    b.conv(x, [5, 3, 3, 3], -2, relu=True, output="y", pads=[1, 0, 1, 2], strides=[2, 1])
    b.output("y", [1, 5, 4, 10])
    compiled = compile_model(b.model())
    assert operators(compiled) == ["quantize", "transpose", "conv2d", "transpose", "dequantize"]
    conv = compiled.program.computations[2]
    assert conv.inputs[0].shape == (1, 8, 10, 3) and conv.output.shape == (1, 4, 10, 5)
    assert conv.attributes["padding"] == (1, 0, 1, 2) and conv.attributes["clamp"] == (0, 127)
    assert conv.attributes["weights"].shape == (5, 3, 3, 3)
    assert [node.split()[0] for node in conv.nodes] == ["Conv", "Relu"]
    assert not compiled.program.fallbacks


def test_one_channel_image_needs_no_transpose():
    b = QdqBuilder()
    x = b.input("x", [1, 1, 8, 8], -4)
    y = b.conv(x, [4, 1, 3, 3], -2)
    b.quantize(b.node("GlobalAveragePool", [y]), -3, "y")
    b.output("y", [1, 4, 1, 1])
    assert "transpose" not in operators(compile_model(b.model()))


def test_transposes_around_a_channels_last_model_vanish():
    b = QdqBuilder()
    x = b.input("x", [1, 8, 8, 3])
    x = b.quantize(b.node("Transpose", [x], perm=[0, 3, 1, 2]), -4)
    y = b.conv(x, [4, 3, 3, 3], -2)
    b.node("Transpose", [y], ["y"], perm=[0, 2, 3, 1])
    b.output("y", [1, 6, 6, 4])
    assert operators(compile_model(b.model())) == ["quantize", "conv2d", "dequantize"]


@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise(multiplier):
    b = QdqBuilder()
    x = b.input("x", [1, 4, 8, 8], -4)
    b.conv(x, [4 * multiplier, 1, 3, 3], -2, e_w=[-8, -7, -9, -8] * multiplier, output="y", group=4)
    b.output("y", [1, 4 * multiplier, 6, 6])
    compiled = compile_model(b.model())
    call = next(call for call in compiled.program.computations if call.operator == "depthwise_conv2d")
    assert call.attributes["weights"].shape == (3, 3, 4 * multiplier)
    assert list(call.attributes["shift"]) == [10, 9, 11, 10] * multiplier


def test_free_scale_is_refused_with_its_reason():
    b = QdqBuilder()
    x = b.input("x", [1, 4, 4, 4], -4)
    w = b.weights([2, 4, 1, 1], -7)
    b.quantize(b.node("Conv", [x, w], name="stem"), 0, "y", scale=0.05)
    b.output("y", [1, 2, 4, 4])
    compiled = compile_model(b.model())
    assert compiled.program.fallbacks
    reasons = {str(compiled.imported.nodes[i]): why for i, why in compiled.partitioned.refusals.items()}
    assert "0.05 is not a power of two" in reasons['Conv "stem"']


def test_sum_that_could_leave_int32_is_refused():
    b = QdqBuilder()
    x = b.input("x", [1, 4], -4)
    w = b.weights([4, 2], -7, axis=1)
    huge = b.node("DequantizeLinear", [b.initializer(np.array([2**31 - 5, 0], np.int32)), b.scale([-11, -11])], axis=0)
    b.quantize(b.node("Gemm", [x, w, huge], name="last"), -2, "y")
    b.output("y", [1, 2])
    compiled = compile_model(b.model())
    assert "dense" not in operators(compiled)
    assert any("32 bits" in why for why in compiled.partitioned.refusals.values())


HOSTILE = [
    'x"; */ int main(){',
    "../../etc/passwd",
    "a" * 10000,
    "new\nline\\",
    "int",
    "workspace",
    "sid_0",
    "%s%n",
    "名",
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_are_data(name):
    b = QdqBuilder()
    x = b.input(name + " in", [1, 1, 4, 4], -4)
    b.conv(x, [2, 1, 3, 3], -2, output=name, name=name + " node")
    b.output(name, [1, 2, 2, 2])
    compiled = compile_model(b.model())
    for text in (compiled.code.lib0, compiled.code.lib1, compiled.code.header):
        assert text.isascii() and "int main" not in re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        assert text.count("/*") == text.count("*/") and "\\\n" not in text
        assert max(map(len, text.splitlines())) < 400
    assert compiled.program.outputs[0].name == name
    assert re.fullmatch(r"[A-Za-z]\w*", compiled.program.outputs[0].c_name)


def test_unnamed_and_equally_named_nodes_are_told_apart():
    b = QdqBuilder()
    x = b.input("x", [1, 2, 4, 4], -4)
    x = b.conv(x, [2, 2, 1, 1], -4, name="same")
    x = b.conv(x, [2, 2, 1, 1], -4, name="same")
    b.conv(x, [2, 2, 1, 1], -4, name="", output="y")
    b.output("y", [1, 2, 4, 4])
    convs = [call for call in compile_model(b.model()).program.computations if call.operator == "conv2d"]
    assert [call.nodes[0] for call in convs][:2] == ['Conv "same"', 'Conv "same"']
    assert re.fullmatch(r"Conv number \d+", convs[2].nodes[0])


def test_several_inputs_and_outputs():
    b = QdqBuilder()
    p, q = b.input("p", [1, 6], -4), b.input("q", [1, 6], -5)
    b.quantize(b.node("Add", [p, q]), -3, "sum")
    b.quantize(b.node("Mul", [p, q]), -5, "product")
    b.output("sum", [1, 6])
    b.output("product", [1, 6])
    compiled = compile_model(b.model())
    assert [port.c_name for port in compiled.program.inputs] == ["p", "q"]
    assert [port.exponent for port in compiled.program.inputs + compiled.program.outputs] == [-4, -5, -3, -5]
    assert (
        "tvmgen_default___tvm_main__(const float *p, const float *q, float *sum, float *product, uint8_t *workspace)"
        in compiled.code.header
    )


@pytest.mark.parametrize("type_", ["float", "int8"])
def test_outputs_of_equal_values_are_both_written(type_):
    """TVM computes them once and writes one of them."""
    b = QdqBuilder()
    x = b.input("x", (1, 2, 4, 4), -7)
    for name in ("first", "second"):
        b.output(b.node("Softmax", [b.quantize(x, -6)], [name], axis=-1), (1, 2, 4, 4))
    model = b.model()
    model.graph.node.append(helper.make_node("Cast", ["x"], ["same"], "copy", to=TensorProto.FLOAT))
    model.graph.output.append(helper.make_tensor_value_info("same", TensorProto.FLOAT, (1, 2, 4, 4)))
    compiled = compile_model(model, ports=PortOptions(output_types={"first": type_, "second": type_}))
    x = np.random.RandomState(0).uniform(-2, 2, (1, 2, 4, 4)).astype(np.float32)
    outputs = evaluate(compiled.program, {"x": x}).outputs
    assert outputs["first"].any() and outputs["first"].dtype == (np.float32 if type_ == "float" else np.int8)
    assert np.array_equal(outputs["first"], outputs["second"]) and np.array_equal(outputs["same"], x)


def test_the_order_of_kernels_is_that_of_tvms_compiler():
    """Which is asked only where something has no kernel."""
    b = QdqBuilder()
    x, z = b.input("x", [1, 4, 6, 6], -4), b.input("z", [1, 4, 6, 6], -5)
    branch = b.conv(x, [4, 4, 3, 3], -2, relu=True, pads=[1] * 4)
    b.output(branch, [1, 4, 6, 6])
    other = b.quantize(b.node("Mul", [x, z]), -4)
    total = b.quantize(b.node("Add", [b.quantize(b.node("Sigmoid", [other]), -7), branch]), -3)
    joined = b.quantize(b.node("Concat", [b.quantize(z, -3), total, b.quantize(other, -3)], axis=1), -3)
    b.conv(joined, [2, 12, 6, 6], -1, output="y")
    b.output("y", [1, 2, 1, 1])
    imported, partitioned = import_model(b.model())
    results = Results(partitioned.mod)
    ours, theirs = (read(results, partitioned, imported) for read in (program_of_kernels, tvms_compiler))
    assert len(ours.items) > 10 and not theirs.fallbacks and not theirs.constants

    def said(program):
        return [
            (call.symbol, call.operator, call.index, call.macs, call.inputs, call.outputs) for call in program.calls()
        ]

    assert str(said(ours)) == str(said(theirs))


@pytest.mark.parametrize(
    "operator, others", [("Identity", []), ("CastLike", ["l"]), ("Mul", ["one"]), ("Div", ["one"])]
)
def test_a_model_that_only_copies_is_refused(operator, others):
    node = helper.make_node(operator, ["x", *others], ["y"], "copy")
    x, like, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xly")
    one = helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])
    graph = helper.make_graph([node], "g", [x, like] if "l" in others else [x], [y], [one])
    with pytest.raises(UserError, match="nothing is computed"):
        compile_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)]))


def test_control_flow_is_refused():
    body = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["t"])], "b", [], [helper.make_tensor_value_info("t", 1, [2])]
    )
    b = QdqBuilder()
    b.inputs.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    b.input("x", [2])
    b.node("If", ["c"], ["y"], name="branch", then_branch=body, else_branch=body)
    b.output("y", [2])
    with pytest.raises(UserError, match="branch"):
        compile_model(b.model())


def test_table_of_an_embedding_is_int8():
    """Rows that computed indices choose: a fourth of the bytes, and nothing is quantized while the model runs."""
    b = QdqBuilder()
    table = np.random.RandomState(0).standard_normal((50, 16)).astype(np.float32)
    ids = b.input("ids", [1, 6], dtype=TensorProto.INT64)
    b.quantize(b.node("Gather", [b.initializer(table), ids], axis=0), -5, "y")
    b.output("y", [1, 6, 16])
    compiled = compile_model(b.model())
    assert "quantize" not in operators(compiled)
    assert re.search(r"const int8_t \w+\[800\]", compiled.code.lib1)


@pytest.mark.parametrize("kind, size", [("NonZero", [2, 0]), ("Unique", [0])])
def test_results_of_any_size_are_refused_by_name(kind, size):
    b = QdqBuilder()
    b.node(kind, [b.input("x", [3, 4])], ["y"], "the_node")
    b.output("y", size, TensorProto.INT64 if kind == "NonZero" else TensorProto.FLOAT)
    with pytest.raises(UserError, match=f"'the_node' .{kind}.*compute it in the program"):
        compile_model(b.model())
