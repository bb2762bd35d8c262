"""onnx_from.py: which kind a file is, what it needs, and that a conversion which lost something is an error.

The frameworks themselves are in test_onnx_from_frameworks.py.
"""

import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from small_models import model_of, random

from esp_tvm.convert import convert as converting
from esp_tvm.convert import environment, framework, tflite_states
from esp_tvm.convert.check import differences, feeds_of, one_by_one, require_equal
from esp_tvm.convert.convert import convert, parse_shapes, summary
from esp_tvm.convert.environment import KINDS, kind_of, python_for
from esp_tvm.convert.ports import with_float_ports
from esp_tvm.convert.standard import standardize
from esp_tvm.errors import UserError
from esp_tvm.model import inputs_of, load_model, opset_of, outputs_of, session

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tools/tvm/onnx_from.py"


def complaint(function, *args, **options):
    with pytest.raises(UserError) as error:
        function(*args, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- which kind, which Python ---


@pytest.mark.parametrize(
    "name, kind",
    [
        ("a.h5", "keras"),
        ("a.keras", "keras"),
        ("a.tflite", "tflite"),
        ("A.PT", "torchscript"),
        ("a.pt2", "torch_export"),
        ("a.pkl", "sklearn"),
        ("a.joblib", "sklearn"),
        ("a.espdl", "espdl"),
    ],
)
def test_kind_by_suffix(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"x")
    assert kind_of(tmp_path / name) == kind


def test_files_of_keras_3_are_told_from_older_ones(tmp_path):
    for version, kind in (("3.15.1", "keras3"), ("2.13.1", "keras"), ("x", "keras")):
        with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
            archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        # The beginning of a file of h5py: names of attributes, then the heap of their texts.
        heap = b"GCOL\1\0\0\0\0\x20\0\0\0\0\0\0\1\0\0\0\0\0\0\0\6\0\0\0\0\0\0\0" + version.encode()
        (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90) + b"keras_version\0" + bytes(90) + heap)
        assert kind_of(tmp_path / "m.keras") == kind_of(tmp_path / "m.h5") == kind
    (tmp_path / "m.keras").write_bytes(b"PK\3\4 cut off")
    assert kind_of(tmp_path / "m.keras") == "keras"


def test_what_is_no_file_of_keras_is_told_without_keras(tmp_path):
    path, members = tmp_path / "m.keras", {"metadata.json": "{}", "config.json": "{}", "model.weights.h5": "x"}

    def archive(**changed):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in {**members, **changed}.items():
                file.writestr(name, content)

    for content in (b"", b"x", b"PK\3\4 cut off"):
        path.write_bytes(content)
        assert "neither HDF5 nor a zip archive" in complaint(convert, path, tmp_path / "out.onnx")
    archive(**{"config.json": " " * (1 << 27)})
    assert f"would be {(1 << 27) + 3} bytes unpacked" in complaint(convert, path, tmp_path / "out.onnx")
    del members["config.json"]
    archive()
    assert "without Keras's metadata.json and config.json" in complaint(convert, path, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_kind_of_folders_and_what_is_none(tmp_path):
    assert "no such file" in complaint(kind_of, tmp_path / "a.h5")
    assert "saved_model.pb" in complaint(kind_of, tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    assert kind_of(tmp_path) == "saved_model"
    for name, said in (("a.onnx", "make preprocess"), ("a.bin", ".tflite")):
        (tmp_path / name).write_bytes(b"x")
        assert said in complaint(kind_of, tmp_path / name)


def test_missing_framework_names_the_way_to_install_it(monkeypatch):
    missing = environment.Kind("Fancy", ("json", "no_such_module_1", "no_such_module_2"), "sklearn")
    monkeypatch.setitem(KINDS, "fancy", missing)
    text = complaint(python_for, "fancy", sys.executable)
    assert "no no_such_module_1 and no no_such_module_2" in text and "scripts/example_env.sh sklearn" in text
    assert "json" not in text
    monkeypatch.setitem(KINDS, "fancy", environment.Kind("Fancy", ("json",), "nothing"))
    assert python_for("fancy") == sys.executable
    assert "cannot be started" in complaint(python_for, "fancy", "/no/such/python")
    assert "is not a Python" in complaint(python_for, "fancy", "/bin/false")


def test_shapes():
    assert parse_shapes(["1,3,8,8"]) == {"input0": [1, 3, 8, 8]}
    assert parse_shapes(["a=1,2", "1,5", "b=c=1"]) == {"a": [1, 2], "input1": [1, 5], "b=c": [1]}
    for bad in ("", "1,x", "a=", "1,0,2", "1,-1", "1,,2"):
        assert "--shape" in complaint(parse_shapes, [bad])


# --- the samples that the framework runs on ---


def test_random_samples_begin_with_zero():
    samples = framework.samples_for([("x", [1, 2, 3], np.float32), ("i", [1], np.int64)], {"count": 8})
    assert samples["x"].shape == (8, 1, 2, 3) and samples["x"].dtype == np.float32
    assert not samples["x"][0].any() and samples["x"][1:].any(axis=(1, 2, 3)).all()
    assert set(samples["i"].ravel()) <= {0, 1}


def test_given_samples(tmp_path):
    np.save(tmp_path / "one.npy", random(20, 6))
    settings = {"count": 8, "samples": str(tmp_path / "one.npy")}
    assert framework.samples_for([("x", [1, 2, 3], np.float32)], settings)["x"].shape == (8, 1, 2, 3)
    with pytest.raises(framework.Complaint, match="shape"):
        framework.samples_for([("x", [1, 2, 4], np.float32)], settings)
    np.savez(tmp_path / "two.npz", a=random(3, 2), b=random(3, 4))
    settings["samples"] = str(tmp_path / "two.npz")
    assert framework.samples_for([("b", [1, 4], np.float32), ("a", [1, 2], np.float32)], settings)["a"].shape == (
        3,
        1,
        2,
    )
    with pytest.raises(framework.Complaint, match="no array 'c'"):
        framework.samples_for([("c", [1, 4], np.float32), ("a", [1, 2], np.float32)], settings)


def test_only_the_batch_may_be_free():
    assert framework.concrete([None, 8, 8], "x") == [1, 8, 8]
    assert framework.concrete([-1, 8], "x") == [1, 8]
    with pytest.raises(framework.Complaint, match="not all of it fixed"):
        framework.concrete([1, None], "x")


def test_states_follow_each_other():
    samples = {"x": np.arange(3.0).reshape(3, 1)}
    states = [{"input": "sum", "output": "sum_next"}]
    found = tflite_states.with_states(samples, states, [np.array([5.0])], [1], lambda s: [s["x"], s["sum"] + s["x"]])
    assert found["x"] is samples["x"] and found["sum"].ravel().tolist() == [5, 5, 6]


# --- the difference to the source ---

WEIGHTS, BIAS = random(4, 3), random(3, seed=1)


def linear(bias=True, opset=13, batch=1):
    """x @ WEIGHTS + BIAS, or without it: what a careless converter makes."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m" if bias else "y"], "matmul")]
    constants = {"w": WEIGHTS}
    if bias:
        nodes.append(helper.make_node("Add", ["m", "b"], ["y"], "add"))
        constants["b"] = BIAS
    return model_of(nodes, {"x": [batch, 4]}, {"y": [batch, 3]}, constants, opset, 8 if opset < 18 else 10, check=False)


def source(sample):
    return [sample["x"] @ WEIGHTS + BIAS]


SAMPLES = [{"x": np.zeros((1, 4), np.float32)}, {"x": random(1, 4)}]


def test_an_equal_model_passes():
    found = differences(linear(), source, SAMPLES)
    require_equal(found, 1e-5, "m")
    assert found[0].output == "y" and found[0].absolute < 1e-6


def test_a_step_of_a_small_int8_output_is_no_error():
    """A probability near 0 is as exact as the range of its integers says."""
    tiny = [{"x": np.zeros((1, 4), np.float32)}]
    off = [lambda sample: [source(sample)[0] + 0.004]]
    (found,) = differences(linear(), off[0], tiny, ranges=[100.0])
    assert found.relative == pytest.approx(4e-5, rel=0.01) and "of its int8 range" in str(found)
    (found,) = differences(linear(), off[0], tiny, ranges=[0.0])
    assert found.relative > 1e-3 and "of its largest value" in str(found)


def test_a_lost_bias_is_an_error():
    found = differences(linear(bias=False), source, SAMPLES)
    assert found[0].absolute == pytest.approx(np.abs(BIAS).max())
    text = complaint(require_equal, found, 1e-4, "model.h5")
    assert "model.h5" in text and "'y'" in text and "bias" in text


def test_differences_that_hide():
    nan = differences(linear(), lambda s: [np.full((1, 3), np.nan)], SAMPLES)
    complaint(require_equal, nan, 1e9, "m")
    nothing = model_of([helper.make_node("Sub", ["x", "x"], ["y"], "sub")], {"x": [1, 4]}, {"y": [1, 4]})
    found = differences(nothing, lambda s: [s["x"] * 0], SAMPLES)
    assert found[0].relative == 0
    assert "has 1 outputs, its source 2" in complaint(differences, linear(), lambda s: source(s) * 2, SAMPLES)
    assert "[1, 2]" in complaint(differences, linear(), lambda s: [np.zeros((1, 2))], SAMPLES)


def test_a_source_with_another_batch():
    assert len(feeds_of(linear(), [np.zeros((3, 1, 4))])) == 3
    assert "batch of 1" in complaint(feeds_of, linear(), [np.zeros((3, 2, 4))])
    inputs, outputs = one_by_one(linear(), [np.zeros((3, 2, 4)), np.zeros((3, 2, 3))])
    assert inputs.shape == (6, 1, 4) and outputs.shape == (6, 1, 3)
    assert one_by_one(linear(), [np.zeros((3, 2, 4)), np.zeros((3, 5))])[0].shape == (3, 2, 4)
    assert "1 inputs, its source 2" in complaint(feeds_of, linear(), [np.zeros((3, 1, 4))] * 2)


# --- the whole command, with a Python that plays the framework ---


@pytest.fixture
def fake(tmp_path):
    """(write, run): `write(model, inputs, outputs)` says what the framework makes; `run(*options)` the command."""
    made = tmp_path / "made"
    made.mkdir()
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nif [ "$1" = -c ]; then exit 0; fi\n. {tmp_path}/behaviour "$6"\n')
    python.chmod(0o755)
    (tmp_path / "behaviour").write_text(f'cp {made}/* "$6"/\n')
    (tmp_path / "model.keras").write_bytes(b"\x89HDF\r\n\x1a\n")

    def write(model, inputs, outputs):
        (made / "raw.onnx").write_bytes(model.SerializeToString())
        arrays = {f"in{i}": array for i, array in enumerate(inputs)}
        np.savez(made / "samples.npz", **arrays, **{f"out{i}": array for i, array in enumerate(outputs)})

    def run(*options):
        command = [sys.executable, SCRIPT, tmp_path / "model.keras", "--output", tmp_path / "out.onnx"]
        return subprocess.run([*command, "--python", python, *options], capture_output=True, text=True)

    return write, run


INPUTS = np.stack([sample["x"] for sample in SAMPLES])


def test_command_lowers_and_fixes_the_batch(fake, tmp_path):
    write, run = fake
    write(linear(opset=21, batch="n"), [INPUTS], [INPUTS @ WEIGHTS + BIAS])
    done = run()
    assert done.returncode == 0, done.stderr
    assert "largest difference to the source: 'y'" in done.stdout
    model = load_model(tmp_path / "out.onnx")
    assert opset_of(model) == 17 and inputs_of(model) == [("x", (1, 4), "float32")]


def test_command_refuses_what_lost_its_bias(fake, tmp_path):
    write, run = fake
    write(linear(bias=False), [INPUTS], [INPUTS @ WEIGHTS + BIAS])
    done = run()
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "does not compute what its source does" in done.stderr
    assert not (tmp_path / "out.onnx").exists()
    assert run("--tolerance", "10").returncode == 0


def test_command_tells_what_the_framework_said(fake, tmp_path):
    _, run = fake
    (tmp_path / "behaviour").write_text('echo "it is not a model" > "$6"/error.txt; exit 2\n')
    assert run().stderr == "error: it is not a model\n"
    (tmp_path / "behaviour").write_text('echo Traceback; echo "ValueError: unknown layer"; exit 1\n')
    done = run()
    assert done.returncode == 2 and "ValueError: unknown layer" in done.stderr and done.stderr.count("\n") == 1


def test_framework_ends_with_the_command(fake, tmp_path):
    _, run = fake
    (tmp_path / "behaviour").write_text(f"echo $$ > {tmp_path}/number; kill -TERM $PPID; exec sleep 60\n")
    done = run()
    assert (done.returncode, done.stderr.strip()) == (143, "terminated")
    number, until = int((tmp_path / "number").read_text()), time.monotonic() + 10
    while not _has_ended(number) and time.monotonic() < until:
        time.sleep(0.05)
    assert _has_ended(number)


def _has_ended(number: int) -> bool:
    """Whether a process is gone, or waits only for its exit status to be read: by whom, the system decides."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_pickles_and_options_are_looked_at_first(tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("the framework was called")

    monkeypatch.setattr(converting, "run_framework", never)
    monkeypatch.setattr(converting, "python_for", lambda kind, given: sys.executable)
    (tmp_path / "m.pkl").write_bytes(b"x")
    assert "--trust-pickle" in complaint(convert, tmp_path / "m.pkl", tmp_path / "o.onnx")
    (tmp_path / "m.h5").write_bytes(b"x")
    assert "13 to 17" in complaint(convert, tmp_path / "m.h5", tmp_path / "o.onnx", opset=18)
    assert "no such file" in complaint(convert, tmp_path / "m.h5", tmp_path / "o.onnx", samples=tmp_path / "no.npy")


# --- tables: ai.onnx.ml ---


def ml_model(nodes, outputs, features=5):
    values = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in outputs]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, features])], values
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 1)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 7
    return model


def ml(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs, outputs, f"the_{kind}", domain="ai.onnx.ml", **attributes)


SCORES = ("y", TensorProto.FLOAT, [1, 3])
LABEL = ("label", TensorProto.INT64, [1])


def classifier(transform, outputs=("label", "y"), x="x"):
    return ml(
        "LinearClassifier",
        [x],
        list(outputs),
        classlabels_ints=[0, 1, 2],
        coefficients=random(15).tolist(),
        intercepts=[0.1, -0.2, 0.3],
        post_transform=transform,
    )


@pytest.mark.parametrize(
    "nodes, outputs",
    [
        ([ml("Scaler", ["x"], ["y"], offset=random(5).tolist(), scale=[0.5, 1, 2, 3, 4.0])], [("y", 1, [1, 5])]),
        ([classifier("NONE")], [LABEL, SCORES]),
        ([classifier("SOFTMAX")], [LABEL, SCORES]),
        ([classifier("LOGISTIC")], [LABEL, SCORES]),
        ([classifier("SOFTMAX", ("label", "p")), ml("Normalizer", ["p"], ["y"], norm="L1")], [LABEL, SCORES]),
        ([classifier("LOGISTIC", ("label", "p")), ml("Normalizer", ["p"], ["y"], norm="L1")], [LABEL, SCORES]),
        ([ml("Normalizer", ["x"], ["y"], norm="L2")], [("y", 1, [1, 5])]),
        (
            [ml("LinearRegressor", ["x"], ["y"], coefficients=random(10).tolist(), intercepts=[1.0, 2.0], targets=2)],
            [("y", 1, [1, 2])],
        ),
        ([ml("LinearRegressor", ["x"], ["y"], coefficients=random(5).tolist())], [("y", 1, [1, 1])]),
    ],
)
def test_tables_become_standard_operators(tmp_path, nodes, outputs):
    model = ml_model(nodes, outputs)
    x = random(1, 5, scale=2)
    (expected,) = session(model).run(["y"], {"x": x})
    standardize(model, "m")
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    loaded = load_model(tmp_path / "m.onnx")
    assert {node.domain for node in loaded.graph.node} == {""} and len(loaded.graph.output) == 1
    np.testing.assert_allclose(session(loaded).run(None, {"x": x})[0], expected, rtol=1e-5, atol=1e-6)


def test_a_scaler_in_the_model_is_told(tmp_path):
    model = ml_model([ml("Scaler", ["x"], ["y"], offset=[0.0] * 5, scale=[1.0] * 5)], [("y", 1, [1, 5])])
    standardize(model, "m")
    result = converting.Converted(model, "sklearn", "python", [])
    assert "scaler" in summary(result, "m", "o")[-1]
    result = converting.Converted(linear(), "sklearn", "python", [])
    assert not any("scaler" in line for line in summary(result, "m", "o"))


def test_trees_are_refused():
    tree = ml("TreeEnsembleRegressor", ["x"], ["y"])
    assert "decision trees" in complaint(standardize, ml_model([tree], [("y", 1, [1, 1])]), "forest.joblib")


# --- int8 sources ---


def quantizers():
    """A Relu between int8 input and int8 output, as a fully quantized .tflite has them."""
    constants = {"s": np.float32(0.1), "z": np.int8(5), "so": np.float32(0.2), "zo": np.int8(-3)}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["f"], "d"),
        helper.make_node("Relu", ["f"], ["r"], "r"),
        helper.make_node("QuantizeLinear", ["r", "so", "zo"], ["y"], "q"),
    ]
    model = model_of(nodes, {"x": [1, 4]}, {"y": [1, 4]}, constants, check=False)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.INT8
    return model


def test_integer_ports_become_floats(tmp_path):
    model = quantizers()
    x = np.array([[-3.0, 0.42, 1.0, 99.0]], np.float32)
    (q,) = session(model).run(None, {"x": np.array([[-25, 9, 15, 127]], np.int8)})
    with_float_ports(model, [[float(np.float32(0.1)), 5, "int8"]], [[float(np.float32(0.2)), -3, "int8"]])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    loaded = load_model(tmp_path / "m.onnx")
    assert inputs_of(loaded) == [("x", (1, 4), "float32")] and outputs_of(loaded) == [("y", (1, 4), "float32")]
    (y,) = session(loaded).run(None, {"x": x})
    np.testing.assert_allclose(y, (q.astype(np.float32) + 3) * 0.2, rtol=1e-6)


def test_float_ports_stay():
    model = linear()
    before = model.SerializeToString()
    with_float_ports(model, [None], [None])
    assert model.SerializeToString() == before


def test_quantized_sources_need_real_samples(fake, tmp_path):
    write, run = fake
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], "d"),
    ]
    write(model_of(nodes, {"x": [1, 4]}, {"y": [1, 4]}, {"s": np.float32(0.1), "z": np.int8(0)}), [INPUTS], [INPUTS])
    done = run()
    assert done.returncode == 2 and "--samples" in done.stderr
    np.save(tmp_path / "samples.npy", INPUTS)
    done = run("--samples", tmp_path / "samples.npy")
    # Half a step of 0.1, which random input shows: above 1e-4, below 0.1 of the largest value.
    assert done.returncode == 0, done.stderr
    assert "it is quantized" in done.stdout
