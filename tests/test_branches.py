"""If whose condition the shapes decide, as PyTorch's exporter writes it."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import random

from esp_tvm.errors import UserError
from esp_tvm.model import load_model, session


def body(name, nodes, output, constants=()):
    made = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    return helper.make_graph(nodes, name, [], made, [numpy_helper.from_array(a, n) for n, a in dict(constants).items()])


def model(condition, then, otherwise, batch=1):
    """y = then(x) or otherwise(x), of x [batch, 4], by the tensor `c` that the nodes `condition` make."""
    nodes = [*condition, helper.make_node("If", ["c"], ["y"], "choice", then_branch=then, else_branch=otherwise)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.int64(4), "four"), numpy_helper.from_array(np.int64(1), "one")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    return made


def load(made, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return load_model(path)


SIZE_IS_FOUR = [
    helper.make_node("Shape", ["x"], ["s"], "shape"),
    helper.make_node("Gather", ["s", "one"], ["n"], "size"),
    helper.make_node("Equal", ["n", "four"], ["c"], "is_four"),
]
RELU = body("then", [helper.make_node("Relu", ["x"], ["t"], "relu")], "t")
NEGATED = body("else", [helper.make_node("Neg", ["x"], ["t"], "neg")], "t")


@pytest.mark.parametrize("batch", [1, "N"])
@pytest.mark.parametrize("swapped", [False, True])
def test_shapes_decide(tmp_path, batch, swapped):
    branches = (NEGATED, RELU) if swapped else (RELU, NEGATED)
    loaded = load(model(SIZE_IS_FOUR, *branches, batch=batch), tmp_path)
    assert "If" not in [node.op_type for node in loaded.graph.node]
    x = random(1, 4)
    assert np.array_equal(session(loaded).run(None, {"x": x})[0], -x if swapped else np.maximum(x, 0))


def test_branches_in_branches_and_names_used_twice(tmp_path):
    """Bodies read what is around them; a name of a body may also stand beside it."""
    inner_nodes = [helper.make_node("Mul", ["t", "k"], ["u"], "mul")]
    inner = body("inner", inner_nodes, "u", {"k": np.float32([2])})
    again = helper.make_node("If", ["c"], ["v"], "inner_choice", then_branch=inner, else_branch=inner)
    outer = body("outer", [helper.make_node("Add", ["x", "x"], ["t"], "add"), again], "v")
    beside = helper.make_node("Abs", ["x"], ["t"], "beside")
    loaded = load(model([beside, *SIZE_IS_FOUR], outer, NEGATED), tmp_path)
    x = random(1, 4)
    assert np.array_equal(session(loaded).run(None, {"x": x})[0], 4 * x)


def test_constant_condition(tmp_path):
    made = model([], RELU, NEGATED)
    made.graph.initializer.append(numpy_helper.from_array(np.array(False), "c"))
    x = random(1, 4)
    assert np.array_equal(session(load(made, tmp_path)).run(None, {"x": x})[0], -x)


@pytest.mark.parametrize(
    "condition",
    [
        [helper.make_node("ReduceMax", ["x"], ["m"], "max", keepdims=0), helper.make_node("Cast", ["m"], ["c"], to=9)],
        [
            helper.make_node("NonZero", ["x"], ["z"], "places"),
            helper.make_node("Size", ["z"], ["n"], "count"),
            helper.make_node("Equal", ["n", "four"], ["c"], "is_four"),
        ],
    ],
)
def test_values_decide(tmp_path, condition):
    with pytest.raises(UserError, match="'choice' .If. has a body of its own"):
        load(model(condition, RELU, NEGATED), tmp_path)
