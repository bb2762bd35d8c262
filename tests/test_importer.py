"""What TVM's ONNX importer gets wrong is put right, or refused by name before anything is computed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import tvm
from onnx import TensorProto, helper, numpy_helper
from pipeline_harness import Kernels, Program, float_outputs, write_program
from tvm import relay
from tvm.relay.frontend import onnx as frontend

from esp_tvm.compile import compile_model, import_model
from esp_tvm.compile.importing import known_types as known_types_module
from esp_tvm.compile.importing.known_types import known_types
from esp_tvm.errors import UserError
from esp_tvm.evaluate import NumpyEvaluator
from esp_tvm.model import load_model
from esp_tvm.onnx_check import FLOAT_BOUND
from esp_tvm.project.verify import verify

STEPS, BATCH, IN, HIDDEN = 4, 2, 3, 5


def model(nodes, inputs, constants=(), outputs=None, opset=16) -> onnx.ModelProto:
    """outputs: their names; all that the nodes make where none are given"""
    nodes = nodes if isinstance(nodes, list) else [nodes]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    names = outputs or [name for node in nodes for name in node.output]
    empty = [helper.make_empty_tensor_value_info(name) for name in names]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in dict(constants).items()]
    made = helper.make_model(
        helper.make_graph(nodes, "g", values, empty, tensors), opset_imports=[helper.make_opsetid("", opset)]
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
    return model(node, {"x": [STEPS, BATCH, IN]}, constants)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_directions_of_recurrent_layers(tmp_path, direction):
    computed(recurrent("RNN", direction=direction), tmp_path)


def _layer(kind: str, direction: str, random: np.random.RandomState):
    """(node, constants) of a layer with initial states, an LSTM with peepholes: no kernel takes it."""
    gates, directions = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind], 2 if direction == "bidirectional" else 1
    shapes = {
        "w": (directions, gates * HIDDEN, IN),
        "r": (directions, gates * HIDDEN, HIDDEN),
        "b": (directions, 2 * gates * HIDDEN),
        "h": (directions, BATCH, HIDDEN),
        "c": (directions, BATCH, HIDDEN),
        "p": (directions, 3 * HIDDEN),
    }
    name = f"{kind}_{direction}"
    constants = {f"{name}_{key}": random.standard_normal(shape).astype(np.float32) for key, shape in shapes.items()}
    w, r, b, h, c, p = constants
    inputs = ["x", w, r, b, "", h, *([c, p] if kind == "LSTM" else [])]
    outputs = [f"{name}_y", f"{name}_yh"]
    node = helper.make_node(kind, inputs, outputs, name, hidden_size=HIDDEN, direction=direction)
    return node, {key: constants[key] for key in inputs if key in constants}


def test_recurrent_layers_in_float_run_as_in_onnx_runtime(tmp_path):
    random, nodes, constants = np.random.RandomState(2), [], {}
    for kind, direction in (("RNN", "bidirectional"), ("GRU", "reverse"), ("LSTM", "reverse")):
        node, tensors = _layer(kind, direction, random)
        nodes.append(node)
        constants.update(tensors)
    made = model(nodes, {"x": [2, BATCH, IN]}, constants)
    onnx.save(made, str(tmp_path / "m.onnx"))
    loaded = load_model(tmp_path / "m.onnx")
    program = Program(write_program(compile_model(loaded), tmp_path), Kernels(sanitize=False))
    samples = {"x": random.standard_normal((2, 2, BATCH, IN)).astype(np.float32)}
    ours = program.run(samples)
    for name, right in float_outputs(loaded, samples).items():
        assert np.allclose(ours[name], right, atol=1e-5), name


def test_what_two_expressions_read_is_looked_at_once():
    """A state that each step reads twice made 2^steps looks; folds still what is constant behind it."""
    with known_types():
        expr = relay.var("x", shape=(3,))
        for _ in range(60):
            expr = relay.add(expr, expr)
        assert frontend.fold_constant(expr).same_as(expr)
        folded = frontend.fold_constant(relay.add(expr, relay.add(relay.const([1.0, 2.0, 3.0]), relay.const(2.0))))
        assert isinstance(folded.args[1], relay.Constant) and folded.args[1].data.numpy().tolist() == [3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    "a, b", [([2, 3, 4], [2, 4, 5]), ([2, 3, 4], [4, 5]), ([4, 5], [3, 5, 2]), ([2, 1, 3, 4], [6, 4, 2]), ([3, 4], [4])]
)
def test_shapes_of_products_are_folded_as_tvm_folds_them(a, b, monkeypatch):
    made = model(helper.make_node("MatMul", ["a", "b"], ["y"]), {"a": a, "b": b})
    folded: list = []
    original = known_types_module._folded_shape
    monkeypatch.setattr(known_types_module, "_folded_shape", lambda expr: folded.append(original(expr)) or folded[-1])
    here = import_model(made)[0].mod
    assert None not in folded and (folded or len(b) == 1)
    monkeypatch.setattr(known_types_module, "_folded_shape", lambda expr: None)
    tvm.ir.assert_structural_equal(here, import_model(made)[0].mod)


def test_mean_of_shapes_that_are_not_the_same(tmp_path):
    node = helper.make_node("Mean", ["x", "a", "b"], ["y"], "mean")
    computed(model(node, {"x": [3, 4], "a": [3, 1], "b": [4]}), tmp_path)


def test_outputs_that_nothing_reads(tmp_path):
    nodes = [
        helper.make_node("MaxPool", ["x"], ["y", "unread"], "pool", kernel_shape=[2, 2]),
        helper.make_node("Relu", ["y"], ["z"], "relu"),
    ]
    computed(model(nodes, {"x": [1, 2, 6, 7]}, outputs=["z"]), tmp_path)


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


IGNORED = {
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


@pytest.mark.parametrize("compiled", [True, False])
def test_what_tvm_has_no_code_for_is_refused_by_name(tmp_path, compiled):
    """By the compiler for the chip, and by the reference for this computer."""
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["s"], "before"),
        helper.make_node("ConvTranspose", ["s", "w"], ["y"], "groups of 3-D", group=2),
    ]
    made = model(nodes, {"x": [1, 2, 2, 2, 2]}, {"w": np.ones((2, 1, 1, 1, 1), np.float32)}, ["y"])
    onnx.save(made, str(tmp_path / "m.onnx"))
    loaded = load_model(tmp_path / "m.onnx")
    with pytest.raises(UserError, match=r"^node 'groups of 3-D' \(ConvTranspose\): no kernel computes .*groups == 1"):
        if compiled:
            compile_model(loaded)
        else:
            NumpyEvaluator(*import_model(loaded)).run({"x": np.ones((1, 2, 2, 2, 2), np.float32)})
