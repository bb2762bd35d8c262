import zipfile

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import HOSTILE_NAMES, model_of, random, small_cnn

from esp_tvm.data import load_sample, load_samples
from esp_tvm.errors import UserError
from esp_tvm.model import describe, inputs_of, load_model, opset_of, outputs_of, session


def save(model, path):
    path.write_bytes(model.SerializeToString())
    return path


def relu(shape=(1, 4), **options):
    return model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": shape}, {"y": shape}, **options)


def complaint(path):
    with pytest.raises(UserError) as error:
        load_model(path)
    text = str(error.value)
    assert "\n" not in text and len(text) < 500
    return text


# --- files ---


def test_missing_folder_empty_and_not_onnx(tmp_path):
    assert "no such file" in complaint(tmp_path / "nothing.onnx")
    assert "folder" in complaint(tmp_path)
    empty = tmp_path / "empty.onnx"
    empty.write_bytes(b"")
    assert "empty" in complaint(empty)
    for junk in (b"hello world", b"\x00" * 100, bytes(range(256)), b"\x93NUMPY", b"PK\x03\x04"):
        file = tmp_path / "junk.onnx"
        file.write_bytes(junk)
        assert "ONNX" in complaint(file)


def test_every_cut_off_model_is_refused(tmp_path):
    whole = small_cnn().SerializeToString()
    file = tmp_path / "cut.onnx"
    for length in range(1, len(whole) - 1, 97):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError):
            load_model(file)


def test_external_data(tmp_path):
    model = small_cnn()
    path = tmp_path / "model.onnx"
    onnx.save_model(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    loaded = load_model(path)
    assert not any(t.data_location for t in loaded.graph.initializer)
    (tmp_path / "weights.bin").write_bytes(b"short")
    assert "weights.bin" in complaint(path)
    (tmp_path / "weights.bin").unlink()
    assert "'weights.bin'" in complaint(path)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "a/../../secret.bin", ""])
def test_external_data_stay_in_their_folder(tmp_path, location):
    (tmp_path / "secret.bin").write_bytes(b"\0" * 400)
    folder = tmp_path / "folder"
    folder.mkdir()
    model = model_of([helper.make_node("Add", ["x", "w"], ["y"])], {"x": [100]}, {"y": [100]}, {"w": random(100)})
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    assert "outside" in complaint(save(model, folder / "model.onnx"))


# --- versions, operators, types ---


def test_versions(tmp_path):
    file = tmp_path / "m.onnx"
    text = complaint(save(relu(opset=99, check=False), file))
    assert "opset 99" in text and "opset_version=17" in text
    assert opset_of(load_model(save(relu(opset=18, check=False), file))) == 17
    assert load_model(save(relu(ir_version=9, check=False), file)).ir_version == 8
    assert opset_of(load_model(save(relu(opset=17), file))) == 17


def test_missing_types_are_completed_and_unused_constants_dropped(tmp_path):
    model = relu()
    model.graph.initializer.add(name="unused", data_type=1, dims=[1], float_data=[1.0])
    model.graph.value_info.add(name="y")
    model.graph.output[0].ClearField("type")
    loaded = load_model(save(model, tmp_path / "m.onnx"))
    assert not loaded.graph.value_info and not loaded.graph.initializer
    assert outputs_of(loaded) == [("y", (1, 4), "float32")]


def test_files_of_other_frameworks_name_the_converter(tmp_path):
    for suffix in (".h5", ".keras", ".tflite", ".pt", ".pkl", ".joblib", ".espdl"):
        file = tmp_path / f"model{suffix}"
        file.write_bytes(b"something")
        assert "onnx_from.py" in complaint(file)
    (tmp_path / "saved_model.pb").write_bytes(b"something")
    assert "onnx_from.py" in complaint(tmp_path)


@pytest.mark.parametrize("opset", [7, 9, 11, 12])
def test_old_opsets_become_13(tmp_path, opset):
    nodes = [helper.make_node("Softmax", ["x"], ["y"])]
    old = model_of(nodes, {"x": [2, 3, 4]}, {"y": [2, 3, 4]}, opset=opset, ir_version=3)
    model = load_model(save(old, tmp_path / "m.onnx"))
    assert opset_of(model) == 13
    import onnxruntime

    x = random(2, 3, 4)
    y = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    # Before opset 13 Softmax is over all axes from 1 on.
    flat = np.exp(x.reshape(2, -1))
    np.testing.assert_allclose(y.reshape(2, -1), flat / flat.sum(1, keepdims=True), rtol=1e-5)


def test_operators_that_nothing_computes(tmp_path):
    file = tmp_path / "m.onnx"
    node = helper.make_node("FusedThing", ["x"], ["y"], "thing", domain="com.acme")
    text = complaint(save(model_of([node], {"x": [1]}, {"y": [1]}, check=False), file))
    assert "'thing'" in text and "com.acme" in text
    node = helper.make_node("Rellu", ["x"], ["y"], "typo")
    assert "'typo'" in complaint(save(model_of([node], {"x": [1]}, {"y": [1]}, check=False), file))
    body = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["z"])], "b", [], [helper.make_tensor_value_info("z", 1, [1])]
    )
    node = helper.make_node("If", ["c"], ["y"], "branch", then_branch=body, else_branch=body)
    positive = helper.make_node("Cast", ["x"], ["c"], "positive", to=TensorProto.BOOL)
    model = model_of([positive, node], {"x": [1]}, {"y": [1]}, check=False)
    assert "'branch'" in complaint(save(model, file))


@pytest.mark.parametrize("element", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16])
def test_other_float_types_become_float32(tmp_path, element):
    model = load_model(save(relu(element=element), tmp_path / "m.onnx"))
    assert {port[2] for port in (*inputs_of(model), *outputs_of(model))} == {"float32"}
    x = random(*inputs_of(model)[0][1])
    assert np.array_equal(session(model).run(None, {inputs_of(model)[0][0]: x})[0], np.maximum(x, 0))


def test_broken_graphs(tmp_path):
    file = tmp_path / "m.onnx"
    node = helper.make_node("Relu", ["nowhere"], ["y"])
    assert "reads tensor 'nowhere'" in complaint(save(model_of([node], {"x": [1]}, {"y": [1]}, check=False), file))
    unknown = helper.make_node("Relu", ["x"], ["y"], slope=1.0)
    assert "not a valid" in complaint(save(model_of([unknown], {"x": [1]}, {"y": [1]}, check=False), file))
    constant = helper.make_node("Relu", ["w"], ["y"])
    assert "no inputs" in complaint(save(model_of([constant], {}, {"y": [2]}, {"w": random(2)}, check=False), file))


# --- shapes ---


def test_free_batch_becomes_1(tmp_path):
    model = load_model(save(small_cnn(batch="N"), tmp_path / "m.onnx"))
    assert inputs_of(model) == [("x", (1, 3, 8, 8), "float32")]
    assert outputs_of(model) == [("y", (1, 5), "float32")]


def test_other_free_axes_are_refused_by_name(tmp_path):
    text = complaint(save(relu(("N", 3, "height")), tmp_path / "m.onnx"))
    assert "'x'" in text and "axis 2" in text and "height" in text


def test_output_shapes_that_only_a_run_can_tell(tmp_path):
    nodes = [helper.make_node("NonZero", ["s"], ["i"]), helper.make_node("Gather", ["x", "i"], ["y"], axis=0)]
    model = model_of(nodes, {"x": [3]}, {"y": [None, None]}, {"s": np.array([1, 0, 1], np.float32)})
    assert outputs_of(load_model(save(model, tmp_path / "m.onnx"))) == [("y", (1, 2), "float32")]


def test_initializers_declared_as_inputs(tmp_path):
    model = small_cnn()
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    assert [name for name, _, _ in inputs_of(load_model(save(model, tmp_path / "m.onnx")))] == ["x"]


# --- names ---


def test_node_names_become_unique(tmp_path):
    model = small_cnn()
    for node in model.graph.node:
        node.name = "same" if node.op_type == "Relu" else ""
    names = [node.name for node in load_model(save(model, tmp_path / "m.onnx")).graph.node]
    assert len(set(names)) == len(names) and all(names) and "same" in names


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
def test_hostile_names_are_data(tmp_path, name):
    model = small_cnn(lambda plain: name + plain)
    loaded = load_model(save(model, tmp_path / "m.onnx"))
    assert inputs_of(loaded)[0][0] == name + "x"
    model.graph.node[0].op_type = "Nope" + name
    assert complaint(save(model, tmp_path / "m.onnx"))


def test_describe():
    text = describe(small_cnn())
    assert text["inputs"] == [("x", (1, 3, 8, 8), "float32")] and text["operators"]["Conv"] == 2
    assert text["opset"] == 13 and text["parameters"] == 8 * 27 + 8 * 5 + 72 + 40 + 5 + 2


# --- samples ---

INPUT = [("x", (1, 2, 3), "float32")]


def array_complaint(path, inputs=INPUT):
    with pytest.raises(UserError) as error:
        load_samples(path, inputs)
    text = str(error.value)
    assert "\n" not in text and len(text) < 500
    return text


def test_pictures_are_no_samples_yet(tmp_path):
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"\x89PNG\r\n")
    for path in (picture, tmp_path):
        with pytest.raises(UserError, match=r"pictures or sounds: with 'make arrays'"):
            load_samples(path, INPUT)


def npy(tmp_path, array, name="x.npy"):
    np.save(tmp_path / name, array)
    return tmp_path / name


@pytest.mark.parametrize(
    "shape, count", [((5, 2, 3), 5), ((5, 1, 2, 3), 5), ((1, 2, 3), 1), ((2, 3), 1), ((1, 1, 2, 3), 1)]
)
def test_with_and_without_batch_axis(tmp_path, shape, count):
    array = random(*shape)
    samples = load_samples(npy(tmp_path, array), INPUT)["x"]
    assert samples.shape == (count, 1, 2, 3) and len(samples) == count
    np.testing.assert_array_equal(np.asarray(samples).reshape(-1), array.reshape(-1))
    np.testing.assert_array_equal(samples[count - 1], array.reshape(count, 1, 2, 3)[-1])
    np.testing.assert_array_equal(samples[0:2], array.reshape(count, 1, 2, 3)[:2])
    assert samples[0].dtype == np.float32


@pytest.mark.parametrize("shape", [(5, 3, 2), (5, 6), (6,), (5, 2, 2, 3), (1, 1, 1, 2, 3)])
def test_wrong_shapes(tmp_path, shape):
    text = array_complaint(npy(tmp_path, random(*shape)))
    assert str(list(shape)) in text and "[1, 2, 3]" in text


@pytest.mark.parametrize("dtype", ["float64", "float16", "uint8", "int64", "int8", ">f4"])
def test_numbers_become_the_inputs_dtype(tmp_path, dtype):
    array = (random(4, 2, 3) * 10).astype(dtype)
    samples = load_samples(npy(tmp_path, array), INPUT)["x"]
    assert samples[0].dtype == np.dtype("float32") and samples[0].dtype.isnative
    np.testing.assert_array_equal(samples[3], array[3].astype(np.float32)[None])


@pytest.mark.parametrize(
    "array, word",
    [
        (np.full((2, 2, 3), np.nan, np.float32), "nan"),
        (np.full((2, 2, 3), -np.inf, np.float32), "inf"),
        (np.full((2, 2, 3), 1e300), "beyond"),
        (np.full((2, 2, 3), -1e30, np.float32), "beyond"),
        (np.full((2, 2, 3), 2**30), "fit"),
        (np.zeros((0, 2, 3), np.float32), "empty"),
        (np.zeros((2, 2, 3), np.complex64), "complex"),
        (np.zeros((2, 2, 3), bool), "bool"),
        (np.full((2, 2, 3), "a"), "U1"),
        (np.array(3.0), "shape"),
    ],
)
def test_values_that_no_model_takes(tmp_path, array, word):
    assert word in array_complaint(npy(tmp_path, array))


def test_bytes_for_a_float_input_are_taken_and_named(tmp_path, caplog):
    path = npy(tmp_path, np.full((2, 2, 3), 200, np.uint8))
    samples = load_samples(path, [("x", (1, 2, 3), "float32")])["x"]
    assert samples[0].dtype == np.float32 and samples[0].max() == 200
    assert "uint8" in caplog.text and str(path) in caplog.text


def test_pickles_are_not_opened(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], object), allow_pickle=True)
    assert "Python objects" in array_complaint(tmp_path / "o.npy")
    np.savez(tmp_path / "o.npz", x=np.array([{"a": 1}], object))
    assert "Python objects" in array_complaint(tmp_path / "o.npz")


def test_files_that_are_no_arrays(tmp_path):
    assert "no such file" in array_complaint(tmp_path / "nothing.npy")
    for name, data in (("a.npy", b""), ("b.npy", b"hello"), ("c.npz", b"PK\x03\x04junk"), ("d.npy", b"\x93NUMPY\x01")):
        (tmp_path / name).write_bytes(data)
        assert name in array_complaint(tmp_path / name)
    for content in (b"", b"text"):
        with zipfile.ZipFile(tmp_path / "e.npz", "w") as archive:
            archive.writestr("x.npy", content)
        assert "e.npz: 'x': is no array" in array_complaint(tmp_path / "e.npz")
    whole = npy(tmp_path, random(50, 2, 3)).read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-100])
    assert "cut" in array_complaint(tmp_path / "cut.npy")


TWO = [("a/b", (1, 2), "float32"), ("ids", (1, 3), "int64")]


def test_several_inputs(tmp_path):
    arrays = {"a/b": random(4, 2), "ids": np.arange(12).reshape(4, 3)}
    np.savez(tmp_path / "s.npz", **arrays)
    folder = tmp_path / "folder"
    folder.mkdir()
    np.save(folder / "a_b.npy", arrays["a/b"])
    np.save(folder / "ids.npy", arrays["ids"])
    for path in (tmp_path / "s.npz", folder):
        samples = load_samples(path, TWO)
        assert [samples[n].shape for n in samples] == [(4, 1, 2), (4, 1, 3)]
        np.testing.assert_array_equal(samples["ids"][2], [[6, 7, 8]])
        assert samples["ids"][0].dtype == np.int64
    np.save(folder / "ids.npy", arrays["ids"][:3])
    assert "different numbers" in array_complaint(folder, TWO)
    (folder / "a_b.npy").unlink()
    assert "'a/b'" in array_complaint(folder, TWO)
    np.savez(tmp_path / "s.npz", ids=arrays["ids"])
    assert "'a/b'" in array_complaint(tmp_path / "s.npz", TWO)
    assert "2 inputs" in array_complaint(npy(tmp_path, random(4, 2)), TWO)
    np.savez(tmp_path / "s.npz", **{"a/b": random(4, 2), "ids": random(4, 3)})
    assert "int64" in array_complaint(tmp_path / "s.npz", TWO)


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
def test_folder_of_samples_with_hostile_input_names(tmp_path, name):
    np.save(tmp_path / "1.npy", random(2, 2))
    np.save(tmp_path / "2.npy", random(2, 2))
    array_complaint(tmp_path, [(name, (1, 2), "float32")])


def test_one_sample(tmp_path):
    assert load_sample(npy(tmp_path, random(2, 3)), INPUT)["x"].shape == (1, 2, 3)
    with pytest.raises(UserError, match="has 2 samples"):
        load_sample(npy(tmp_path, random(2, 2, 3)), INPUT)


def test_samples_stay_on_disk(tmp_path):
    big = np.lib.format.open_memmap(tmp_path / "big.npy", mode="w+", dtype=np.uint8, shape=(300, 1000, 1000))
    big[-1] = 7
    big.flush()
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    samples = load_samples(tmp_path / "big.npy", [("x", (1, 1000, 1000), "float32")])["x"]
    assert samples[299].max() == 7.0
    # As float32 in memory it would be 1.2 GB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600 << 10


def test_samples_in_the_other_layout(tmp_path):
    file = tmp_path / "samples.npy"
    for given, shape, axes in (((5, 8, 6, 3), (1, 3, 8, 6), (0, 3, 1, 2)), ((5, 3, 8, 6), (1, 8, 6, 3), (0, 2, 3, 1))):
        np.save(file, random(*given))
        with pytest.raises(UserError) as error:
            load_samples(file, [("x", shape, "float32")])
        assert f"samples.transpose{axes}" in str(error.value)
        np.save(file, np.load(file).transpose(axes))
        assert load_samples(file, [("x", shape, "float32")])["x"].shape == (5, *shape)


def test_outputs_that_nothing_computes(tmp_path):
    """Copies of an input, a constant, another output stay, each by a node; an input that is an output does not."""
    copies = {"z": "x", "c": "k", "y2": "y"}
    nodes = [helper.make_node("Relu", ["x"], ["y"], "relu")]
    nodes += [helper.make_node("Identity", [source], [name], name) for name, source in copies.items()]
    outputs = {name: [1, 4] for name in ("y", *copies, "k")}
    loaded = load_model(save(model_of(nodes, {"x": [1, 4]}, outputs, {"k": random(1, 4)}), tmp_path / "m.onnx"))
    assert [value.name for value in loaded.graph.output] == list(outputs)
    assert set(outputs) <= {name for node in loaded.graph.node for name in node.output}
    nodes[0].output[0] = "other"
    outputs = {"x": [1, 4], "other": [1, 4]}
    text = complaint(save(model_of(nodes[:1], {"x": [1, 4]}, outputs), tmp_path / "m.onnx"))
    assert "'x' is an input and an output; give the output another name" in text


def test_input_without_a_shape(tmp_path):
    model = relu()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    text = complaint(save(model, tmp_path / "m.onnx"))
    assert "input 'x' has no shape" in text and "PREPROCESS_OPTIONS" in text


@pytest.mark.parametrize("typed", [True, False])
def test_an_output_without_a_shape_whose_shape_inference_does_not_know(tmp_path, typed):
    """x.view(x.size(0), -1) of a free batch, in a model that was cut: the shape is seen when it runs."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Slice", ["s", "zero", "one"], ["batch"]),
        helper.make_node("Concat", ["batch", "rest"], ["to"], axis=0),
        helper.make_node("Reshape", ["x", "to"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    constants = {"zero": np.array([0]), "one": np.array([1]), "rest": np.array([-1]), "w": random(12, 5)}
    model = model_of(nodes, {"x": ["batch", 3, 4]}, {"y": None}, constants, check=False)
    if not typed:
        model.graph.output[0].ClearField("type")
    assert outputs_of(load_model(save(model, tmp_path / "m.onnx"))) == [("y", (1, 5), "float32")]


def test_a_session_gives_the_same_at_every_run():
    """ONNX Runtime 1.14 by itself does not from the second run on, where the result of a node is not used."""
    rng = np.random.default_rng(0)
    shapes = {"first": (16, 1, 3, 3), "unused": (16, 1, 3, 3), "second": (16, 16, 1, 1), "third": (10, 16, 8, 8)}
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    weights.update(pads=np.array([0, 0, 1, 1, 0, 0, 1, 1]), value=np.float32(-4))
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["sum"], pads=[1] * 4),
        helper.make_node("Clip", ["sum", "value"], ["a"]),
        helper.make_node("Pad", ["a", "pads", "value"], ["b"]),
        helper.make_node("Conv", ["b", "unused"], ["c"], group=16),
        helper.make_node("Conv", ["x", "second"], ["d"]),
        helper.make_node("Add", ["a", "d"], ["both"]),
        helper.make_node("Clip", ["both", "value"], ["e"]),
        helper.make_node("Conv", ["e", "third"], ["y"]),
    ]
    known = {"image": [1, 1, 8, 8], "x": None, "y": None}
    ports = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in known.items()]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", ports[:2], ports[2:], initializers)
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    built.ir_version = 8
    reused = session(built)
    for _ in range(3):
        shaped = {"image": (1, 1, 8, 8), "x": (1, 16, 8, 8)}
        feeds = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shaped.items()}
        assert np.array_equal(reused.run(None, feeds)[0], session(built).run(None, feeds)[0])
