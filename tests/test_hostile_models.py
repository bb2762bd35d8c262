"""Models that crash, mislead or hang what reads them: each is one clear line, or means what it should."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from esp_tvm.errors import UserError
from esp_tvm.model import load_model, session
from esp_tvm.native import Died, run_apart


def model(nodes, inputs, outputs, constants=(), opset=13) -> onnx.ModelProto:
    """inputs, outputs: {name: shape}, in float; constants: {name: array}."""

    def values(ports):
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ports.items()]

    tensors = [numpy_helper.from_array(np.asarray(a), name) for name, a in dict(constants).items()]
    graph = helper.make_graph(nodes, "g", values(inputs), values(outputs), tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 8
    return made


def loaded(made: onnx.ModelProto, tmp_path) -> onnx.ModelProto:
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    return load_model(tmp_path / "m.onnx")


def refused(made: onnx.ModelProto, tmp_path, *words: str) -> None:
    with pytest.raises(UserError) as error:
        loaded(made, tmp_path)
    text = str(error.value)
    assert "\n" not in text and all(word in text for word in ("m.onnx", *words)), text


# --- a process that dies ----------------------------------------------------------------------------------


def test_results_and_errors_come_back(forked_here):
    assert run_apart(lambda tell: b"x" * 3_000_000) == b"x" * 3_000_000

    def fails(tell):
        raise ValueError("no such thing")

    with pytest.raises(RuntimeError, match="no such thing"):
        run_apart(fails)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGKILL])
def test_a_death_by_signal_is_told(number, forked_here):
    def work(tell):
        tell("first")
        tell("second")
        os.kill(os.getpid(), number)

    with pytest.raises(Died) as death:
        run_apart(work)
    assert death.value.stage == "second" and signal.Signals(number).name in death.value.how


def test_time_and_memory_end(forked_here):
    def waits(tell):
        tell("waiting")
        time.sleep(60)

    started = time.monotonic()
    with pytest.raises(Died, match="waiting takes more than 1 seconds"):
        run_apart(waits, seconds=1)
    assert time.monotonic() - started < 20

    def eats(tell):
        tell("eating")
        return bytes(np.ones(1 << 40, np.uint8))

    with pytest.raises(Died, match="eating runs out of memory"):
        run_apart(eats)


def test_a_crash_in_native_code_is_a_line(tmp_path, monkeypatch):
    from esp_tvm.convert import old_opsets

    def crash(made, version):
        os.kill(os.getpid(), signal.SIGSEGV)

    monkeypatch.setattr(old_opsets.onnx.version_converter, "convert_version", crash)
    made = model([helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 4]}, {"y": [1, 4]}, opset=11)
    refused(made, tmp_path, "version converter", "crash (SIGSEGV)")


# --- how nodes are joined ---------------------------------------------------------------------------------


def chain(*changes) -> onnx.ModelProto:
    """y = sigmoid(relu(x) + w), with changes to its graph: each changes it in place."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "relu"),
        helper.make_node("Add", ["r", "w"], ["s"], "add"),
        helper.make_node("Sigmoid", ["s"], ["y"], "sigmoid"),
    ]
    made = model(nodes, {"x": [1, 4]}, {"y": [1, 4]}, {"w": np.arange(4, dtype=np.float32)})
    for change in changes:
        change(made.graph)
    return made


def test_nodes_in_another_order_are_sorted(tmp_path):
    x = np.random.RandomState(3).standard_normal((1, 4)).astype(np.float32)
    wanted = session(chain()).run(None, {"x": x})[0]

    def turned(graph):
        graph.node.extend([graph.node.pop(0), graph.node.pop(0)])

    sorted_ = loaded(chain(turned), tmp_path)
    assert [node.name for node in sorted_.graph.node] == ["relu", "add", "sigmoid"]
    assert np.array_equal(session(sorted_).run(None, {"x": x})[0], wanted)


@pytest.mark.parametrize("version", [1, 3, 99])
def test_an_ir_that_demands_constants_among_the_inputs(tmp_path, version):
    made = chain()
    made.ir_version = version
    assert loaded(made, tmp_path).ir_version in (4, 8)


def test_the_standard_domain_by_its_other_name(tmp_path):
    made = chain(lambda graph: setattr(graph.node[1], "domain", "ai.onnx"))
    assert not loaded(made, tmp_path).graph.node[1].domain
    made = chain(*[lambda graph, i=i: setattr(graph.node[i], "domain", "ai.onnx") for i in range(3)])
    made.opset_import[0].domain = "ai.onnx"
    assert {entry.domain for entry in loaded(made, tmp_path).opset_import} == {""}


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda g: g.node[0].input.__setitem__(0, "nope"), "node 'relu' (Relu) reads tensor 'nope', which is no input"),
        (lambda g: g.node[1].input.__setitem__(1, "y"), "computes with its own result"),
        (lambda g: setattr(g.output[0], "name", "nope"), "output 'nope': no node computes it"),
        (
            lambda g: g.node[2].output.__setitem__(0, "s"),
            "'sigmoid' (Sigmoid) computes tensor 's', which node 'add' (Add)",
        ),
        (
            lambda g: g.node[2].output.__setitem__(0, "w"),
            "computes tensor 'w', which is an input or a constant already",
        ),
        (lambda g: g.initializer.append(g.initializer[0]), "constant 'w' stands 2 times"),
        (lambda g: g.input.append(g.input[0]), "input 'x' stands 2 times"),
        (lambda g: setattr(g.output[0], "name", ""), "output 0 has no name"),
    ],
    ids=["missing", "circle", "output", "twice", "constant", "constants", "inputs", "unnamed"],
)
def test_tensors_that_come_from_nowhere_or_from_two_places(tmp_path, change, words):
    refused(chain(change), tmp_path, words)


# --- files ------------------------------------------------------------------------------------------------


def test_names_that_are_not_utf8(tmp_path):
    made = model([helper.make_node("Relu", ["x"], ["y"], "replace")], {"x": [1, 4]}, {"y": [1, 4]})
    data = made.SerializeToString().replace(b"replace", b"re\xff\xfeace")
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(UserError, match="not UTF-8"):
        load_model(tmp_path / "m.onnx")


@pytest.mark.parametrize("change", ["short", "long", "shape", "field", "negative"])
def test_data_that_do_not_fit_their_shape(tmp_path, change):
    made = model([helper.make_node("Add", ["x", "w"], ["y"])], {"x": [1, 4]}, {"y": [1, 4]}, {"w": np.ones(4, "f4")})
    tensor = made.graph.initializer[0]
    if change == "short":
        tensor.raw_data = tensor.raw_data[:-3]
    elif change == "long":
        tensor.raw_data += b"\0\0\0\0"
    elif change == "field":
        tensor.ClearField("raw_data")
        tensor.float_data.extend([1, 2, 3])
    else:
        tensor.dims[0] = 2**40 if change == "shape" else -4
    refused(made, tmp_path, "'w'")


def test_external_data_in_a_branch_stay_in_the_models_folder(tmp_path, monkeypatch):
    (tmp_path / "secret.bin").write_bytes(np.ones(4, np.float32).tobytes())
    folder = tmp_path / "deep"
    folder.mkdir()

    def branch(location):
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value=location)
        output = helper.make_tensor_value_info("b", TensorProto.FLOAT, [4])
        return helper.make_graph([helper.make_node("Add", ["x", "w"], ["b"])], "branch", [], [output], [tensor])

    def with_data(location):
        node = helper.make_node("If", ["c"], ["y"], then_branch=branch(location), else_branch=branch(location))
        return model([node], {"x": [4]}, {"y": [4]}, {"c": np.array(True)})

    refused(with_data("../secret.bin"), folder, "outside the model's folder")
    monkeypatch.chdir(tmp_path)  # not relative to the current folder
    refused(with_data("secret.bin"), folder, "not there")
    (folder / "secret.bin").write_bytes((2 * np.ones(4, np.float32)).tobytes())
    run = session(loaded(with_data("secret.bin"), folder))
    assert run.run(None, {"x": np.zeros(4, np.float32)})[0].tolist() == [2, 2, 2, 2]


def test_shapes_that_contradict_each_other(tmp_path):
    """Where shapes are looked at, onnx raises an error of its own."""
    unsqueeze = helper.make_node("Unsqueeze", ["x", "a"], ["y"])
    made = model([unsqueeze], {"x": [6, 4]}, {"y": [6, 4]}, {"a": np.array([-1])})
    refused(made, tmp_path, "declared shapes contradict", "Unsqueeze")
    made = model([helper.make_node("Concat", ["x", "x"], ["y"], axis=7)], {"x": [6, 4]}, {"y": None})
    refused(made, tmp_path, "output 'y' has no shape")


# --- attributes and constants -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, value", [("strides", [0, 1]), ("strides", [2**31, 1]), ("kernel_shape", [0, 2]), ("dilations", [1, -1])]
)
def test_sizes_out_of_range(tmp_path, name, value):
    attributes = {"kernel_shape": [2, 2], name: value}
    node = helper.make_node("MaxPool", ["x"], ["y"], "pool", **attributes)
    refused(model([node], {"x": [1, 1, 4, 4]}, {"y": None}), tmp_path, "'pool' (MaxPool)", f"'{name}'")


@pytest.mark.parametrize("operator, missing", [("Loop", "body"), ("Scan", "body"), ("If", "then_branch")])
def test_control_flow_without_a_body(tmp_path, operator, missing):
    node = helper.make_node(operator, ["n", "go", "x"][: 1 if operator == "If" else 3], ["y"], "steps")
    constants = {"n": np.int64(3), "go": np.array(True)}
    refused(model([node], {"x": [1, 4]}, {"y": [1, 4]}, constants), tmp_path, "'steps'", operator, f"has no {missing}")


def test_a_loop_without_its_count(tmp_path):
    body = helper.make_graph([], "body", [], [])
    refused(
        model([helper.make_node("Loop", [], ["y"], "steps", body=body)], {"x": [1]}, {"y": [1]}), tmp_path, "too few"
    )


def test_an_output_of_another_shape_than_its_node_gives(tmp_path):
    """Known to onnx's shape inference alone, and only told when the quantizer asks it."""
    pytest.importorskip("tvm")
    from esp_tvm.quantize import Passes, quantize_model

    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Gemm", ["c", "c"], ["t"], transB=1),
        helper.make_node("Softmax", ["t"], ["y"], "last", axis=1),
    ]
    made = model(nodes, {"x": [1, 4]}, {"y": [1, 5]}, {"c": np.ones((6, 5), np.float32)})
    with pytest.raises(UserError, match="the shapes of this model's tensors cannot be inferred"):
        quantize_model(made, {"x": np.ones((4, 1, 4), np.float32)}, Passes(method="minmax"))


def test_nan_attribute_and_constant(tmp_path):
    node = helper.make_node("Elu", ["x"], ["y"], "e", alpha=float("nan"))
    refused(model([node], {"x": [1, 4]}, {"y": [1, 4]}), tmp_path, "'e' (Elu)", "alpha", "NaN")
    node = helper.make_node("Add", ["x", "w"], ["y"])
    refused(model([node], {"x": [1, 2]}, {"y": [1, 2]}, {"w": np.float32([1, np.nan])}), tmp_path, "'w'", "NaN")


def test_clip_with_min_above_max(tmp_path):
    node = helper.make_node("Clip", ["x", "a", "b"], ["y"], "c")
    constants = {"a": np.float32(3), "b": np.float32(1)}
    refused(model([node], {"x": [1, 4]}, {"y": [1, 4]}, constants), tmp_path, "'c' (Clip)", "min 3 above max 1")


@pytest.mark.parametrize("operator", ["MaxPool", "Resize"])
def test_nothing_left_of_an_axis(tmp_path, operator):
    if operator == "MaxPool":
        node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[5, 4])
        made = model([node], {"x": [1, 1, 4, 4]}, {"y": None})
    else:
        node = helper.make_node("Resize", ["x", "", "s"], ["y"])
        made = model([node], {"x": [1, 1, 4, 4]}, {"y": None}, {"s": np.float32([1, 1, 0.1, 1])})
    refused(made, tmp_path, "tensor 'y'", operator)


# --- indices ----------------------------------------------------------------------------------------------

_X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
_INDEXED = [
    ("Gather", [1, -1], {"axis": 2}, None, [2, 3, 2]),
    ("GatherElements", [[[0, -1, 2, 1]]], {"axis": 1}, None, [1, 1, 4]),
    ("GatherND", [[-1, 0], [0, -3]], {}, None, [2, 4]),
    ("GatherND", [[[-1]], [[2]]], {"batch_dims": 1}, None, [2, 1, 4]),
    ("ScatterElements", [[[0, -1, 2, 1]]], {"axis": 1}, [1, 1, 4], [2, 3, 4]),
    ("ScatterND", [[-1, -2, 3], [0, 0, -4]], {}, [2], [2, 3, 4]),
]


def indexed(operator, indices, attributes, updates, shape):
    inputs = ["x", "i"] + (["u"] if updates else [])
    node = helper.make_node(operator, inputs, ["y"], "n", **attributes)
    constants = {"i": np.array(indices, np.int64)}
    if updates:
        constants["u"] = -np.ones(updates, np.float32)
    return model([node], {"x": [2, 3, 4]}, {"y": shape}, constants)


@pytest.mark.parametrize("operator, indices, attributes, updates, shape", _INDEXED)
def test_indices_from_the_end_count_from_the_start(tmp_path, operator, indices, attributes, updates, shape):
    made = indexed(operator, indices, attributes, updates, shape)
    wanted = session(made).run(None, {"x": _X})[0]
    changed = loaded(made, tmp_path)
    (node,) = changed.graph.node
    constants = {t.name: numpy_helper.to_array(t) for t in changed.graph.initializer}
    assert constants[node.input[1]].min() >= 0
    assert np.array_equal(session(changed).run(None, {"x": _X})[0], wanted)


@pytest.mark.parametrize("operator, indices, attributes, updates, shape", _INDEXED)
@pytest.mark.parametrize("wrong", [700, -900000])
def test_indices_out_of_range(tmp_path, operator, indices, attributes, updates, shape, wrong):
    array = np.array(indices)
    array.reshape(-1)[-1] = wrong
    made = indexed(operator, array, attributes, updates, shape)
    refused(made, tmp_path, f"'n' ({operator})", "'i'", str(wrong), "tensor 'x'")


# --- old opsets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_hardmax_of_opset_11_takes_the_axes_together(tmp_path, axis):
    node = helper.make_node("Hardmax", ["x"], ["y"], "h", axis=axis)
    made = model([node], {"x": [2, 3, 4]}, {"y": [2, 3, 4]}, opset=11)
    x = np.random.RandomState(3).standard_normal((2, 3, 4)).astype(np.float32)
    wanted = session(made).run(None, {"x": x})[0]
    assert np.array_equal(session(loaded(made, tmp_path)).run(None, {"x": x})[0], wanted)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", [[1, 1, 2, 3], [1, 1, 0.5, 0.5], [1, 1, 0.6, 1], [1, 1, 1.5, 2]])
def test_resize_of_opset_10(tmp_path, mode, scales):
    node = helper.make_node("Resize", ["x", "s"], ["y"], "r", mode=mode)
    made = model([node], {"x": [1, 2, 5, 6]}, {"y": None}, {"s": np.float32(scales)}, opset=10)
    x = np.random.RandomState(3).standard_normal((1, 2, 5, 6)).astype(np.float32)
    del made.graph.output[0].type.tensor_type.shape.dim[:]
    made.graph.output[0].type.tensor_type.ClearField("shape")
    wanted = session(made).run(None, {"x": x})[0]
    np.testing.assert_allclose(session(loaded(made, tmp_path)).run(None, {"x": x})[0], wanted, atol=1e-6)


@pytest.mark.parametrize(
    "attributes", [{}, {"value": 0.5}, {"mode": "edge"}, {"mode": "reflect", "value": 0.5}], ids=str
)
def test_pad_of_opset_10_need_not_have_a_value(tmp_path, attributes):
    node = helper.make_node("Pad", ["x"], ["y"], "p", pads=[0, 1, 2, 0, 0, 1], **attributes)
    made = model([node], {"x": [2, 3, 4]}, {"y": [2, 4, 7]}, opset=10)
    x = np.random.RandomState(3).standard_normal((2, 3, 4)).astype(np.float32)
    wanted = session(made).run(None, {"x": x})[0]
    assert np.array_equal(session(loaded(made, tmp_path)).run(None, {"x": x})[0], wanted)


def test_a_conversion_that_changes_the_result_is_refused(tmp_path, monkeypatch):
    from esp_tvm.convert import old_opsets

    right = old_opsets.onnx.version_converter.convert_version

    def wrong(made, version):
        converted = right(made, version)
        converted.graph.node[0].op_type = "Sigmoid"
        return converted

    monkeypatch.setattr(old_opsets.onnx.version_converter, "convert_version", wrong)
    node = helper.make_node("Tanh", ["x"], ["y"], "t")
    refused(model([node], {"x": [1, 4]}, {"y": [1, 4]}, opset=9), tmp_path, "version converter changes", "'y'")
