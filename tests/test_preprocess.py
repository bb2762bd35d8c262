import os
import signal
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from small_models import HOSTILE_NAMES, model_of, random, small_cnn

from esp_tvm import preprocess
from esp_tvm.convert.ends import refuse_what_no_chip_computes
from esp_tvm.errors import UserError
from esp_tvm.model import inputs_of, load_model, opset_of, outputs_of
from esp_tvm.onnx_graph import with_outputs
from esp_tvm.preprocess import preprocess_model, preprocess_onnx
from esp_tvm.preprocess.check import Check


def save(model, path):
    path.write_bytes(model.SerializeToString())
    return path


def kinds(model):
    return [node.op_type for node in model.graph.node]


def run(model, feeds):
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)


def test_folds_and_keeps_the_result(tmp_path):
    source = save(small_cnn(batch="N"), tmp_path / "in.onnx")
    result = preprocess_onnx(source, tmp_path / "out.onnx")
    model = load_model(tmp_path / "out.onnx")
    assert kinds(model) == ["Conv", "Relu", "Conv", "Relu", "Add", "MaxPool", "GlobalAveragePool"] + [
        "Reshape",
        "Gemm",
        "Softmax",
    ]
    assert [i[:2] for i in inputs_of(model)] == [("x", (1, 3, 8, 8))]
    assert [o[:2] for o in outputs_of(model)] == [("y", (1, 5))]
    assert {o.domain for o in model.opset_import} == {""} and result.error <= 1e-5 and not result.skipped
    x = random(1, 3, 8, 8, seed=9)
    np.testing.assert_allclose(run(model, {"x": x})[0], run(small_cnn(), {"x": x})[0], atol=1e-6)


def test_pad_goes_into_conv_and_identities_go():
    nodes = [
        helper.make_node("Identity", ["x"], ["i"]),
        helper.make_node("Dropout", ["i"], ["j"]),
        helper.make_node("Pad", ["j", "pads"], ["p"]),
        helper.make_node("Conv", ["p", "w"], ["c"]),
        helper.make_node("Add", ["c", "b"], ["y"]),
    ]
    constants = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        "w": random(4, 3, 3, 3),
        "b": random(1, 4, 1, 1),
    }
    result = preprocess_model(model_of(nodes, {"x": [1, 3, 6, 6]}, {"y": [1, 4, 6, 6]}, constants))
    assert kinds(result.model) == ["Conv"] and len(result.model.graph.node[0].input) == 3


def test_constant_subgraphs_are_folded():
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Slice", ["s", "zero", "one"], ["n"]),
        helper.make_node("Concat", ["n", "minus"], ["to"], axis=0),
        helper.make_node("Reshape", ["x", "to"], ["y"]),
    ]
    constants = {"zero": np.array([0]), "one": np.array([1]), "minus": np.array([-1])}
    result = preprocess_model(model_of(nodes, {"x": [1, 3, 4]}, {"y": [1, 12]}, constants))
    assert kinds(result.model) == ["Reshape"]


def test_old_opset_and_unused_input(tmp_path):
    old = model_of(
        [helper.make_node("Softmax", ["x"], ["y"])],
        {"x": [2, 3], "unused": [4]},
        {"y": [2, 3]},
        opset=10,
        ir_version=5,
    )
    result = preprocess_onnx(save(old, tmp_path / "in.onnx"), tmp_path / "out.onnx")
    assert opset_of(result.model) == 13
    assert [name for name, _, _ in inputs_of(load_model(tmp_path / "out.onnx"))] == ["x", "unused"]


def test_outputs_keep_names_and_order():
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["b"]),
        helper.make_node("Identity", ["b"], ["c"]),
    ]
    model = model_of(nodes, {"x": [1, 4]}, {"c": [1, 4], "a": [1, 4], "b": [1, 4]})
    result = preprocess_model(model)
    assert [name for name, _, _ in outputs_of(result.model)] == ["c", "a", "b"]
    x = random(1, 4)
    for ours, theirs in zip(run(result.model, {"x": x}), run(model, {"x": x})):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
def test_hostile_names(tmp_path, name):
    source = save(small_cnn(lambda plain: name + plain), tmp_path / "in.onnx")
    preprocess_onnx(source, tmp_path / "out.onnx")
    model = load_model(tmp_path / "out.onnx")
    assert inputs_of(model)[0][0] == name + "x" and outputs_of(model)[0][0] == name + "y"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.onnx", "out.onnx"]


def test_a_tool_that_errs_is_not_believed(monkeypatch):
    def wrong(model):
        broken = onnx.ModelProto()
        broken.CopyFrom(model)
        weights = next(t for t in broken.graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) == 4)
        array = onnx.numpy_helper.to_array(weights) * np.float32(2)
        weights.CopyFrom(onnx.numpy_helper.from_array(array, weights.name))
        return broken

    def fails(model):
        raise RuntimeError("no\nidea")

    monkeypatch.setattr(preprocess, "_onnxruntime", wrong)
    monkeypatch.setattr(preprocess, "_onnxsim", fails)
    result = preprocess_model(small_cnn())
    assert len(result.skipped) == 2 and "differs" in result.skipped[0] and "no idea" in result.skipped[1]
    assert result.error <= preprocess.TOLERANCE


@pytest.mark.parametrize(
    "nodes, constants",
    [
        # The tail of a function whose values go to 1; a small difference of large numbers, moved afterwards.
        (["Mul", "Add", "Sigmoid"], {"k": np.float32(0.001), "b": np.float32(-6.4)}),
        (["Add", "Sub", "Relu"], {"k": np.float32(1000), "b": np.float32(999.9)}),
    ],
)
def test_differences_are_measured_in_the_range_that_outputs_work_in(nodes, constants):
    """What float32 rounds in another order is no reason to leave a tool's work out."""
    first, second, last = nodes
    chain = [
        helper.make_node(first, ["x", "k"], ["a"], "first"),
        helper.make_node(second, ["a", "b"], ["z"], "second"),
        helper.make_node(last, ["z"], ["y"], "last"),
    ]
    model = model_of(chain, {"x": [1, 64]}, {"y": [1, 64]}, constants)
    check = Check(model, "model")
    value = check.expected[0]
    off = [np.float32(value + np.float32(6e-8 if last == "Sigmoid" else 6e-5))]
    assert value.max() < 4 and np.abs(off[0] - value).max() / value.max() > (1e-5 if last == "Sigmoid" else 1.5e-5)
    assert difference_of(check, off) <= preprocess.TOLERANCE
    assert difference_of(check, [np.float32(value * 1.01)]) > preprocess.TOLERANCE


def difference_of(check, values):
    """The difference that a model with these outputs has."""
    nodes = [
        helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(value))
        for name, value in zip(check.names, values)
    ]
    inputs = {name: value.shape for name, value in check.feeds.items()}
    return check.difference(model_of(nodes, inputs, {n: v.shape for n, v in zip(check.names, values)}))


def test_what_no_chip_computes_is_refused_with_the_place_to_end_before_it(tmp_path):
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["scores"], "fc"),
        helper.make_node("Relu", ["x"], ["kept"], "relu"),
        helper.make_node("Unique", ["scores"], ["y"], "unique"),
    ]
    outputs = {"y": ["found"], "kept": [1, 4]}
    model = model_of(nodes, {"x": [1, 4]}, outputs, {"w": random(4, 5)})
    source, out = save(model, tmp_path / "in.onnx"), tmp_path / "out.onnx"
    for given, said in (
        ({}, "'unique' (Unique): TVM has no C for it that runs on the chip; end the model before it, and compute it in "
             "the program that uses the model: preprocess with --end scores --end kept"),
        ({"ends": ["score"]}, "--end 'score': no node computes it; did you mean scores"),
    ):  # fmt: skip
        with pytest.raises(UserError) as error:
            preprocess_onnx(source, out, **given)
        assert said in str(error.value) and not out.exists()
    preprocess_onnx(source, out, ends=["scores", "kept"])
    made, x = load_model(out), random(1, 4)
    assert outputs_of(made) == [("scores", (1, 5), "float32"), ("kept", (1, 4), "float32")]
    whole = with_outputs(model, ["scores", "kept"])
    for ours, theirs in zip(run(made, {"x": x}), run(whole, {"x": x})):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_boxes_are_left_to_the_front_end():
    nodes = [
        helper.make_node("Sigmoid", ["s"], ["scores"], "sigmoid"),
        helper.make_node("NonMaxSuppression", ["boxes", "scores"], ["found"], "nms"),
    ]
    model = model_of(nodes, {"s": [1, 3, 20], "boxes": [1, 20, 4]}, {"found": ["n", 3]}, check=False)
    with pytest.raises(UserError, match=r"'nms' .* fixed sizes; .* \(docs/detection.md\): .* --end scores"):
        refuse_what_no_chip_computes(model)


def heads(reads_inside=False):
    """Two layers of whose results an output consists, by way of moves, and another output."""
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], "small"),
        helper.make_node("Conv", ["x", "w1"], ["b"], "large"),
        helper.make_node("Transpose", ["a"], ["at"], "t", perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["at", "flat"], ["ar"], "r0"),
        helper.make_node("Reshape", ["b", "flat"], ["br"], "r1"),
        helper.make_node("Concat", ["ar", "br"], ["boxes"], "join", axis=1),
        helper.make_node("Relu", ["b" if reads_inside else "x"], ["other"], "relu"),
    ]
    constants = {"w0": random(2, 3, 1, 1), "w1": 100 * random(2, 3, 1, 1), "flat": np.array([1, -1], np.int64)}
    outputs = {"boxes": [1, 64], "other": [1, 2 if reads_inside else 3, 4, 4]}
    return model_of(nodes, {"x": [1, 3, 4, 4]}, outputs, constants)


@pytest.mark.parametrize("reads_inside", [False, True])
def test_outputs_of_which_only_some_values_matter(reads_inside, tmp_path):
    model, out = heads(reads_inside), tmp_path / "out.onnx"
    preprocess_onnx(save(model, tmp_path / "m.onnx"), out, limits=["boxes=-8:7.9375"])
    made, x = load_model(out), random(1, 3, 4, 4)
    (boxes, other), (wanted, wanted_other) = run(made, {"x": x}), run(model, {"x": x})
    assert np.abs(wanted).max() > 50 and boxes.min() == -8 and boxes.max() == np.float32(7.9375)
    np.testing.assert_allclose(boxes, np.clip(wanted, -8, 7.9375), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(other, wanted_other, rtol=1e-5)
    before = [made.graph.node[i - 1].op_type for i, node in enumerate(made.graph.node) if node.op_type == "Clip"]
    # Behind each layer, where it takes no step of its own; at the end where another output reads a layer's result.
    assert before == (["Concat"] if reads_inside else ["Conv", "Conv"])


@pytest.mark.parametrize(
    "limit, said",
    [
        ("boxes", "--limit boxes: write OUTPUT=LEAST:LARGEST"),
        ("boxes=1", "--limit boxes=1: write"),
        ("boxes=2:1", "--limit boxes=2:1: write"),
        ("boxes=-inf:1", "write OUTPUT=LEAST:LARGEST, such as scores=-8:8"),
        (
            "boxse=-1:1",
            "m.onnx: --limit: the model has no output 'boxse'; did you mean boxes? (it has",
        ),
    ],
)
def test_limits_that_are_none(limit, said, tmp_path):
    with pytest.raises(UserError) as error:
        preprocess_onnx(save(heads(), tmp_path / "m.onnx"), tmp_path / "out.onnx", limits=[limit])
    assert said in str(error.value) and not (tmp_path / "out.onnx").exists()


def test_nothing_is_left_in_the_current_folder(tmp_path, monkeypatch):
    """Where ONNX Runtime's symbolic shapes give up, they write a file to look at."""
    monkeypatch.chdir(tmp_path)
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r", "", "", "h", "c"], ["", "hn", "cn"], "lstm", hidden_size=4),
        helper.make_node("Reshape", ["cn", "s"], ["y"], "reshape"),
    ]
    constants = {"w": random(1, 16, 3), "r": random(1, 16, 4), "s": np.array([1, 4], np.int64)}
    inputs = {"x": [1, 1, 3], "h": [1, 1, 4], "c": [1, 1, 4]}
    result = preprocess_model(model_of(nodes, inputs, {"y": [1, 4], "hn": [1, 1, 4]}, constants))
    assert kinds(result.model) == ["LSTM", "Reshape"] and not result.skipped
    assert os.getcwd() == str(tmp_path) and not list(tmp_path.iterdir())


def test_quantized_models_are_passed_on(tmp_path):
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s"], ["y"]),
    ]
    model = model_of(nodes, {"x": [4]}, {"y": [4]}, {"s": np.float32(0.5)})
    result = preprocess_onnx(save(model, tmp_path / "q.onnx"), tmp_path / "out.onnx")
    assert "quantized already" in result.skipped[0]
    written = onnx.load(str(tmp_path / "out.onnx"))
    assert list(written.graph.node) == list(result.model.graph.node) and len(written.graph.node) == 2


def test_same_bytes_each_time(tmp_path):
    source = save(small_cnn(), tmp_path / "in.onnx")
    for name in ("a.onnx", "b.onnx"):
        preprocess_onnx(source, tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


@pytest.mark.parametrize("name", ["resnet8", "kws"])
def test_shared_models(shared_models, tmp_path, name):
    result = preprocess_onnx(shared_models / name / "model.onnx", tmp_path / "out.onnx")
    assert result.error <= 1e-5 and not result.skipped
    samples = np.load(shared_models / name / "eval.npy")
    expected = np.load(shared_models / name / "eval_float_output.npy")
    session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"))
    feed = session.get_inputs()[0].name
    for x, y in zip(samples, expected):
        np.testing.assert_allclose(session.run(None, {feed: x[None]})[0][0], y, atol=1e-5)


def test_script(tmp_path, repo):
    script = [sys.executable, str(repo / "tools/tvm/preprocess_onnx.py")]
    source = save(small_cnn(), tmp_path / "in.onnx")
    done = subprocess.run([*script, "--input", source, "--output", tmp_path / "o.onnx"], capture_output=True, text=True)
    assert done.returncode == 0 and "BatchNormalization 1 -> 0" in done.stdout and not done.stderr
    for arguments in (["--input", tmp_path / "no.onnx", "--output", tmp_path / "p.onnx"], []):
        done = subprocess.run([*script, *arguments], capture_output=True, text=True)
        assert done.returncode == 2 and "error" in done.stderr and not done.stdout
    done = subprocess.run([*script, "--input", source, "--output", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1


def _die(model):
    os.kill(os.getpid(), signal.SIGSEGV)


def _fill(model):
    return bytearray(1 << 40)


def _make_what_crashes(model):
    """Of what ONNX Runtime does not survive: the check dies of it."""
    Check.difference = lambda check, model: _die(model)
    return model


@pytest.mark.parametrize(
    "tool, said",
    [
        (_die, "onnxsim left the model as it was: it ends in a crash (SIGSEGV)"),
        (_fill, "onnxsim left the model as it was: it runs out of memory"),
        (_make_what_crashes, "onnxsim left the model as it was: running what it made ends in a crash (SIGSEGV)"),
    ],
)
def test_a_tool_that_dies_is_a_line(monkeypatch, capfd, tool, said):
    monkeypatch.setattr(preprocess, "_onnxsim", tool)
    result = preprocess_model(small_cnn())
    assert result.skipped == [said] and result.error <= preprocess.TOLERANCE
    assert kinds(result.model).count("BatchNormalization") == 0 and capfd.readouterr() == ("", "")
