"""Models for load_model, and what it makes of them against ONNX Runtime on the model as given."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import random

from esp_tvm.errors import UserError
from esp_tvm.model import load_model, session

FLOAT = TensorProto.FLOAT
make = helper.make_node


def model_of(nodes, inputs, outputs=("y",), constants=(), opset=13, functions=(), domains=()):
    """inputs: {name: shape}; outputs: names, or {name: shape}."""
    shapes = outputs if isinstance(outputs, dict) else dict.fromkeys(outputs)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()],
    )
    opsets = [helper.make_opsetid("", opset), *[helper.make_opsetid(domain, 1) for domain in domains]]
    made = helper.make_model(graph, opset_imports=opsets, functions=list(functions))
    made.ir_version = 8
    return made


def load(model, tmp_path, sizes=None):
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return load_model(path, sizes)


def kinds(model):
    return [node.op_type for node in model.graph.node]


def same(model, loaded, *shape, tolerance=1e-6):
    x = random(*shape)
    wanted = session(model).run(None, {"x": x})
    for ours, theirs in zip(session(loaded).run(None, {"x": x}), wanted):
        assert ours.shape == theirs.shape and ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def complaint(model, tmp_path, sizes=None):
    with pytest.raises(UserError) as error:
        load(model, tmp_path, sizes)
    assert "\n" not in str(error.value)
    return str(error.value)
