"""The comparison with ONNX Runtime: it holds for right programs, and names the node of a wrong one."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from qdq import QdqBuilder, convolutions_around_a_function
from tvm.relay.frontend import onnx as frontend

from esp_tvm import arithmetic
from esp_tvm.compile import compile_model
from esp_tvm.errors import UserError
from esp_tvm.evaluate import NumpyEvaluator
from esp_tvm.onnx_check import FLOAT_BOUND, Difference, Verification
from esp_tvm.onnx_quantizers import QuantizedLater
from esp_tvm.project.export import export_onnx_model
from esp_tvm.project.verify import random_sample, verify


def verified(model: onnx.ModelProto, seed: int = 0) -> Verification:
    compiled = compile_model(model)
    evaluator = NumpyEvaluator(compiled.imported, compiled.partitioned)
    random = np.random.RandomState(seed)
    sample = {p.name: random.standard_normal(p.shape).astype(p.dtype) for p in compiled.program.inputs}
    return verify(model, compiled, sample, evaluator.run(sample), evaluator)


def test_a_right_program_is_within_its_bounds():
    result = verified(convolutions_around_a_function())
    assert result.samples == 4 and result.first_wrong is None
    nodes = [difference.node for difference in result.tensors]
    assert len(nodes) >= 5 and any("middle" in node for node in nodes)
    assert 0 <= result.worst(in_steps=True) <= 1
    assert 0 < result.worst(in_steps=False) < FLOAT_BOUND
    assert result.describe()["tensors"] == len(nodes)


def test_what_stands_behind_a_product_of_many_axes_gets_the_values_of_the_program():
    """The steps by which a product is rounded otherwise would be twice as many behind a factor, as in attention."""
    b = QdqBuilder()
    b.input("a", (1, 2, 10, 16))
    b.input("b", (1, 2, 16, 10))
    product = b.quantize(b.node("MatMul", [b.quantize("a", -2), b.quantize("b", -2)], name="product"), -2)
    scaled = b.node("Mul", [product, b.initializer(np.float32(2.0**-2.5))], name="scaled")
    b.quantize(scaled, -5, output="y")
    b.output("y", (1, 2, 10, 10))
    result = verified(b.model())
    assert result.first_wrong is None
    assert any("product" in difference.node for difference in result.tensors)


def test_what_the_importer_gets_wrong_is_named(monkeypatch):
    """Both references would agree: they are made of the same import."""

    original = frontend._get_convert_map

    class Forgetful(original(13)["LRN"].__self__):
        @classmethod
        def _impl_v1(cls, inputs, attr, params):
            return super()._impl_v1(inputs, {**attr, "alpha": 0.49}, params)

    monkeypatch.setattr(
        frontend, "_get_convert_map", lambda opset: {**original(opset), "LRN": Forgetful.get_converter(opset)}
    )
    with pytest.raises(UserError) as error:
        verified(convolutions_around_a_function())
    assert 'node LRN "middle": TVM\'s C computes' in str(error.value)


def test_what_a_rule_gets_wrong_is_named(monkeypatch):
    right = arithmetic.rule

    def wrong(x, *, weights, **more):
        return right("conv2d")(x, weights=weights[::-1] if weights.shape[0] == 5 else weights, **more)

    monkeypatch.setattr(arithmetic, "rule", lambda name: wrong if name == "conv2d" else right(name))
    with pytest.raises(UserError, match='node Conv "last": the kernel conv2d computes'):
        verified(convolutions_around_a_function())


def _inverted(x, **more):
    return ~arithmetic.conv2d(x, **more)


def test_export_refuses_and_writes_nothing(tmp_path, monkeypatch, repo):
    onnx.save(convolutions_around_a_function(), str(tmp_path / "m.onnx"))
    np.save(tmp_path / "x.npy", np.ones((1, 3, 6, 6), np.float32))
    arguments = ("host", str(tmp_path / "m.onnx"), str(tmp_path / "x.npy"), str(repo / "template_project_for_model"))
    right = arithmetic.rule
    monkeypatch.setattr(arithmetic, "rule", lambda name: right(name) if name != "conv2d" else _inverted)
    with pytest.raises(UserError, match="otherwise than ONNX Runtime"):
        export_onnx_model(*arguments, str(tmp_path / "out"))
    assert not (tmp_path / "out" / "new_project").exists()


def test_division_by_zero_is_no_difference():
    """0 / 0 is no number in ONNX Runtime; the rule says what the chip makes of it."""
    b = QdqBuilder()
    x, y = b.input("x", [1, 64], -4), b.input("y", [1, 64], -4)
    b.quantize(b.node("Div", [x, y]), -4, "q")
    b.output("q", [1, 64])
    model = b.model()
    compiled = compile_model(model)
    evaluator = NumpyEvaluator(compiled.imported, compiled.partitioned)
    sample = {"x": np.zeros((1, 64), np.float32), "y": np.zeros((1, 64), np.float32)}
    sample["x"][0, ::2] = 1
    result = verify(model, compiled, sample, evaluator.run(sample), evaluator)
    assert result.first_wrong is None


def test_random_inputs_are_of_the_calibrated_range_and_indices_stay_valid():
    b = QdqBuilder()
    x = b.input("x", [1, 500], -6)
    i = b.input("i", [4], dtype=TensorProto.INT64)
    b.quantize(b.node("Gather", [x, i], axis=1), -6, "y")
    b.output("y", [1, 4])
    compiled = compile_model(b.model())
    sample = {"x": np.zeros((1, 500), np.float32), "i": np.array([499, 3, 0, 7])}
    made = random_sample(compiled.program.inputs, sample, np.random.RandomState(1))
    assert -2 <= made["x"].min() < -1.9 and 1.9 < made["x"].max() <= 127 / 64 and made["x"].dtype == np.float32
    assert sorted(made["i"]) == [0, 3, 7, 499]


def test_a_float_that_becomes_an_index_stays_within_its_table():
    """Random values of its exponent, up to 127 steps, are no rows of the table: the export was refused."""
    b = QdqBuilder()
    b.input("x", (1, 6))
    rows = b.node("Cast", [b.quantize("x", 0)], to=TensorProto.INT64)
    found = b.node("Gather", [b.initializer(np.random.RandomState(1).randn(5, 4).astype(np.float32)), rows], axis=0)
    b.quantize(b.node("Relu", [b.quantize(found, -5)]), -5, output="y")
    b.output("y", (1, 6, 4))
    model = b.model()
    compiled = compile_model(model)
    evaluator = NumpyEvaluator(compiled.imported, compiled.partitioned)
    sample = {"x": np.array([[0, 4, 2, 1, 3, 0]], np.float32)}
    result = verify(model, compiled, sample, evaluator.run(sample), evaluator)
    assert result.samples == 4 and result.first_wrong is None


def test_what_a_later_quantize_clips_may_be_clipped_before_it_is_moved():
    """A requantize to a finer exponent goes before a transpose: it was taken for a wrong transpose."""
    b = QdqBuilder()
    b.input("x", (1, 4, 6))
    moved = b.node("Transpose", [b.quantize(b.node("Relu", [b.quantize("x", -2)]), -2)], perm=[0, 2, 1], name="turned")
    first = b.initializer(np.random.RandomState(1).randn(1, 1, 4).astype(np.float32))
    b.quantize(b.node("Concat", [first, b.quantize(moved, -2)], axis=1), -5, output="y")
    b.output("y", (1, 7, 4))
    result = verified(b.model())
    assert result.first_wrong is None
    assert any("turned" in difference.node for difference in result.tensors)


def test_what_is_clipped_for_one_of_two_readers_is_named():
    """Where something else reads the tensor as it is, clipping it before would be wrong."""
    b = QdqBuilder()
    b.input("x", (1, 4, 6))
    moved = b.node("Transpose", [b.quantize("x", -2)], perm=[0, 2, 1], name="turned")
    b.quantize(b.node("Flatten", [moved]), -5, output="y")
    b.output("y", (1, 24))
    later = QuantizedLater(b.model())
    assert later.exponents(moved) == {-5}
    b.quantize(b.node("Relu", [moved]), -2, output="z")
    b.output("z", (1, 6, 4))
    assert QuantizedLater(b.model()).exponents(moved) == set()


def test_the_worst_sample_counts():
    def difference(worst):
        return Difference("t", "Node", "", worst, 1.0, True)

    result = Verification()
    for worst in (0.5, 2.0, 0.0):
        result.add([difference(worst)])
    assert result.samples == 3 and result.first_wrong.worst == 2.0
    result = Verification()
    result.add([difference(float("nan"))])
    assert result.first_wrong is not None


def test_an_output_of_whole_numbers_must_be_equal():
    b = QdqBuilder()
    x = b.input("x", [1, 8], -4)
    b.node("ArgMax", [x], ["y"], axis=1)
    b.output("y", [1, 1], TensorProto.INT64)
    result = verified(b.model())
    assert result.tensors[-1].tensor == "y" and result.tensors[-1].bound == 0 and result.first_wrong is None
