"""`make run` against ONNX Runtime: right programs are within bounds, and what is computed otherwise is named."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from qdq import QdqBuilder, convolutions_around_a_function
from small_models import model_of, random

pytest.importorskip("tvm")

from pipeline_harness import Kernels, Program, write_program  # noqa: E402

from esp_tvm import onnx_check  # noqa: E402
from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.evaluate import NumpyEvaluator  # noqa: E402
from esp_tvm.onnx_check import Border, OnnxRuntimeCheck, Verification, _placed, wrong_line  # noqa: E402
from esp_tvm.program.store import MODEL  # noqa: E402
from esp_tvm.project.export import export_onnx_model  # noqa: E402
from esp_tvm.project.verify import verify  # noqa: E402
from esp_tvm.quantize import Passes, quantize_model  # noqa: E402
from esp_tvm.run.command import run_project  # noqa: E402
from esp_tvm.run.compare import compare_with_rules  # noqa: E402
from esp_tvm.run.host import HostProgram  # noqa: E402


@pytest.fixture(scope="module")
def exported(repo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    onnx.save(convolutions_around_a_function(), str(folder / "model.onnx"))
    np.save(folder / "x.npy", np.random.RandomState(0).randn(2, 1, 3, 6, 6).astype(np.float32))
    np.save(folder / "one.npy", np.load(folder / "x.npy")[0])
    template = str(repo / "template_project_for_model")
    export_onnx_model("host", str(folder / "model.onnx"), str(folder / "one.npy"), template, str(folder))
    return folder


def run(folder) -> int:
    return run_project(str(folder / "new_project"), str(folder / "model.onnx"), str(folder / "x.npy"))


def test_a_right_program_is_within_its_bounds(exported, capsys):
    assert run(exported) == 0
    text = capsys.readouterr().out
    assert "ONNX Runtime computes the same: " in text and "on 2 inputs" in text and "PASS: 2 of 2" in text
    assert "(no rule)" in text, "the network has a function of TVM's"


def test_a_wrong_fallback_is_named(exported, capsys):
    """Nothing else can see it: what has no rule is taken from the very C that is wrong."""
    path = exported / "new_project" / MODEL / "codegen/host/src/default_lib1.c"
    right = path.read_text()
    assert "powf(" in right
    path.write_text(right.replace("powf(", "fmaxf("))
    try:
        assert run(exported) == 1
    finally:
        path.write_text(right)
    text = capsys.readouterr().out
    assert 'node LRN "middle": TVM\'s C computes' in text and "otherwise than ONNX Runtime" in text
    assert "FAIL: 2 of 2 samples equal in every layer, 0 differing bytes" in text


def test_a_program_of_other_weights_is_named(exported):
    """As if the compiler had misread a layer: rules and C agree, the model says otherwise."""
    model = convolutions_around_a_function()
    convolution = next(node for node in model.graph.node if node.name == "last")
    weights = next(node for node in model.graph.node if node.output[0] == convolution.input[1]).input[0]
    tensor = next(one for one in model.graph.initializer if one.name == weights)
    values = numpy_helper.to_array(tensor).copy()
    values.reshape(-1)[:] = values.reshape(-1)[::-1]
    tensor.CopyFrom(numpy_helper.from_array(values, weights))
    program = HostProgram(exported / "new_project")
    check, result = OnnxRuntimeCheck(model, program.program), Verification()
    samples = {"x": np.load(exported / "x.npy")}
    assert compare_with_rules(program, samples, lambda *one: result.add(check.check(*one))).equal
    assert result.first_wrong is not None and 'Conv "last"' in wrong_line(result.first_wrong)


def test_steps_of_int16_are_compared_as_the_reals_they_stand_for(monkeypatch):
    """int16 stands in float in the file, and a tensor of the program may be its steps: of an average that only a
    change of shape follows."""
    make = onnx.helper.make_node
    nodes = [
        make("Conv", ["x", "w"], ["c"], "conv"),
        make("GlobalAveragePool", ["c"], ["m"], "mean"),
        make("Squeeze", ["m", "axes"], ["s"], "squeeze"),
        make("Gemm", ["s", "v"], ["y"], "fc"),
    ]
    constants = {"w": random(4, 3, 3, 3), "v": random(4, 5), "axes": np.array([2, 3], np.int64)}
    model = model_of(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 5]}, constants)
    samples = random(12, 1, 3, 8, 8)
    quantized = quantize_model(model, {"x": samples}, Passes(equalize=False, fit=False, int16="mean")).model
    compiled = compile_model(quantized)
    evaluator, sample = NumpyEvaluator(compiled.imported, compiled.partitioned), {"x": samples[0]}
    arguments = (quantized, compiled, sample, evaluator.run(sample), evaluator)
    assert verify(*arguments).first_wrong is None
    monkeypatch.setattr(onnx_check, "reals_of_steps", lambda model: {})
    with pytest.raises(UserError, match="otherwise than ONNX Runtime"):
        verify(*arguments)


def test_a_float_model_is_no_fault(repo, tmp_path):
    """TVM adds the bias of a convolution in an operator of no node: what is before it is no tensor of ONNX."""
    digits, template = repo / "examples/digits", str(repo / "template_project_for_model")
    sample = str(digits / "input_sample.npy")
    project = export_onnx_model("esp32c3", str(digits / "model.onnx"), sample, template, str(tmp_path))
    assert run_project(str(project), str(digits / "model.onnx"), sample) == 0


@pytest.mark.parametrize("between", [[], ["Sigmoid"], ["Relu"]])
def test_a_flattened_image_is_no_fault(between, repo, tmp_path):
    """Images lie in memory as NHWC, flattened ones too; the weights of the layer behind them are in that order."""
    b = QdqBuilder(3)
    x = b.input("x", [1, 3, 8, 8], -5)
    x = b.conv(x, [6, 3, 3, 3], -3, relu=True, pads=[1, 1, 1, 1])
    x = b.quantize(b.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2]), -3)
    x = b.quantize(b.node("Flatten", [x]), -3)
    for operator in between:
        x = b.quantize(b.node(operator, [x]), -4)
    x = b.quantize(b.node("Gemm", [x, b.weights((5, 96), -9)], transB=1), -2)
    b.node("Softmax", [x], ["y"])
    b.output("y", [1, 5])
    onnx.save(b.model(), str(tmp_path / "m.onnx"))
    np.save(tmp_path / "x.npy", np.random.RandomState(0).randn(1, 3, 8, 8).astype(np.float32))
    template, sample = str(repo / "template_project_for_model"), str(tmp_path / "x.npy")
    project = export_onnx_model("host", str(tmp_path / "m.onnx"), sample, template, str(tmp_path))
    assert run_project(str(project), str(tmp_path / "m.onnx"), sample) == 0


def test_steps_of_int16_in_float_are_no_fault(repo, tmp_path):
    """Where an int16 tensor leaves the program as float, ONNX has its steps (not its real values) in float too."""
    b = QdqBuilder(4)
    x = b.quantize(b.node("Gemm", [b.input("x", [1, 8], -5), b.weights((3, 8), -7)], transB=1), -3)
    raw = b.node("Gemm", [x, b.weights((2, 3), -7)], transB=1)
    limits = [b.initializer(np.float32(value)) for value in (-32768, 32767)]
    steps = b.node("Floor", [b.node("Add", [b.node("Mul", [raw, b.scale(10)]), b.initializer(np.float32(0.5))])])
    b.node("Mul", [b.node("Clip", [steps, *limits]), b.scale(-10)], ["y"])
    b.output("y", [1, 2])
    onnx.save(b.model(), str(tmp_path / "m.onnx"))
    np.save(tmp_path / "x.npy", np.random.RandomState(0).randn(1, 8).astype(np.float32))
    template, sample = str(repo / "template_project_for_model"), str(tmp_path / "x.npy")
    project = export_onnx_model("host", str(tmp_path / "m.onnx"), sample, template, str(tmp_path))
    assert {call.operator for call in HostProgram(project).program.calls()} >= {"dense_s16"}


def test_a_move_before_its_change_of_exponent_is_no_fault():
    """The compiler moves int8 at the exponent of the inputs, and changes that behind it: the Concat is not yet what the
    model's QuantizeLinear makes of it."""
    b = QdqBuilder(5)
    x = b.input("x", [2, 8], -5)
    parts = [b.quantize(b.node(operator, [x]), -7) for operator in ("Tanh", "Sin")]
    b.quantize(b.node("Concat", parts, axis=1), -6, "y")
    b.output("y", [2, 16])
    model, samples = b.model(), {"x": random(2, 8)}
    compiled = compile_model(model)
    evaluator = NumpyEvaluator(compiled.imported, compiled.partitioned)
    assert verify(model, compiled, samples, evaluator.run(samples), evaluator) is not None


def test_places_that_are_used_inside_are_compared_as_such(tmp_path):
    """The second output of a node has its own name; it was compared with the first."""
    b = QdqBuilder(6)
    x = b.quantize(b.node("Sin", [b.input("x", [2, 8], -5)]), -7)
    k, seven = b.initializer(np.int64([3])), b.initializer(np.int64(7))
    b.node("TopK", [x, k], ["values", "places"], axis=1)
    b.node("Sub", [seven, "places"], ["y"])
    b.output("y", [2, 3], onnx.TensorProto.INT64)
    model, samples = b.model(), {"x": np.random.RandomState(0).randn(2, 2, 8).astype(np.float32)}
    program = Program(write_program(compile_model(model), tmp_path), Kernels(sanitize=False))
    check, result = OnnxRuntimeCheck(model, program.program), Verification()
    assert compare_with_rules(program, samples, lambda *one: result.add(check.check(*one))).equal
    assert result.first_wrong is None and "places" in {one.tensor for one in result.tensors}


def test_an_image_of_nearly_equal_values_lies_as_images_do():
    """Espressif's pedestrian detector: scores of a 7x7 map, all alike. Rounding of earlier layers made the order in
    which height and width are exchanged the nearer one, and the right program was refused."""
    random = np.random.RandomState(0)
    theirs = np.full((1, 1, 7, 7), -2.0, np.float32)
    theirs[0, 0, 2, 5] = -1.75
    ours = np.full((1, 7, 7, 1), -8, np.int8)
    ours[0, 5, 2, 0] = -7
    border = Border("x", 'Conv "x"', "conv2d", None, -2)
    assert _placed(border, ours, theirs).order == (0, 1)
    image = random.randn(1, 1, 7, 7).astype(np.float32)
    turned = np.floor(image * 16 + 0.5).astype(np.int8)[0, 0].T.reshape(1, 7, 7, 1)
    assert _placed(Border("x", 'Transpose "x"', "transpose", None, -4), turned, image).order == (1, 0)


def test_a_product_of_three_axes_is_a_border_of_its_own():
    """It is computed of two axes, and viewed as three: what it rounds is no difference of the next layer."""
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "w"], ["m"], "product"),
        onnx.helper.make_node("ThresholdedRelu", ["m"], ["y"], "jump", alpha=0.4),
    ]
    model = model_of(nodes, {"x": [1, 3, 4]}, {"y": [1, 3, 5]}, {"w": random(4, 5)})
    passes = Passes(method="minmax", equalize=False, fit=False)
    model = quantize_model(model, {"x": random(8, 1, 3, 4)}, passes).model
    program = compile_model(model).program
    assert {"m", "y_float"} <= {border.name for border in onnx_check._borders(program)}


def test_what_a_convolution_of_one_axis_reads_is_no_border(tmp_path):
    """It becomes one of images: its input gets an axis, and another layout, before the kernel."""
    nodes = [
        onnx.helper.make_node("Tanh", ["x"], ["t"], "function"),
        onnx.helper.make_node("Conv", ["t", "w"], ["c"], "causal", pads=[4, 0], dilations=[2]),
        onnx.helper.make_node("Abs", ["c"], ["y"], "positive"),
    ]
    model = model_of(nodes, {"x": [1, 6, 9]}, {"y": [1, 6, 9]}, {"w": random(6, 6, 3)})
    samples = {"x": random(4, 1, 6, 9)}
    made = quantize_model(model, samples, Passes(equalize=False, centre=False, fit=False)).model
    program = Program(write_program(compile_model(made), tmp_path), Kernels(sanitize=False))
    check, result = OnnxRuntimeCheck(made, program.program), Verification()
    assert compare_with_rules(program, samples, lambda *one: result.add(check.check(*one))).equal
    assert result.first_wrong is None, wrong_line(result.first_wrong)
