"""Indices that are inputs of the model: whatever they are, nothing outside of a tensor is read or written."""

from __future__ import annotations

from typing import Dict

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_models import model_of, random

pytest.importorskip("tvm")

from pipeline_harness import Kernels, Program, compare_with_references, write_program  # noqa: E402

from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.quantize import quantize_model  # noqa: E402
from esp_tvm.quantize.auto import Passes  # noqa: E402

X, U = (4, 5), (2, 5)
TYPES = {"int32": TensorProto.INT32, "int64": TensorProto.INT64}
# Within, at the edges and beyond, for an axis of 4.
WILD = {
    "int32": [0, 3, -1, -4, 4, -5, 9000000, -9000000, 2**31 - 1, -(2**31)],
    "int64": [1, 2, -2, -4, 4, -5, 9000000, -9000000, 2**32, -(2**32) + 1, 2**62, -(2**63), 2**63 - 1],
}


def clamped(indices: np.ndarray, sizes) -> np.ndarray:
    """Each index as the module says: negative ones from the end, then the nearest place inside."""
    sizes = np.asarray(sizes, np.int64)
    return np.clip(np.where(indices < 0, indices + sizes, indices), 0, sizes - 1)


def wanted(a: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """What every output has to be, by NumPy."""
    x, u = a["x"], a["u"]
    rows = clamped(a["rows"], 4)
    element, pairs = clamped(a["elements"], 4), clamped(a["pairs"], [4, 5])
    result = {"gather": x[rows], "gather_elements": np.take_along_axis(x, element, 0)}
    result["gather_nd"] = x[pairs[:, 0], pairs[:, 1]]
    scattered = x.copy()
    for i in range(len(element)):
        for j in range(element.shape[1]):
            scattered[element[i, j], j] = u[i, j]
    result["scatter_elements"] = scattered
    if "row" in a:
        result["batched"] = np.stack([a["images"][n, clamped(a["batched_at"], 3)[n, 0]] for n in range(2)])
        result["scatter_nd"] = x.copy()
        for i, row in enumerate(clamped(a["row"], 4)[:, 0]):
            result["scatter_nd"][row] = u[i]
        result["reversed"] = x.copy()
        for column, length in enumerate(np.clip(a["lengths"], 0, 4)):
            result["reversed"][:length, column] = x[:length, column][::-1]
    return result


def model(dtype: str) -> onnx.ModelProto:
    """All operators that take indices; some of them only with int64."""
    kind = TYPES[dtype]
    shapes = {"rows": (3,), "elements": U, "pairs": (3, 2)}
    nodes = [
        helper.make_node("Gather", ["x", "rows"], ["gather"]),
        helper.make_node("GatherElements", ["x", "elements"], ["gather_elements"]),
        helper.make_node("ScatterElements", ["x", "elements", "u"], ["scatter_elements"]),
    ]
    outputs = {"gather": (3, 5), "gather_elements": U, "scatter_elements": X}
    inputs = {"x": X, "u": U}
    if dtype == "int64":
        shapes.update(row=(2, 1), lengths=(5,), batched_at=(2, 1))
        inputs["images"] = (2, 3, 2)
        nodes += [
            helper.make_node("GatherND", ["x", "pairs"], ["gather_nd"]),
            helper.make_node("GatherND", ["images", "batched_at"], ["batched"], batch_dims=1),
            helper.make_node("ScatterND", ["x", "row", "u"], ["scatter_nd"]),
            helper.make_node("ReverseSequence", ["x", "lengths"], ["reversed"], time_axis=0, batch_axis=1),
        ]
        outputs.update(gather_nd=(3,), batched=(2, 2), scatter_nd=X, reversed=X)
    else:
        del shapes["pairs"]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    values += [helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
    made = helper.make_model(
        helper.make_graph(nodes, "g", values, results), opset_imports=[helper.make_opsetid("", 13)]
    )
    made.ir_version = 8
    onnx.checker.check_model(made)
    return made


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_no_index_reaches_outside(dtype, tmp_path):
    made, random = model(dtype), np.random.RandomState(0)
    samples = {}
    for value in made.graph.input:
        shape = (60, *[d.dim_value for d in value.type.tensor_type.shape.dim])
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            samples[value.name] = random.randn(*shape).astype(np.float32)
        else:
            samples[value.name] = random.choice(np.array(WILD[dtype], dtype), shape)
    compiled = compile_model(made)
    assert "take" in [call.operator for call in compiled.program.calls()]
    program = Program(write_program(compiled, tmp_path), Kernels())
    got = program.run(samples)
    for i in range(60):
        a = {name: array[i] for name, array in samples.items()}
        a.setdefault("pairs", np.zeros((3, 2), dtype))
        for name, array in wanted(a).items():
            if name in got:
                assert np.array_equal(got[name][i], array), (name, i, a)
    assert {"gather", "gather_elements", "scatter_elements"} <= set(got)
    comparison = compare_with_references(program, compiled, samples)
    assert comparison.equal


def test_regions_of_images_that_are_not_there(tmp_path):
    """RoiAlign's image numbers are indices too."""
    node = helper.make_node(
        "RoiAlign", ["x", "rois", "image"], ["y"], output_height=2, output_width=2, sampling_ratio=1
    )
    inputs = {"x": (2, 1, 4, 4), "rois": (2, 4)}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    values.append(helper.make_tensor_value_info("image", TensorProto.INT64, (2,)))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 1, 2, 2))
    made = helper.make_model(helper.make_graph([node], "g", values, [y]), opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    program = Program(write_program(compile_model(made), tmp_path), Kernels())
    random = np.random.RandomState(0)
    x, rois = random.randn(1, 2, 1, 4, 4).astype(np.float32), np.array([[[0, 0, 3, 3], [1, 1, 2, 2]]], np.float32)

    def at(*images):
        return program.run({"x": x, "rois": rois, "image": np.array([images], np.int64)})["y"]

    assert np.array_equal(at(9000000, -5), at(1, 0))
    assert not np.array_equal(at(1, 0), at(0, 1))


@pytest.mark.parametrize("name", ["rt_gathernd"])
def test_the_case_that_failed(name, shared_cases, tmp_path):
    made = onnx.load(str(shared_cases / f"hostile/{name}.onnx"))
    program = Program(write_program(compile_model(made), tmp_path), Kernels())
    samples = dict(np.load(shared_cases / f"hostile/{name}.npz"))
    for wild in (9000000, -9000000, 4, -5):
        index = np.full_like(samples["i"], wild)
        got = program.run({"x": samples["x"], "i": index})["y"]
        assert np.array_equal(got[0], samples["x"][0][clamped(index[0, :, 0], 4)])


def test_an_embedding_is_a_kernel(tmp_path):
    """Rows of a table by an input of whole numbers, quantized: int8 rows with an exponent, none in float."""
    nodes = [
        helper.make_node("Gather", ["table", "words"], ["rows"], "embedding"),
        helper.make_node("MatMul", ["rows", "w"], ["product"], "product"),
        helper.make_node("ReduceMean", ["product"], ["y"], "mean", axes=[1], keepdims=0),
    ]
    made = model_of(nodes, {"words": [1, 7]}, {"y": [1, 4]}, {"table": random(20, 8), "w": random(8, 4)}, check=False)
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    words = np.random.RandomState(0).randint(0, 20, (16, 1, 7))
    compiled = compile_model(quantize_model(made, {"words": words}, Passes(effort="quick")).model)
    calls = list(compiled.program.calls())
    taken = next(call for call in calls if call.operator == "take")
    assert not any(call.is_fallback for call in calls) and taken.output.exponent is not None
    program = Program(write_program(compiled, tmp_path), Kernels())
    assert compare_with_references(program, compiled, {"words": words}).equal
    assert np.array_equal(program.run({"words": words - 20})["y"], program.run({"words": words})["y"])


@pytest.mark.parametrize("index", [20, -21])
def test_a_sample_with_an_index_outside_is_named(index):
    """By its input, the index, and the node that takes it; ONNX Runtime names no input."""
    nodes = [helper.make_node("Gather", ["table", "words"], ["rows"], "embedding")]
    made = model_of(nodes, {"words": [1, 7]}, {"rows": [1, 7, 8]}, {"table": random(20, 8)}, check=False)
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    words = np.random.RandomState(0).randint(0, 20, (16, 1, 7))
    words[5, 0, 3] = index
    with pytest.raises(
        UserError, match=rf"^input 'words': a sample holds {index}, .* 'embedding' \(Gather\) .*\[-20,19\].*CALIB"
    ):
        quantize_model(made, {"words": words}, Passes(effort="quick"))
