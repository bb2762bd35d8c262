"""Masks of attention that the model computes: bounded so that int8 holds the scores beside them."""

from __future__ import annotations

from typing import Dict

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import model_of, random

from esp_tvm.model import session
from esp_tvm.quantize import quantize_model
from esp_tvm.quantize.auto import Passes
from esp_tvm.quantize.masks import bound_masks

make = helper.make_node
HALF, ONE, ZERO, AXIS = np.float32(0.5), np.float32(1), np.float32(0), np.array([1], np.int64)
# How exporters write a padding mask of `present` [1, 6], ones and zeros.
_FORMS = {
    "masked_fill with -inf": (
        [make("Less", ["present", "half"], ["absent"]), make("Where", ["absent", "low", "zero"], ["row"])],
        -np.inf,
    ),
    "kept where present": (
        [make("Greater", ["present", "half"], ["there"]), make("Where", ["there", "zero", "low"], ["row"])],
        -1e9,
    ),
    "(1 - mask) * lowest": (
        [make("Sub", ["one", "present"], ["absent"]), make("Mul", ["absent", "low"], ["row"])],
        float(np.finfo(np.float32).min),
    ),
}


def attention(form: str, more=()) -> onnx.ModelProto:
    """Two softmaxes whose scores [1, 4, 6] the same mask lowers."""
    nodes, low = _FORMS[form]
    nodes = [
        *nodes,
        make("Unsqueeze", ["row", "axis"], ["mask"]),
        make("Add", ["x", "mask"], ["s"]),
        make("Softmax", ["s"], ["p"], axis=-1),
        make("MatMul", ["p", "v"], ["y"]),
        make("Mul", ["x", "half"], ["z"]),
        make("Add", ["mask", "z"], ["t"]),
        make("Softmax", ["t"], ["q"], axis=-1),
        make("MatMul", ["q", "v"], ["u"]),
        *more,
    ]
    constants = {"low": np.float32(low), "half": HALF, "one": ONE, "zero": ZERO, "axis": AXIS, "v": random(6, 3)}
    return model_of(nodes, {"x": [1, 4, 6], "present": [1, 6]}, {"y": [1, 4, 3], "u": [1, 4, 3]}, constants)


def samples(largest: float = 1.0) -> Dict[str, np.ndarray]:
    present = (np.random.RandomState(0).rand(24, 1, 6) > 0.4).astype(np.float32)
    present[:, :, 0] = 1
    return {"x": random(24, 1, 4, 6, scale=4.0), "present": present * np.float32(largest)}


def run(model: onnx.ModelProto, given: Dict[str, np.ndarray]):
    one = session(model)
    return [one.run(["y", "u"], {name: array[i] for name, array in given.items()}) for i in range(8)]


@pytest.mark.parametrize("form", _FORMS)
def test_a_computed_mask_is_bounded(form):
    model, given = attention(form), samples()
    bounded = bound_masks(model, given)
    least = min(float(onnx.numpy_helper.to_array(t).min()) for t in bounded.graph.initializer if t.name != "low")
    assert -60 < least < -16
    assert np.abs(np.array(run(model, given)) - np.array(run(bounded, given))).max() < 2e-3
    quantized = quantize_model(model, given, Passes(effort="quick")).model
    wanted, got = (np.array(run(one, given)) for one in (model, quantized))
    assert 10 * np.log10(np.sum(wanted**2) / np.sum((got - wanted) ** 2)) > 28


def test_what_is_no_mask_stays():
    """Read by something else than a softmax, or multiplied with what is not from 0 to 1."""
    read = attention("kept where present", [make("ReduceSum", ["row"], ["total"], keepdims=0)])
    read.graph.output.extend([helper.make_tensor_value_info("total", onnx.TensorProto.FLOAT, [])])
    assert bound_masks(read, samples()) is read
    many = attention("(1 - mask) * lowest")
    low = {t.name: onnx.numpy_helper.to_array(t) for t in bound_masks(many, samples(3.0)).graph.initializer}["low"]
    assert low == np.finfo(np.float32).min
