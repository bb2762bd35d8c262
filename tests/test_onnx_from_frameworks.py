"""onnx_from.py with the frameworks themselves, where scripts/example_env.sh has installed them (make test-all)."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from small_models import random

from esp_tvm.convert.convert import convert, summary
from esp_tvm.convert.environment import KINDS
from esp_tvm.errors import UserError
from esp_tvm.model import inputs_of, load_model, opset_of, outputs_of, session

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tools/tvm/onnx_from.py"


def complaint(function, *args, **options):
    with pytest.raises(UserError) as error:
        function(*args, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


MAKE = {
    "keras": """
import sys, tensorflow as tf
L = tf.keras.layers
m = tf.keras.Sequential([L.Input((8, 8, 3)), L.Conv2D(4, 3), L.ReLU(), L.Flatten(),
    L.Dense(5, bias_initializer="random_normal")])
m.save(sys.argv[1] + "/m.h5"); m.save(sys.argv[1] + "/m.keras"); m.export(sys.argv[1] + "/m")
open(sys.argv[1] + "/m.tflite", "wb").write(tf.lite.TFLiteConverter.from_keras_model(m).convert())
c = tf.lite.TFLiteConverter.from_keras_model(m)
c.optimizations = [tf.lite.Optimize.DEFAULT]
c.representative_dataset = lambda: ([tf.random.uniform((1, 8, 8, 3), seed=i)] for i in range(20))
c.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
c.inference_input_type = c.inference_output_type = tf.int8
open(sys.argv[1] + "/int8.tflite", "wb").write(c.convert())
L1 = tf.keras.Sequential([L.Input((4,)), L.Lambda(lambda x: x * 2)])
L1.save(sys.argv[1] + "/lambda.h5")
""",
    "keras3": """
import sys, keras
L, path = keras.layers, sys.argv[1]
image, more = keras.Input((8, 8, 3), name="image"), keras.Input((4,), name="more")
x = L.GlobalAveragePooling2D()(L.BatchNormalization()(L.Conv2D(4, 3, activation="relu")(image)))
x = L.Concatenate()([x, more])
outputs = {"a": L.Dense(3, name="first")(x), "b": L.Dense(2, activation="sigmoid", name="second")(x)}
keras.Model({"image": image, "more": more}, outputs).save(path + "/two.keras")
a = keras.Input((5, 6), name="a")
x = L.Bidirectional(L.LSTM(4))(L.GRU(7, return_sequences=True)(L.GRU(5, reset_after=False, return_sequences=True)(a)))
keras.Model(a, L.Dense(2)(x)).save(path + "/recurrent.keras")
x = L.SimpleRNN(4, go_backwards=True)(L.SimpleRNN(7, activation="relu", return_sequences=True)(a))
keras.Model(a, L.Dense(2)(x)).save(path + "/simple.keras")
m = keras.Sequential([L.Input((8, 3)), L.Conv1D(4, 3), L.ReLU(), L.Flatten(), L.Dense(5, name="last")])
m.save(path + "/m.keras"); m.save(path + "/m.h5")
keras.Sequential([L.Input((4,)), L.Lambda(lambda x: x * 2)]).save(path + "/lambda.keras")
given = L.Normalization(mean=[0.5, 1.0, 2.0, 4.0], variance=[1.0, 2.0, 3.0, 4.0])
keras.Sequential([L.Input((4,)), given, L.Dense(3)]).save(path + "/normal.keras")
""",
    "tflite": """
import sys, numpy as np, tensorflow as tf
class Stream(tf.Module):
    # The last two of what came in are kept, and begin with ones.
    def __init__(self):
        self.past = tf.Variable(tf.ones((1, 2, 4)), name="past")
        self.weights = tf.constant(np.random.RandomState(0).standard_normal((12, 3)).astype(np.float32))
    @tf.function(input_signature=[tf.TensorSpec((1, 1, 4), tf.float32)])
    def __call__(self, x):
        window = tf.concat([self.past.read_value(), x], 1)
        self.past.assign(window[:, 1:])
        return tf.linalg.matmul(tf.reshape(window, (1, 12)), self.weights)
m = Stream()
c = tf.lite.TFLiteConverter.from_concrete_functions([m.__call__.get_concrete_function()], m)
c.experimental_enable_resource_variables = True
open(sys.argv[1] + "/stream.tflite", "wb").write(c.convert())
class Sequence(tf.Module):
    # Products of sequences with biases, functions of today's networks.
    def __init__(self):
        random = np.random.RandomState(0)
        self.first, self.bias, self.second = (
            tf.constant(random.standard_normal(size).astype(np.float32)) for size in ((6, 12), (12,), (12, 5))
        )
    @tf.function(input_signature=[tf.TensorSpec((1, 10, 6), tf.float32)])
    def __call__(self, x):
        y = tf.nn.gelu(tf.matmul(x, self.first) + self.bias, approximate=True)
        y = tf.minimum(tf.maximum(tf.nn.gelu(y, approximate=False), -1.0), 1.0)
        return tf.nn.relu(tf.matmul(y, self.second))
m = Sequence()
c = tf.lite.TFLiteConverter.from_concrete_functions([m.__call__.get_concrete_function()], m)
open(sys.argv[1] + "/sequence.tflite", "wb").write(c.convert())
L = tf.keras.layers
m = tf.keras.Sequential([
    L.Input((9, 6), batch_size=1),
    L.Bidirectional(L.LSTM(8, return_sequences=True, bias_initializer="ones")),
    L.LSTM(4), L.Dense(3),
])
c = tf.lite.TFLiteConverter.from_keras_model(m)
open(sys.argv[1] + "/lstm.tflite", "wb").write(c.convert())
""",
    "torchscript": """
import sys, torch
from torch import nn
m = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
torch.jit.script(m).save(sys.argv[1] + "/m.pt")
torch.save(m.state_dict(), sys.argv[1] + "/weights.pt")
torch.export.save(torch.export.export(m, (torch.zeros(1, 3, 8, 8),)), sys.argv[1] + "/m.pt2")
""",
    "sklearn": """
import sys, joblib
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
x, y = load_wine(return_X_y=True)
models = {
    "mlp": MLPClassifier((8,), max_iter=20),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    "ridge": Ridge(),
    "svc": make_pipeline(StandardScaler(), LinearSVC()),
    "tree": DecisionTreeClassifier(),
}
for name, m in models.items():
    joblib.dump(m.fit(x, y), f"{sys.argv[1]}/{name}.joblib")
""",
}


def framework_models(kind, folder):
    """Models made in the framework's environment, and its Python; a skip where it is not installed."""
    python = ROOT / "build/env" / KINDS[kind].environment / "bin/python"
    if not python.exists():
        pytest.skip(f"{KINDS[kind].environment} is not installed: scripts/example_env.sh {KINDS[kind].environment}")
    made = subprocess.run([python, "-W", "ignore", "-c", MAKE[kind], folder], stderr=subprocess.PIPE, text=True)
    assert made.returncode == 0, made.stderr[-2000:]


def converted(path, **options):
    output = path.with_suffix(".onnx") if path.is_file() else path.parent / "folder.onnx"
    result = convert(path, output, **options)
    assert result.differences and all(d.relative < 1e-5 for d in result.differences)
    assert any("largest difference" in line for line in summary(result, path, output))
    return load_model(output)


@pytest.mark.slow
def test_tensorflow(tmp_path):
    framework_models("keras", tmp_path)
    for name in ("m.h5", "m.keras", "m.tflite", "m"):
        assert inputs_of(converted(tmp_path / name))[0][1:] == ((1, 8, 8, 3), "float32")
    for name in ("lambda.h5", "lambda.hdf5", "lambda.keras"):
        (tmp_path / name).write_bytes((tmp_path / "lambda.h5").read_bytes())
        assert "Lambda" in complaint(convert, tmp_path / name, tmp_path / "o.onnx")
    converted(tmp_path / "lambda.h5", trust=True)
    np.save(tmp_path / "samples.npy", np.random.RandomState(0).random_sample((4, 8, 8, 3)).astype(np.float32))
    result = convert(tmp_path / "int8.tflite", tmp_path / "int8.onnx", samples=tmp_path / "samples.npy")
    assert result.differences[0].relative < 0.03
    assert inputs_of(result.model)[0][1:] == ((1, 8, 8, 3), "float32")
    (tmp_path / "m.h5").write_bytes(b"not a model")
    assert "m.h5" in complaint(convert, tmp_path / "m.h5", tmp_path / "o.onnx")


@pytest.mark.slow
def test_keras_3(tmp_path):
    framework_models("keras3", tmp_path)
    assert [port[:2] for port in inputs_of(converted(tmp_path / "two.keras"))] == [
        ("image", (1, 8, 8, 3)),
        ("more", (1, 4)),
    ]
    for name in ("m.keras", "m.h5"):
        assert outputs_of(converted(tmp_path / name)) == [("last", (1, 5), "float32")]
    # Layers over time are one operator each; a direction of two is a layer of its own.
    recurrent = converted(tmp_path / "recurrent.keras")
    kinds = [node.op_type for node in recurrent.graph.node if node.op_type in ("GRU", "LSTM", "Loop", "Sigmoid")]
    assert sorted(kinds) == ["GRU", "GRU", "LSTM", "LSTM"]
    assert "Lambda" in complaint(convert, tmp_path / "lambda.keras", tmp_path / "o.onnx")
    simple = converted(tmp_path / "simple.keras")
    kinds = [node.op_type for node in simple.graph.node if node.op_type in ("RNN", "Loop", "Tanh", "Relu")]
    assert kinds == ["RNN", "RNN"]
    # Constants that are no weights of the model were inputs of the result.
    assert len(inputs_of(converted(tmp_path / "normal.keras"))) == 1


@pytest.mark.slow
def test_state_of_a_tflite_becomes_inputs_and_outputs(tmp_path):
    framework_models("tflite", tmp_path)
    x, weights = random(9, 1, 1, 4), np.random.RandomState(0).standard_normal((12, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "states.npz"
    result = convert(tmp_path / "stream.tflite", tmp_path / "s.onnx", samples=tmp_path / "x.npy", samples_out=out)
    ((before, after, zero),) = result.states
    assert not zero and len(result.differences) == 2 and all(d.relative < 1e-5 for d in result.differences)
    assert f"output '{after}' is input '{before}' of the next call" in "\n".join(summary(result, "a", "b"))
    model = load_model(tmp_path / "s.onnx")
    (name, _, _), (state, shape, _) = inputs_of(model)
    assert state == before and shape == (1, 2, 4)
    past, run = np.ones((1, 2, 4), np.float32), session(model)
    with np.load(out) as kept:
        assert np.array_equal(kept[name], x)
        for i in range(len(x)):
            assert np.array_equal(kept[before][i], past)
            (y, past) = run.run([outputs_of(model)[0][0], after], {name: x[i], before: past})
            window = np.concatenate([np.ones((2, 4), np.float32), x[:, 0, 0]])[i : i + 3]
            np.testing.assert_allclose(y, window.reshape(1, 12) @ weights, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_dense_layers_on_sequences_of_a_tflite(tmp_path):
    """tf2onnx refuses those that keep their axes, forgets their bias, and does not know these activations."""
    framework_models("tflite", tmp_path)
    made = converted(tmp_path / "sequence.tflite")
    assert outputs_of(made)[0][1] == (1, 10, 5)
    kinds = [node.op_type for node in made.graph.node]
    assert kinds.count("Erf") == kinds.count("Tanh") == kinds.count("Clip") == 1
    (tmp_path / "empty.tflite").write_bytes(b"")
    assert "is empty or no TensorFlow Lite model" in complaint(convert, tmp_path / "empty.tflite", tmp_path / "o.onnx")


@pytest.mark.slow
def test_lstm_of_a_tflite(tmp_path):
    """tf2onnx does not know it. Its state begins with zeros in every call, though an interpreter goes on with it."""
    framework_models("tflite", tmp_path)
    made = converted(tmp_path / "lstm.tflite")
    assert [node.op_type for node in made.graph.node].count("LSTM") == 3


@pytest.mark.slow
def test_micro_wake_word(shared_models, tmp_path):
    path = shared_models / "field" / "microwakeword_okay_nabu.tflite"
    if not path.exists() or not (ROOT / "build/env/tensorflow/bin/python").exists():
        pytest.skip("the wake word's file, or TensorFlow (scripts/example_env.sh tensorflow), is not there")
    sound = np.abs(random(64, 1, 3, 40)).cumsum(0) % 26
    np.save(tmp_path / "x.npy", sound.astype(np.float32))
    result = convert(path, tmp_path / "w.onnx", samples=tmp_path / "x.npy")
    assert len(result.states) == 6 and all(zero for _, _, zero in result.states)
    # The states are the very bytes of TensorFlow Lite, the probability is one step of 1/256 off.
    assert all(d.absolute == 0 for d in result.differences[1:]) and result.differences[0].absolute < 0.005


@pytest.mark.slow
def test_pytorch(tmp_path):
    framework_models("torchscript", tmp_path)
    assert inputs_of(converted(tmp_path / "m.pt", shapes=["image=1,3,8,8"])) == [("image", (1, 3, 8, 8), "float32")]
    assert opset_of(converted(tmp_path / "m.pt2")) <= 17
    assert "--shape" in complaint(convert, tmp_path / "m.pt", tmp_path / "o.onnx")
    assert "state_dict" in complaint(convert, tmp_path / "weights.pt", tmp_path / "o.onnx", shapes=["1,3,8,8"])


@pytest.mark.slow
def test_sklearn(tmp_path):
    framework_models("sklearn", tmp_path)
    for name in ("mlp", "logistic", "ridge", "svc"):
        model = converted(tmp_path / f"{name}.joblib", trust=True)
        assert inputs_of(model) == [("features", (1, 13), "float32")]
    assert "decision trees" in complaint(convert, tmp_path / "tree.joblib", tmp_path / "o.onnx", trust=True)
