"""Cubic Resize as convolutions and products: the same values as ONNX Runtime's, and integer kernels for them."""

from __future__ import annotations

from typing import Dict, List

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


def resized(options: Dict, shape: List[int], scales=None, sizes=None) -> onnx.ModelProto:
    """A model of a cubic Resize behind a Relu."""
    constants = {"s": np.array(scales if sizes is None else sizes, np.float32 if sizes is None else np.int64)}
    inputs = ["r", "", "s"] if sizes is None else ["r", "", "", "s"]
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Resize", inputs, ["y"], mode="cubic", **options)]
    outputs = [int(np.floor(a * b)) for a, b in zip(shape, scales)] if sizes is None else sizes
    return model_of(nodes, {"x": shape}, {"y": outputs}, constants)


_TORCH = {"coordinate_transformation_mode": "pytorch_half_pixel", "cubic_coeff_a": -0.75}
_CASES = {
    "twice": (_TORCH, [1, 3, 5, 7], [1, 1, 2, 2], None, "Conv"),
    "four times, by sizes": (_TORCH, [1, 2, 3, 4], None, [1, 2, 12, 16], "Conv"),
    "three times": ({"coordinate_transformation_mode": "half_pixel"}, [1, 2, 3, 4], [1, 1, 3, 3], None, "Conv"),
    "twice, asymmetric": ({"coordinate_transformation_mode": "asymmetric"}, [1, 2, 5, 4], [1, 1, 2, 2], None, "Conv"),
    "half": (_TORCH, [2, 3, 6, 8], [1, 1, 0.5, 0.5], None, "Conv"),
    "a third and a quarter": (_TORCH, [1, 3, 6, 8], None, [1, 3, 2, 2], "Conv"),
    "a row's half": (_TORCH, [1, 2, 6, 8], None, [1, 2, 6, 4], "Conv"),
    "a fifth": (_TORCH, [1, 2, 10, 20], None, [1, 2, 2, 4], "MatMul"),
    "1.5": (_TORCH, [1, 3, 6, 7], [1, 1, 1.5, 1.5], None, "MatMul"),
    "rows alone, twice": (_TORCH, [1, 3, 6, 7], None, [1, 3, 12, 7], "MatMul"),
    "up and down": (_TORCH, [1, 3, 6, 8], None, [1, 3, 9, 5], "MatMul"),
    "corners": ({"coordinate_transformation_mode": "align_corners"}, [1, 2, 5, 6], None, [1, 2, 9, 11], "MatMul"),
    "without what is outside": ({**_TORCH, "exclude_outside": 1}, [1, 2, 5, 6], None, [1, 2, 10, 12], "MatMul"),
    "to one row": (_TORCH, [1, 2, 3, 6], None, [1, 2, 1, 3], "MatMul"),
    "another slope": ({**_TORCH, "cubic_coeff_a": -0.5}, [1, 2, 4, 4], [1, 1, 2, 2], None, "Conv"),
}


@pytest.mark.parametrize("name", _CASES)
def test_values_are_those_of_onnx_runtime(name, tmp_path):
    options, shape, scales, sizes, kind = _CASES[name]
    model = resized(options, shape, scales, sizes)
    onnx.save(model, str(tmp_path / "m.onnx"))
    loaded = load_model(tmp_path / "m.onnx")
    kinds = [node.op_type for node in loaded.graph.node]
    assert kind in kinds and "Resize" not in kinds
    x = random(*shape, scale=2.0)
    wanted, got = (session(one).run(["y"], {"x": x})[0] for one in (model, loaded))
    assert got.shape == wanted.shape and np.abs(got - wanted).max() < 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("name, decibels", [("twice", 33.0), ("half", 33.0), ("1.5", 30.0)])
def test_it_runs_in_integers(name, decibels, tmp_path):
    options, shape, scales, sizes, _ = _CASES[name]
    onnx.save(resized(options, shape, scales, sizes), str(tmp_path / "m.onnx"))
    samples = {"x": random(24, *shape, scale=2.0)}
    model = load_model(tmp_path / "m.onnx")
    quantized = quantize_model(model, samples, Passes(effort="quick")).model
    assert not any(call.is_fallback for call in compile_model(quantized).program.calls())
    wanted, got = (session(one).run(["y"], {"x": samples["x"][0]})[0] for one in (model, quantized))
    assert 10 * np.log10(np.sum(wanted**2) / np.sum((got - wanted) ** 2)) > decibels
