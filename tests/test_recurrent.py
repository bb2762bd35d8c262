"""Recurrent layers in every form that ONNX defines: the generated C against ONNX Runtime's run of the same model."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path
from typing import Dict

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import model_of

pytest.importorskip("tvm")

from logged_network import LoggedNetwork  # noqa: E402
from pipeline_harness import Kernels, Program, float_outputs, run_model, write_program  # noqa: E402

from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.evaluate import NumpyEvaluator  # noqa: E402
from esp_tvm.model import load_model  # noqa: E402
from esp_tvm.onnx_check import FLOAT_BOUND  # noqa: E402
from esp_tvm.onnx_graph import Graph  # noqa: E402
from esp_tvm.project.verify import verify  # noqa: E402
from esp_tvm.quantize import Passes, quantize_model  # noqa: E402
from esp_tvm.quantize.normal_form import one_output_each  # noqa: E402

STEPS, BATCH, FEATURES, HIDDEN = 3, 2, 3, 4
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
BOTH = {"direction": "bidirectional"}
REVERSE = {"direction": "reverse"}

# (operator, attributes, what more it has: lengths, runtime lengths, states, peepholes, no bias)
FORMS = [
    ("RNN", {}, "states"),
    ("RNN", {**REVERSE, "clip": 0.2}, "bare"),
    ("RNN", {"activations": ["Affine"], "activation_alpha": [0.5], "activation_beta": [0.1]}, ""),
    ("RNN", {"activations": ["ScaledTanh"], "activation_alpha": [1.5], "activation_beta": [0.7]}, "lengths"),
    ("RNN", {**REVERSE, "activations": ["Softsign"]}, "lengths"),
    ("RNN", {**BOTH, "activations": ["Softplus", "Elu"], "activation_alpha": [0.9, 0.3]}, "lengths states"),
    ("RNN", {"activations": ["ThresholdedRelu"], "activation_alpha": [0.1]}, ""),
    ("RNN", {}, "runtime"),
    ("GRU", {"clip": 0.3}, ""),
    ("GRU", {"linear_before_reset": 1, **REVERSE, "clip": 0.3}, "states"),
    ("GRU", {"activations": ["HardSigmoid", "LeakyRelu"], "activation_alpha": [0.3, 0.2], "activation_beta": [0.4]},
     "bare"),
    ("GRU", {**BOTH, "linear_before_reset": 1}, "lengths states"),
    ("GRU", REVERSE, "runtime"),
    ("LSTM", {"clip": 0.3}, ""),
    ("LSTM", {"input_forget": 1}, "states"),
    ("LSTM", REVERSE, "peepholes bare"),
    ("LSTM", {**BOTH, "clip": 0.4}, "peepholes lengths states"),
    ("LSTM", {"activations": ["HardSigmoid", "Tanh", "Relu"], "activation_alpha": [0.25], "activation_beta": [0.45]},
     "states"),
    ("LSTM", {**BOTH, "input_forget": 1}, "peepholes runtime"),
]  # fmt: skip


def layer(kind: str, attributes: Dict, more: str) -> onnx.ModelProto:
    """A model of one layer; all of its outputs are the model's."""
    random = np.random.RandomState(zlib.crc32(repr((kind, attributes, more)).encode()))
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    gates = GATES[kind]

    def values(*shape):
        return random.standard_normal(shape).astype(np.float32) * np.float32(0.7)

    constants = {
        "w": values(directions, gates * HIDDEN, FEATURES),
        "r": values(directions, gates * HIDDEN, HIDDEN),
        "b": values(directions, 2 * gates * HIDDEN),
        "l": np.array([2, STEPS], np.int32),
        "p": values(directions, 3 * HIDDEN),
    }
    inputs = {"x": [STEPS, BATCH, FEATURES]}
    names = ["x", "w", "r", "" if "bare" in more else "b", "", "", "", ""]
    if "lengths" in more or "runtime" in more:
        names[4] = "l"
    if "states" in more:
        states = ["h", "c"] if kind == "LSTM" else ["h"]
        names[5 : 5 + len(states)] = states
        inputs.update({name: [directions, BATCH, HIDDEN] for name in states})
    if "peepholes" in more:
        names[7] = "p"
    while not names[-1]:
        names.pop()
    outputs = {"y": [STEPS, directions, BATCH, HIDDEN], "last": [directions, BATCH, HIDDEN]}
    if kind == "LSTM":
        outputs["cell"] = [directions, BATCH, HIDDEN]
    node = helper.make_node(kind, names, list(outputs), "layer", hidden_size=HIDDEN, **attributes)
    used = {name: array for name, array in constants.items() if name in names}
    if "runtime" in more:
        del used["l"]
    model = model_of([node], inputs, outputs, used, opset=14, check="runtime" not in more)
    if "runtime" in more:
        model.graph.input.append(helper.make_tensor_value_info("l", onnx.TensorProto.INT32, [BATCH]))
    return model


def samples(model: onnx.ModelProto, count: int = 3) -> Dict[str, np.ndarray]:
    random = np.random.RandomState(1)
    made = {}
    for value in model.graph.input:
        shape = (count, *(dim.dim_value for dim in value.type.tensor_type.shape.dim))
        made[value.name] = random.standard_normal(shape).astype(np.float32) * np.float32(1.5)
    if "l" in made:
        made["l"] = np.array([[1, 3], [3, 2], [2, 2]], np.int32)
    return made


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    return Kernels(sanitize=False)


def computed(model: onnx.ModelProto, kernels: Kernels, inputs: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """What the C computes of a float model, compared with ONNX Runtime at export on the way."""
    with tempfile.TemporaryDirectory(prefix="esp_tvm_recurrent_") as folder:
        onnx.save(model, str(Path(folder) / "model.onnx"))
        loaded = load_model(Path(folder) / "model.onnx")
        compiled = compile_model(loaded)
        evaluator = NumpyEvaluator(compiled.imported, compiled.partitioned)
        first = {name: array[0] for name, array in inputs.items()}
        verify(loaded, compiled, first, evaluator.run(first), evaluator)
        return Program(write_program(compiled, Path(folder)), kernels).run(inputs)


# Each takes a few seconds: nearly every step is a function of its own to TVM. The rest with `make test-all`.
_QUICK = (1, 3, 7, 9, 12, 15, 16)


@pytest.mark.parametrize(
    "kind, attributes, more",
    [pytest.param(*form, marks=() if i in _QUICK else pytest.mark.slow) for i, form in enumerate(FORMS)],
    ids=[f"{kind} {attributes} {more}" for kind, attributes, more in FORMS],
)
def test_every_form(kernels, kind, attributes, more):
    model = layer(kind, attributes, more)
    inputs = samples(model)
    ours, theirs = computed(model, kernels, inputs), float_outputs(model, inputs)
    for name, right in theirs.items():
        np.testing.assert_allclose(ours[name], right, rtol=0, atol=FLOAT_BOUND * np.abs(right).max(), err_msg=name)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_batch_first(kernels, kind):
    """Layout 1, which ONNX Runtime does not compute: the same numbers with other axes in front."""
    plain = layer(kind, BOTH, "states lengths")
    turned = layer(kind, BOTH, "states lengths")
    turned.graph.node[0].attribute.append(helper.make_attribute("layout", 1))
    for value in [*turned.graph.input, *turned.graph.output]:
        dims = value.type.tensor_type.shape.dim
        sizes = [dims[axis].dim_value for axis in ([2, 0, 1, 3] if len(dims) == 4 else [1, 0, 2])]
        for dim, size in zip(dims, sizes):
            dim.dim_value = size
    inputs = samples(plain)
    ours = computed(turned, kernels, {name: array.transpose(0, 2, 1, 3) for name, array in inputs.items()})
    for name, right in float_outputs(plain, inputs).items():
        right = right.transpose([0, 3, 1, 2, 4] if right.ndim == 5 else [0, 2, 1, 3])
        np.testing.assert_allclose(ours[name], right, rtol=0, atol=FLOAT_BOUND * np.abs(right).max(), err_msg=name)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("layout", [0, 1])
def test_lengths_of_all_steps_and_a_missing_size_keep_no_kernel_away(tmp_path, kind, layout):
    model = layer(kind, {}, "lengths states")
    node = model.graph.node[0]
    next(one for one in model.graph.initializer if one.name == "l").CopyFrom(
        onnx.numpy_helper.from_array(np.full(BATCH, STEPS, np.int32), "l")
    )
    del node.attribute[[one.name for one in node.attribute].index("hidden_size")]
    if layout:
        node.attribute.append(helper.make_attribute("layout", 1))
        for value in [*model.graph.input, *model.graph.output]:
            dims = value.type.tensor_type.shape.dim
            sizes = [dims[axis].dim_value for axis in ([2, 0, 1, 3] if len(dims) == 4 else [1, 0, 2])]
            for dim, size in zip(dims, sizes):
                dim.dim_value = size
    onnx.save(model, str(tmp_path / "model.onnx"))
    made = next(one for one in load_model(tmp_path / "model.onnx").graph.node if one.op_type == kind)
    assert made.input[4] == "" and made.input[5] != ""
    assert [helper.get_attribute_value(one) for one in made.attribute if one.name == "hidden_size"] == [HIDDEN]


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_the_last_state_of_shorter_sequences_is_no_part_of_all_steps(kind):
    """The quantizer takes it from there without lengths; all steps end with zeros where a sequence has fewer."""
    for more, own in (("lengths", "last"), ("", "")):
        graph = Graph(layer(kind, {}, more))
        one_output_each(graph)
        assert next(node for node in graph.nodes if node.op_type == kind).output[1:2] == ([own] if own else [])


def test_an_unknown_function_is_refused(kernels):
    model = layer("RNN", {"activations": ["Swish"]}, "")
    with pytest.raises(UserError, match=r"'layer' \(RNN\): TVM does not know its activation functions"):
        computed(model, kernels, samples(model))


# Of one direction the quantizer reads the last state as the last of all steps; of two, each is a layer of its own.
@pytest.mark.parametrize(
    "kind, attributes, more, outputs",
    [("LSTM", {}, "states", [2]), ("LSTM", BOTH, "", [3, 3]), ("GRU", BOTH, "", [2, 2])],
)
def test_a_layer_is_computed_once_whatever_is_read_of_it(kind, attributes, more, outputs):
    model = layer(kind, attributes, more)
    result = run_model(model, samples(model, 8), Kernels(sanitize=True))
    assert result.comparison.equal, result.comparison
    calls = [call for call in result.compiled.program.kernels if call.kind == kind.lower()]
    assert [len(call.outputs) for call in calls] == outputs
    assert result.compiled.code.lib1.count(f"esp_dl_{kind.lower()}_s8(") == len(outputs)
    # Each output of the model has its own rounding: by the rule of its call alone, before they became one.
    alone = NumpyEvaluator(result.compiled.imported, result.compiled.partitioned)
    x = {name: array[0] for name, array in samples(model, 8).items()}
    for name, right in alone.run(x).outputs.items():
        np.testing.assert_array_equal(result.ours[name][0], right, err_msg=name)


def test_a_log_names_the_output_that_is_wrong(tmp_path):
    """Every output of a layer has lines of its own in a trace."""
    made = layer("LSTM", BOTH, "")
    x = samples(made, 4)["x"]
    passes = Passes(method="minmax", equalize=False, fit=False)
    onnx.save(quantize_model(made, {"x": x}, passes).model, str(tmp_path / "model.onnx"))
    np.save(tmp_path / "sample.npy", x[0])
    network = LoggedNetwork(tmp_path, tmp_path / "model.onnx", x[:2], tmp_path / "sample.npy")
    for log in network.log.values():
        equal, text = network.compare(log)
        assert equal, text

    def change(source: Path) -> None:
        path = source / "default_lib1.c"
        text = path.read_text()
        assert ".cell_shift = " in text
        path.write_text(text.replace(".cell_shift = ", ".cell_shift = 1 + ", 1))

    (tmp_path / "changed").mkdir()
    equal, text = network.compare(network.log_of_changed(tmp_path / "changed", change, "tensors"))
    assert not equal and "tensor 'cell_float' int8[1, 2, 4]" in text
