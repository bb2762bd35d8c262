"""The two references: they agree with each other, and TVM's debug executor gives the documented dump."""

from __future__ import annotations

import numpy as np
import pytest
from qdq import QdqBuilder

pytest.importorskip("tvm")

from esp_tvm.compile.importing.import_onnx import import_onnx, relay, tvm  # noqa: E402
from esp_tvm.compile.partition import partition  # noqa: E402
from esp_tvm.evaluate import (  # noqa: E402
    NumpyEvaluator,
    TvmEvaluator,
    build_for_host,
    evaluate_onnx_for_esp,
)


def small_network(bias_zero_points=False):
    b = QdqBuilder(seed=3)
    b.bias_zero_points = bias_zero_points
    x = b.input("x", [1, 3, 9, 11], -4)
    x = b.conv(x, [8, 3, 3, 3], -1, e_w=[-9, -8, -7, -8, -8, -8, -6, -10], relu=True, pads=[1, 1, 1, 1])
    y = b.conv(x, [8, 1, 3, 3], -2, group=8, pads=[1, 1, 1, 1])
    y = b.conv(y, [8, 4, 1, 1], 1, group=2)
    x = b.quantize(b.node("Relu", [b.node("Add", [x, y])]), 0)
    x = b.quantize(b.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2]), 0)
    x = b.quantize(b.node("AveragePool", [x], kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1), -1)
    x = b.quantize(b.node("Sigmoid", [x]), -7)
    x = b.quantize(b.node("GlobalAveragePool", [x]), -8)
    x = b.quantize(b.node("Flatten", [x]), -8)
    w = b.weights([8, 5], [-7, -8, -6, -7, -7], axis=1)
    x = b.quantize(b.node("Gemm", [x, w, b.bias(5, np.array([-15, -16, -14, -15, -15]))]), -4)
    b.node("Softmax", [x], ["y"], axis=-1)
    b.output("y", [1, 5])
    return b.model()


def test_both_references_agree_in_every_tensor():
    imported = import_onnx(small_network())
    partitioned = partition(imported)
    numpy, host = NumpyEvaluator(imported, partitioned), TvmEvaluator(imported, partitioned)
    random = np.random.RandomState(0)
    for scale in (1, 10):
        sample = {"x": (random.randn(1, 3, 9, 11) * scale).astype(np.float32)}
        one, other = numpy.run(sample), host.run(sample)
        assert set(one.tensors) == set(other.tensors)
        for symbol, tensor in one.tensors.items():
            call = partitioned.calls[symbol]
            assert tensor.dtype == call.output.dtype and tensor.shape == call.output.shape
            np.testing.assert_array_equal(tensor, other.tensors[symbol], err_msg=str(call.nodes))
        np.testing.assert_array_equal(one.outputs["y"], other.outputs["y"])


def test_documented_functions_take_any_module():
    """evaluate_onnx_for_esp on a module as the documented flow makes it, NHWC conversion included."""
    model = small_network(bias_zero_points=True)
    mod, params = relay.frontend.from_onnx(model, shape={"x": [1, 3, 9, 11]}, freeze_params=False)
    evaluated = evaluate_onnx_for_esp(mod, params)
    x = np.random.RandomState(1).randn(1, 3, 9, 11).astype(np.float32)
    from tvm.contrib import graph_executor

    module = graph_executor.GraphModule(build_for_host(evaluated)["default"](tvm.cpu()))
    module.set_input("x", x)
    module.run()
    imported = import_onnx(model)
    expected = NumpyEvaluator(imported, partition(imported)).run({"x": x}).outputs["y"]
    np.testing.assert_array_equal(module.get_output(0).numpy(), expected)


@pytest.mark.parametrize("value", [0.5, -0.5, 1.5, -1.5, 126.5, 127.49, 1e30, -1e30, np.nan, np.inf, -np.inf, 1e-45])
def test_quantize_of_the_references(value):
    b = QdqBuilder()
    b.input("x", [1, 2])
    b.quantize("x", 0, "y")
    b.output("y", [1, 2])
    imported = import_onnx(b.model())
    partitioned = partition(imported)
    sample = {"x": np.array([[value, 3.0]], np.float32)}
    expected = 0.0 if np.isnan(value) else float(np.clip(np.floor(np.float64(value) + 0.5), -128, 127))
    for evaluator in (NumpyEvaluator, TvmEvaluator):
        y = evaluator(imported, partitioned).run(sample).outputs["y"]
        np.testing.assert_array_equal(y, np.array([[expected, 3.0]], np.float32))


def test_nan_is_not_equal_to_itself_on_the_host():
    x = relay.var("x", shape=(3,), dtype="float32")
    mod = relay.transform.InferType()(tvm.IRModule.from_expr(relay.Function([x], relay.equal(x, x))))
    from tvm.contrib import graph_executor

    module = graph_executor.GraphModule(build_for_host(mod)["default"](tvm.cpu()))
    module.set_input("x", np.array([np.nan, 1, np.inf], np.float32))
    module.run()
    assert module.get_output(0).numpy().tolist() == [False, True, True]
