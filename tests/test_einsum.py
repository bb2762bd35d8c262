"""Einsum spelled out computes the same, without Einsum."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from small_models import model_of as model_of_nodes
from small_models import random

from esp_tvm.convert.einsum import spell_out_products
from esp_tvm.model import load_model, session
from esp_tvm.preprocess import preprocess_model


def model_of(equation, shapes, tmp_path):
    names = [f"x{i}" for i in range(len(shapes))]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in zip(names, shapes)]
    wanted = np.einsum(equation, *[np.zeros(s) for s in shapes]).shape
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, wanted)]
    node = helper.make_node("Einsum", names, ["y"], "einsum", equation=equation)
    model = helper.make_model(helper.make_graph([node], "g", inputs, outputs))
    model.opset_import[0].version, model.ir_version = 13, 8
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return load_model(path)


@pytest.mark.parametrize(
    "equation, shapes",
    [
        ("ij,jk->ik", [(3, 4), (4, 5)]),
        ("ij,jk", [(3, 4), (4, 5)]),
        ("bhid,bhjd->bhij", [(2, 3, 4, 5), (2, 3, 6, 5)]),
        ("bhij,bjhd->bihd", [(2, 3, 4, 6), (2, 6, 3, 5)]),
        ("bhi,hij->bhj", [(1, 4, 8), (4, 8, 6)]),
        ("nchw,kc->nkhw", [(1, 3, 4, 5), (6, 3)]),
        ("i,j->ij", [(3,), (4,)]),
        ("bi,bi->b", [(2, 5), (2, 5)]),
        ("bi,i->bi", [(2, 5), (5,)]),
        ("bij->bji", [(2, 3, 4)]),
        ("bij->b", [(2, 3, 4)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
        ("abc,cd,e->ade", [(2, 3, 4), (4, 5), (6,)]),
        ("...ij,...jk->...ik", [(2, 3, 4, 5), (2, 3, 5, 6)]),
        ("ij->ij", [(2, 3)]),
        ("ij,ij->", [(2, 3), (2, 3)]),
    ],
)
def test_spelled_out(tmp_path, equation, shapes):
    model = model_of(equation, shapes, tmp_path)
    spelled = spell_out_products(model)
    assert "Einsum" not in [node.op_type for node in spelled.graph.node]
    feeds = {f"x{i}": random(*s, seed=i) for i, s in enumerate(shapes)}
    wanted = np.einsum(equation, *feeds.values())
    np.testing.assert_allclose(session(spelled).run(None, feeds)[0], wanted, rtol=1e-4, atol=1e-5)


def test_a_diagonal_stays(tmp_path):
    model = model_of("ii->i", [(3, 3)], tmp_path)
    assert [node.op_type for node in spell_out_products(model).graph.node] == ["Einsum"]


def test_preprocess_step_does_it(tmp_path):
    result = preprocess_model(model_of("bhid,bhjd->bhij", [(1, 2, 4, 5), (1, 2, 6, 5)], tmp_path))
    assert sorted({node.op_type for node in result.model.graph.node}) == ["MatMul", "Reshape", "Transpose"] or (
        sorted({node.op_type for node in result.model.graph.node}) == ["MatMul", "Transpose"]
    )
    assert not result.skipped


@pytest.mark.parametrize("shapes", [((2, 5, 6), (6,)), ((6,), (2, 3, 6, 5))])
def test_stacked_matrices_and_a_vector(tmp_path, shapes):
    wanted = list(np.matmul(*map(np.zeros, shapes)).shape)
    node = helper.make_node("MatMul", ["x", "v"], ["y"], "product")
    model = model_of_nodes([node], dict(zip("xv", shapes)), {"y": wanted})
    spelled = spell_out_products(model)
    feeds = {name: random(*shape) for name, shape in zip("xv", shapes)}
    np.testing.assert_allclose(session(spelled).run(None, feeds)[0], np.matmul(*feeds.values()), rtol=1e-4, atol=1e-5)
    assert "Reshape" in [node.op_type for node in spelled.graph.node]


def test_whole_exponent(tmp_path):
    node = helper.make_node("Pow", ["x", "p"], ["y"], "square")
    spelled = spell_out_products(model_of_nodes([node], {"x": [2, 3]}, {"y": [2, 3]}, {"p": np.int64(2)}))
    x = random(2, 3)
    np.testing.assert_allclose(session(spelled).run(None, {"x": x})[0], x**2, rtol=1e-6)
    assert spelled.graph.node[0].input[1] != "p"


def test_one_value_everywhere(tmp_path):
    """A constant that is as large as the result becomes a number; one that makes the result so large stays."""
    nodes = [helper.make_node("Max", ["x", "z"], ["m"], "max"), helper.make_node("Add", ["v", "o"], ["y"], "add")]
    constants = {"z": np.zeros((2, 3), np.float32), "o": np.ones((2, 3), np.float32)}
    model = model_of_nodes(nodes, {"x": [2, 3], "v": [3]}, {"m": [2, 3], "y": [2, 3]}, constants)
    spelled = spell_out_products(model)
    assert spelled.graph.node[0].input[1] != "z" and spelled.graph.node[1].input[1] == "o"
    feeds = {"x": random(2, 3), "v": random(3)}
    assert np.array_equal(session(spelled).run(None, feeds)[0], np.maximum(feeds["x"], 0))
