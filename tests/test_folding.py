"""Factors and offsets fold into the weights before them; 1-D convolutions get every pass."""

import numpy as np
import onnxruntime
import pytest
from onnx import helper
from small_models import model_of, random

from esp_tvm.onnx_graph import edited
from esp_tvm.quantize import quantize_model
from esp_tvm.quantize.folding import means_as_pooling
from esp_tvm.quantize.graph import read_network
from esp_tvm.quantize.judge import judge

node = helper.make_node


def run(model, x):
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]


def normalization(channels):
    return {
        "gamma": random(channels, seed=3) + 2,
        "beta": random(channels, seed=4),
        "mean": random(channels, seed=5),
        "var": np.abs(random(channels, seed=6)) + np.float32(0.5),
    }


BN = ["gamma", "beta", "mean", "var"]
# nodes, shape of x, shape of y, constants, what is left of the nodes
CASES = {
    "dense, batch normalization": (
        [node("Gemm", ["x", "w", "b"], ["g"], transB=1), node("BatchNormalization", ["g", *BN], ["y"])],
        ([1, 6], [1, 5], {"w": random(5, 6), "b": random(5), **normalization(5)}),
        ["Gemm"],
    ),
    "matmul, bias, factor, offset": (
        [
            node("MatMul", ["x", "w"], ["g"]),
            node("Add", ["b", "g"], ["h"]),
            node("Div", ["h", "c"], ["i"]),
            node("Sub", ["d", "i"], ["y"]),
        ],
        ([1, 3, 6], [1, 3, 5], {"w": random(6, 5), "b": random(5), "c": random(5) + 3, "d": random(1, 1, 5)}),
        ["MatMul", "Add"],
    ),
    "1-D convolution, batch normalization": (
        [node("Conv", ["x", "w"], ["g"]), node("BatchNormalization", ["g", *BN], ["y"])],
        ([1, 4, 9], [1, 5, 7], {"w": random(5, 4, 3), **normalization(5)}),
        ["Conv"],
    ),
    "an offset that differs by place": (
        [node("Conv", ["x", "w"], ["g"]), node("Add", ["g", "c"], ["y"])],
        ([1, 4, 9], [1, 5, 7], {"w": random(5, 4, 3), "c": random(1, 1, 7)}),
        ["Conv", "Add"],
    ),
    "a mean over all places": (
        [node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0), node("Gemm", ["m", "w"], ["y"], transB=1)],
        ([1, 4, 3, 3], [1, 5], {"w": random(5, 4)}),
        ["GlobalAveragePool", "Reshape", "Gemm"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_folds(case):
    nodes, (inputs, outputs, constants), left = CASES[case]
    model = model_of(nodes, {"x": inputs}, {"y": outputs}, constants)
    network = read_network(model)
    assert [n.op_type for n in network.model.graph.node] == left
    x = random(*inputs, seed=9)
    np.testing.assert_allclose(run(network.model, x), run(model, x), rtol=1e-4, atol=1e-5)


def test_a_product_that_is_read_twice_keeps_its_factor():
    nodes = [node("Gemm", ["x", "w"], ["g"], transB=1), node("Mul", ["g", "c"], ["h"]), node("Add", ["g", "h"], ["y"])]
    model = model_of(nodes, {"x": [1, 6]}, {"y": [1, 5]}, {"w": random(5, 6), "c": random(5)})
    assert [n.op_type for n in read_network(model).model.graph.node] == ["Gemm", "Mul", "Add"]


def test_a_series_is_as_good_as_an_image_of_one_row():
    spread = np.exp2(np.arange(8) - 4).astype(np.float32)

    def model(rank):
        def shape(*sizes):
            return sizes if rank == 3 else (*sizes[:-1], 1, sizes[-1])

        constants = {
            "w": random(8, 4, 3, scale=0.4) * spread[:, None, None],
            "v": random(8, 1, 5, scale=0.4),
            "u": random(6, 8, 1) / spread[None, :, None],
        }
        constants = {name: values.reshape(shape(*values.shape)) for name, values in constants.items()}
        nodes = [
            node("Conv", ["x", "w"], ["c"], auto_pad="SAME_UPPER"),
            node("Relu", ["c"], ["r"]),
            node("Conv", ["r", "v"], ["d"], group=8, dilations=[2] if rank == 3 else [1, 2]),
            node("Relu", ["d"], ["s"]),
            node("Conv", ["s", "u"], ["e"]),
            node("GlobalAveragePool", ["e"], ["y"]),
        ]
        sizes = shape(1, 4, 20), shape(1, 6, 1)
        return model_of(nodes, {"x": list(sizes[0])}, {"y": list(sizes[1])}, constants)

    found = []
    for rank in (3, 4):
        samples, new = ({"x": random(24, *([1, 4, 20] if rank == 3 else [1, 4, 1, 20]), seed=s)} for s in (1, 2))
        one = model(rank)
        found.append(judge(one, quantize_model(one, samples).model, new).decibels)
    assert found[0] == pytest.approx(found[1], abs=0.3) and found[0] > 25.0


def test_a_node_without_inputs_is_no_mean():
    """The window functions of ONNX, written out, begin with such nodes."""
    nodes = [node("RandomNormal", [], ["k"], shape=[1, 4, 3, 3]), node("Add", ["x", "k"], ["y"])]
    model = model_of(nodes, {"x": [1, 4, 3, 3]}, {"y": [1, 4, 3, 3]})
    with edited(model) as graph:
        means_as_pooling(graph)
    assert list(model.graph.node) == nodes


def test_a_mean_of_the_last_axis_is_a_pool_where_channels_are_last():
    """Of a sequence it is a mean without a transpose; behind a convolution a pool, as GlobalAveragePool is."""

    def kinds(*before):
        mean = node("ReduceMean", [before[-1].output[0] if before else "x"], ["y"], axes=[-1], keepdims=0)
        model = model_of([*before, mean], {"x": [1, 4, 20]}, {"y": [1, 4]}, {"w": random(4, 4, 1)})
        with edited(model) as graph:
            means_as_pooling(graph)
        return [one.op_type for one in model.graph.node[len(before) :]]

    assert kinds() == kinds(node("Softmax", ["x"], ["s"])) == ["ReduceMean"]
    convolution = node("Conv", ["x", "w"], ["c"])
    assert kinds(convolution, node("Relu", ["c"], ["r"])) == ["GlobalAveragePool", "Reshape"]
