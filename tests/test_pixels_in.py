"""Images that are uint8 inputs of the model itself, channels last as cameras have them: nothing of it runs in float."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper
from small_models import model_of, random

pytest.importorskip("tvm")

from pipeline_harness import Kernels, Program, compare_with_references, write_program  # noqa: E402

from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.quantize import quantize_model  # noqa: E402
from esp_tvm.quantize.auto import Passes  # noqa: E402


def test_pixels_that_the_model_turns_and_casts(tmp_path):
    """`x.permute(0, 3, 1, 2).float() / 255` before a convolution."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["planes"], "turn", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["f"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Div", ["f", "all"], ["share"], "div"),
        helper.make_node("Conv", ["share", "w"], ["c"], "conv", strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["c"], ["y"], "mean"),
    ]
    constants = {"all": np.float32(255), "w": random(4, 3, 3, 3, scale=0.3)}
    model = model_of(nodes, {"x": [1, 9, 9, 3]}, {"y": [1, 4, 1, 1]}, constants, check=False)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    samples = {"x": np.random.RandomState(0).randint(0, 256, (16, 1, 9, 9, 3)).astype(np.uint8)}
    compiled = compile_model(quantize_model(model, samples, Passes(effort="quick")).model)
    assert [call.nodes for call in compiled.program.calls() if call.is_fallback] == []
    program = Program(write_program(compiled, tmp_path), Kernels())
    assert compare_with_references(program, compiled, samples).equal
