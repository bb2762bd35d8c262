"""What TVM's ONNX importer gets wrong is put right, or refused by name before anything is computed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from esp_tvm.compile import compile_model
from esp_tvm.errors import UserError
from esp_tvm.evaluate import NumpyEvaluator
from esp_tvm.model import load_model
from esp_tvm.onnx_check import FLOAT_BOUND
from esp_tvm.project.verify import verify

STEPS, BATCH, IN, HIDDEN = 4, 2, 3, 5


def model(node, inputs, constants=(), outputs=1, opset=16) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    empty = [helper.make_empty_tensor_value_info(name) for name in node.output[:outputs]]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in dict(constants).items()]
    made = helper.make_model(
        helper.make_graph([node], "g", values, empty, tensors), opset_imports=[helper.make_opsetid("", opset)]
    )
    made.ir_version = 8
    return onnx.shape_inference.infer_shapes(made)


def computed(made: onnx.ModelProto, tmp_path) -> None:
    """Compile the float model, and compare it with ONNX Runtime."""
    onnx.save(made, str(tmp_path / "m.onnx"))
    loaded = load_model(tmp_path / "m.onnx")
    compiled = compile_model(loaded)
    evaluator = NumpyEvaluator(compiled.imported, compiled.partitioned)
    random = np.random.RandomState(5)
    sample = {port.name: random.standard_normal(port.shape).astype(port.dtype) for port in compiled.program.inputs}
    result = verify(loaded, compiled, sample, evaluator.run(sample), evaluator)
    assert result.samples == 4 and result.worst(in_steps=False) < FLOAT_BOUND


def recurrent(kind: str, inputs=("x", "w", "r", "b"), more=(), **attributes) -> onnx.ModelProto:
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind]
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    random = np.random.RandomState(1)
    constants = {
        "w": random.standard_normal((directions, gates * HIDDEN, IN)).astype(np.float32),
        "r": random.standard_normal((directions, gates * HIDDEN, HIDDEN)).astype(np.float32),
        "b": random.standard_normal((directions, 2 * gates * HIDDEN)).astype(np.float32),
        **dict(more),
    }
    node = helper.make_node(kind, list(inputs), ["y", "yh"], kind.lower(), hidden_size=HIDDEN, **attributes)
    return model(node, {"x": [STEPS, BATCH, IN]}, constants, outputs=2)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_directions_of_recurrent_layers(tmp_path, direction):
    computed(recurrent("RNN", direction=direction), tmp_path)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_global_pooling_by_norms(tmp_path, p):
    node = helper.make_node("GlobalLpPool", ["x"], ["y"], "pool", p=p)
    computed(model(node, {"x": [1, 2, 6, 7]}), tmp_path)


def roi_align(**attributes):
    node = helper.make_node("RoiAlign", ["x", "rois", "i"], ["y"], "roi", output_height=2, output_width=2, **attributes)
    rois = np.array([[0, 0, 4, 4], [1, 2, 5, 6]], np.float32)
    return model(node, {"x": [1, 2, 8, 8]}, {"rois": rois, "i": np.zeros(2, np.int64)})


def grid_sample(**attributes):
    node = helper.make_node("GridSample", ["x", "grid"], ["y"], "grid_sample", **attributes)
    return model(node, {"x": [1, 2, 6, 6], "grid": [1, 3, 3, 2]})


LENGTHS = {"lengths": np.array([STEPS, STEPS - 1], np.int32)}
IGNORED = {
    "clip": (lambda: recurrent("LSTM", clip=100.0), "'lstm' (LSTM)", "'clip'"),
    "clip of a GRU": (lambda: recurrent("GRU", clip=100.0), "'gru' (GRU)", "'clip'"),
    "input_forget": (lambda: recurrent("LSTM", input_forget=1), "'lstm' (LSTM)", "'input_forget'"),
    "layout": (lambda: recurrent("RNN", layout=1), "'rnn' (RNN)", "'layout'"),
    "lengths": (lambda: recurrent("GRU", ("x", "w", "r", "b", "lengths"), LENGTHS), "'gru' (GRU)", "sequence_lens"),
    "max of regions": (
        lambda: roi_align(mode="max", coordinate_transformation_mode="output_half_pixel"),
        "'roi' (RoiAlign)",
        "'max'",
    ),
    "bicubic at borders": (
        lambda: grid_sample(mode="bicubic", padding_mode="border"),
        "'grid_sample' (GridSample)",
        "'bicubic'",
    ),
}


@pytest.mark.parametrize("name", sorted(IGNORED))
def test_what_the_importer_ignores_is_refused(tmp_path, name):
    make, node, what = IGNORED[name]
    onnx.save(make(), str(tmp_path / "m.onnx"))
    with pytest.raises(UserError) as error:
        compile_model(load_model(tmp_path / "m.onnx"))
    assert f"node {node}: TVM does not know" in str(error.value) and what in str(error.value)
