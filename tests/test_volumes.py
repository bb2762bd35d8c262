"""Convolutions and pools of volumes as those of images: the same values, and integer kernels for them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import model_of, random

pytest.importorskip("tvm")

from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.model import load_model, session  # noqa: E402
from esp_tvm.quantize import quantize_model  # noqa: E402
from esp_tvm.quantize.auto import Passes  # noqa: E402

X = [1, 2, 5, 7, 6]
_CASES = {
    "Conv": ("Conv", {}, (4, 2, 3, 3, 3)),
    "Conv, padded": ("Conv", {"pads": [1, 1, 0, 1, 1, 1], "strides": [2, 1, 2]}, (4, 2, 3, 3, 2)),
    "Conv, dilated": ("Conv", {"pads": [2, 0, 0, 0, 0, 0], "dilations": [2, 1, 2]}, (3, 2, 2, 3, 2)),
    "Conv, same": ("Conv", {"auto_pad": "SAME_UPPER", "strides": [2, 2, 2]}, (3, 2, 3, 2, 3)),
    "Conv of all depths": ("Conv", {"pads": [0, 1, 1, 0, 1, 1]}, (3, 2, 5, 3, 3)),
    "MaxPool": ("MaxPool", {"kernel_shape": [2, 2, 2], "strides": [2, 2, 2]}, None),
    "MaxPool, padded": ("MaxPool", {"kernel_shape": [3, 3, 2], "strides": [2, 2, 1], "pads": [1, 1, 0, 1, 1, 1]}, None),
    "MaxPool of images": ("MaxPool", {"kernel_shape": [1, 2, 2], "strides": [1, 2, 2]}, None),
    "MaxPool of depths": ("MaxPool", {"kernel_shape": [3, 1, 1], "auto_pad": "SAME_LOWER"}, None),
    "AveragePool": ("AveragePool", {"kernel_shape": [2, 3, 2], "pads": [1, 1, 0, 0, 1, 1]}, None),
    "AveragePool, pads count": (
        "AveragePool",
        {"kernel_shape": [2, 3, 2], "pads": [1, 1, 0, 0, 1, 1], "count_include_pad": 1},
        None,
    ),
}


def model(name: str) -> onnx.ModelProto:
    operator, attributes, weights = _CASES[name]
    constants = {} if weights is None else {"w": random(*weights, scale=0.3), "b": random(weights[0])}
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["s"], "first"),
        helper.make_node(operator, ["s", *constants], ["y"], "volume", **attributes),
    ]
    made = model_of(nodes, {"x": X}, {"y": [1] + [None] * 4}, constants)
    return onnx.shape_inference.infer_shapes(made)


@pytest.mark.parametrize("name", _CASES)
def test_values_are_the_same(name, tmp_path):
    onnx.save(model(name), str(tmp_path / "m.onnx"))
    loaded = load_model(tmp_path / "m.onnx")
    assert not [node for node in loaded.graph.node if len(node.attribute) and "volume" == node.name and _deep(node)]
    x = random(*X, scale=2.0)
    wanted, got = (session(one).run(["y"], {"x": x})[0] for one in (model(name), loaded))
    assert got.shape == wanted.shape and np.abs(got - wanted).max() < 1e-5


def _deep(node: onnx.NodeProto) -> bool:
    return any(entry.name == "kernel_shape" and len(entry.ints) == 3 for entry in node.attribute)


@pytest.mark.parametrize("name", ["Conv, padded", "MaxPool", "AveragePool"])
def test_they_run_in_integers(name, tmp_path):
    onnx.save(model(name), str(tmp_path / "m.onnx"))
    samples = {"x": random(16, *X, scale=2.0)}
    quantized = quantize_model(load_model(tmp_path / "m.onnx"), samples, Passes(effort="quick")).model
    assert [call.nodes for call in compile_model(quantized).program.calls() if call.is_fallback] == []


def test_groups_stay(tmp_path):
    made = model_of(
        [helper.make_node("Conv", ["x", "w"], ["y"], group=2)],
        {"x": X},
        {"y": [1, 4, 3, 5, 4]},
        {"w": random(4, 1, 3, 3, 3)},
    )
    onnx.save(made, str(tmp_path / "m.onnx"))
    assert [node.op_type for node in load_model(tmp_path / "m.onnx").graph.node] == ["Conv"]
