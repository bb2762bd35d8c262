"""The ONNX editor: who makes and reads what stays true while nodes come and go, bodies included."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from esp_tvm.model import session
from esp_tvm.onnx_graph import (
    Chain,
    Graph,
    attribute,
    attributes,
    drop_attributes,
    edited,
    inferred_values,
    keep_opsets,
    known_shapes,
    reads,
    set_attributes,
    with_inferred_shapes,
    with_outputs,
)

FLOAT = TensorProto.FLOAT


def model_of(nodes, constants=(), outputs=("y",), shape=(2, 3)):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, list(shape))],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    return made


def chain_of_three():
    return model_of(
        [
            helper.make_node("Relu", ["x"], ["a"], "relu"),
            helper.make_node("Mul", ["a", "k"], ["b"], "mul"),
            helper.make_node("Add", ["b", "a"], ["y"], "add"),
        ],
        {"k": np.float32(2)},
    )


def names(nodes):
    return [node.name for node in nodes]


def test_producers_and_consumers():
    graph = Graph(chain_of_three())
    assert graph.producer("b").name == "mul" and graph.producer("x") is None
    assert names(graph.consumers("a")) == ["mul", "add"]
    assert graph.only_consumer("b").name == "add"
    assert graph.only_consumer("a") is None and graph.only_consumer("y") is None
    assert graph.constant("k") == np.float32(2) and graph.constant("a") is None
    assert graph.shapes["b"] == (2, 3) and graph.rank("b") == 2 and graph.rank("unknown") is None


def test_a_reader_of_both_operands_is_one():
    graph = Graph(model_of([helper.make_node("Mul", ["x", "x"], ["y"], "square")]))
    assert names(graph.consumers("x")) == ["square"] and graph.only_consumer("x").name == "square"


def test_an_output_has_no_only_consumer():
    nodes = [helper.make_node("Relu", ["x"], ["a"], "relu"), helper.make_node("Neg", ["a"], ["y"], "neg")]
    assert Graph(model_of(nodes, outputs=("y", "a"))).only_consumer("a") is None


def test_replace_insert_and_remove_keep_order_and_values():
    model = chain_of_three()
    x = np.float32([[-1, 2, -3], [4, 5, 6]])
    with edited(model) as graph:
        mul = graph.producer("b")
        chain = Chain(graph, mul)
        doubled = chain.add("Add", "a", "a")
        graph.replace(mul, *chain.end("Add", doubled, chain.constant(0)))
        assert graph.producer("b").name == "mul" and names(graph.consumers("a"))[1:] == ["add"]
        graph.insert_after(graph.producer("a"), graph.make("Identity", ["a"], [graph.fresh("a")], "relu"))
        graph.insert_before(graph.producer("a"), graph.make("Abs", ["x"], ["unused"]))
        assert [node.op_type for node in graph.nodes] == ["Abs", "Relu", "Identity", "Add", "Add", "Add"]
        assert len(set(names(graph.nodes))) == 6
        graph.remove_unused()
        assert [node.op_type for node in graph.nodes] == ["Relu", "Add", "Add", "Add"]
    assert [tensor.name for tensor in model.graph.initializer] == ["b_c"]
    assert np.array_equal(session(model).run(None, {"x": x})[0], 3 * np.maximum(x, 0))


def test_nothing_is_written_where_the_block_fails():
    model = chain_of_three()
    before = model.graph.SerializeToString()
    with pytest.raises(ZeroDivisionError), edited(model) as graph:
        graph.remove(graph.producer("b"))
        raise ZeroDivisionError
    assert model.graph.SerializeToString() == before


def test_rename_and_redirect():
    graph = Graph(chain_of_three())
    graph.rename("a", "new")
    assert graph.producer("new").name == "relu" and graph.producer("a") is None and not graph.consumers("a")
    graph.redirect("new", "x", [graph.producer("b")])
    assert names(graph.consumers("x")) == ["relu", "mul"] and names(graph.consumers("new")) == ["add"]
    graph.set_input(graph.producer("b"), 3, "x")
    assert list(graph.producer("b").input) == ["x", "k", "", "x"]


def test_names_are_fresh_everywhere():
    body = helper.make_graph(
        [helper.make_node("Neg", ["a"], ["inner"])], "b", [], [helper.make_value_info("inner", onnx.TypeProto())]
    )
    choice = helper.make_node("If", ["c"], ["y"], "if", then_branch=body, else_branch=body)
    graph = Graph(model_of([helper.make_node("Relu", ["x"], ["a"], "relu"), choice], {"c": np.array(True)}))
    assert [graph.fresh("inner"), graph.fresh("inner"), graph.fresh("c"), graph.fresh("z")] == [
        "inner_1",
        "inner_2",
        "c_1",
        "z",
    ]
    assert graph.fresh_node("relu") == "relu_1"
    # What a body reads from around it counts as read by the node.
    assert names(graph.consumers("a")) == ["if"] and set(reads(choice)) == {"c", "a"}
    graph.rename("a", "renamed")
    assert set(reads(graph.nodes[1])) == {"c", "renamed"}
    graph.remove_unused()
    assert len(graph.nodes) == 2


def test_fold_makes_constants():
    nodes = [
        helper.make_node("Constant", [], ["k"], "k", value=numpy_helper.from_array(np.float32([1, 2, 3]))),
        helper.make_node("Constant", [], ["n"], "n", value_ints=[1, 2]),
        helper.make_node("Neg", ["k"], ["m"], "neg"),
        helper.make_node("Add", ["x", "m"], ["y"], "add"),
    ]
    model = model_of(nodes)
    with edited(model) as graph:
        assert np.array_equal(graph.constants["k"], [1, 2, 3]) and graph.constants["n"].dtype == np.int64
        graph.fold_constant_nodes()
        graph.fold(graph.producer("m"), -graph.constants["k"])
        assert names(graph.nodes) == ["add"] and np.array_equal(graph.constants["m"], [-1, -2, -3])
        graph.remove_unused()
        assert list(graph.constants) == ["m"]
    assert np.array_equal(session(model).run(None, {"x": np.zeros((2, 3), np.float32)})[0], [[-1, -2, -3]] * 2)


def test_attributes():
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 2], auto_pad="SAME_UPPER")
    assert attribute(node, "strides") == [2, 2] and attribute(node, "group", 1) == 1
    set_attributes(node, strides=[1, 1], group=2)
    drop_attributes(node, "auto_pad", "missing")
    assert attributes(node) == {"strides": [1, 1], "group": 2}


def test_shapes_without_the_weights():
    """Large constants take part by shape; small ones by value, where sizes come from them."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "product"),
        helper.make_node("Reshape", ["a", "s"], ["y"], "reshape"),
    ]
    model = model_of(nodes, {"w": np.zeros((3, 5000), np.float32), "s": np.int64([5000, 2])})
    assert known_shapes(model) == {"x": (2, 3), "w": (3, 5000), "s": (2,), "a": (2, 5000), "y": (5000, 2)}
    assert list(inferred_values(model)) == ["x", "a", "y"]
    inferred = with_inferred_shapes(model)
    assert [value.name for value in inferred.graph.value_info] == ["a"] and len(inferred.graph.initializer) == 2
    assert not model.graph.value_info


def test_opsets_of_other_domains_go():
    model = chain_of_three()
    model.opset_import.extend([helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("local", 1)])
    keep_opsets(model, {"local"})
    assert [entry.domain for entry in model.opset_import] == ["", "local"]


def test_parts_and_outputs():
    model = chain_of_three()
    graph = Graph(model)
    part = graph.part([graph.producer("b"), graph.producer("a")], ["b", "a"])
    assert names(part.graph.node) == ["relu", "mul"] and names(part.graph.output) == ["b", "a"]
    b, a = session(part).run(None, {"x": np.ones((2, 3), np.float32)})
    assert np.array_equal(b, 2 * a)
    graph.remove(graph.producer("y"))
    graph.rename_output("y", "b")
    assert graph.only_consumer("a") is not None and graph.only_consumer("b") is None and graph.changed
    assert names(with_outputs(model, ["a", "b"]).graph.output) == ["a", "b"]
    again = graph.make_like(graph.producer("a"), ["b"], ["c"], "relu")
    assert (again.op_type, again.name) == ("Relu", "relu_1")
