"""Every row of the table of ONNX operators, four ways. Many rows share one model, for the time it takes."""

from __future__ import annotations

import functools
import re
from typing import Dict, List, Sequence

import numpy as np
import onnx
import pytest

pytest.importorskip("tvm")

from onnx_cases import ONNX_CASES, OnnxCase  # noqa: E402
from pipeline_harness import Kernels, Result, run_model  # noqa: E402

from esp_tvm.compile.metadata import describe  # noqa: E402
from esp_tvm.convert.lower import TARGET_OPSET  # noqa: E402
from esp_tvm.naming import shown  # noqa: E402

_AT_ONCE = 40


@functools.lru_cache(maxsize=None)
def kernels() -> Kernels:
    return Kernels(sanitize=True)


def _batches() -> List[List[OnnxCase]]:
    """Rows of one opset together, a limited number; newer ones are lowered to one."""
    batches: Dict[int, List[List[OnnxCase]]] = {}
    for case in ONNX_CASES:
        of_opset = batches.setdefault(min(case.opset, TARGET_OPSET), [[]])
        if len(of_opset[-1]) == _AT_ONCE:
            of_opset.append([])
        of_opset[-1].append(case)
    return [batch for of_opset in batches.values() for batch in of_opset]


BATCHES = _batches()
_PLACE = {case.id: (b, i) for b, batch in enumerate(BATCHES) for i, case in enumerate(batch)}


def merged(cases: Sequence[OnnxCase]) -> onnx.ModelProto:
    """One model that holds the models of all cases side by side; names of case i begin with `case<i>_`."""
    whole = onnx.ModelProto()
    for index, case in enumerate(cases):
        model = case.model()
        graph = model.graph
        for values in (graph.input, graph.output, graph.initializer):
            for value in values:
                value.name = f"case{index}_{value.name}"
        for place, node in enumerate(graph.node):
            node.name = f"case{index}_{place}"
            node.input[:] = [f"case{index}_{name}" if name else "" for name in node.input]
            node.output[:] = [f"case{index}_{name}" for name in node.output]
        if index == 0:
            whole.CopyFrom(model)
            continue
        for field in ("node", "input", "output", "initializer"):
            getattr(whole.graph, field).extend(getattr(graph, field))
    del whole.graph.value_info[:]
    return whole


@functools.lru_cache(maxsize=None)
def batch_result(number: int) -> Result:
    samples = {}
    for index, case in enumerate(BATCHES[number]):
        samples.update({f"case{index}_{name}": array for name, array in case.samples().items()})
    return run_model(merged(BATCHES[number]), samples, kernels())


def _of(case: OnnxCase):
    number, index = _PLACE[case.id]
    return batch_result(number), index


def _nodes_of(index: int):
    """Whether the name of a node, as reports show it, belongs to case `index`."""
    return re.compile(rf'"case{index}(_\w+)?"')


def _outputs(case: OnnxCase, index: int) -> List[str]:
    return [f"case{index}_y{i}" for i in range(case.outputs)]


each_case = pytest.mark.parametrize("case", ONNX_CASES, ids=[case.id for case in ONNX_CASES])


def test_rows_have_names_of_their_own():
    assert len(_PLACE) == len(ONNX_CASES)


@each_case
def test_close_to_float(case):
    """The result differs from float ONNX Runtime by at most so many steps of the output's scale."""
    result, index = _of(case)
    for name in _outputs(case, index):
        ours, floats = result.ours[name], result.floats[name]
        assert ours.dtype == floats.dtype and ours.shape == floats.shape
        port = next(port for port in result.compiled.outputs if port.name == name)
        if floats.dtype != np.float32:
            assert np.array_equal(ours, floats)
            continue
        # Without an exponent it was computed in float.
        allowed = case.steps * 2.0**port.exponent if port.exponent is not None else 1e-5 * np.abs(floats).max()
        assert np.abs(ours.astype(np.float64) - floats).max() <= allowed


@each_case
def test_kernel_equals_its_rule(case):
    """The C of each kernel gives the bytes of the NumPy rule, and of the reference in Relay."""
    result, index = _of(case)
    layers = [layer for layer in result.comparison.layers if _nodes_of(index).search(layer.title)]
    assert layers or not case.kernels
    assert [layer.title for layer in layers if any(layer.differing.values())] == []


@each_case
def test_whole_pipeline_is_equal(case):
    """The outputs of the generated program are those of both references, byte for byte."""
    result, index = _of(case)
    titles = {shown(name) for name in _outputs(case, index)}
    outputs = [output for output in result.comparison.outputs if output.title in titles]
    assert len(outputs) == case.outputs
    assert [output.title for output in outputs if any(output.differing.values())] == []


@each_case
def test_report_names_the_kernel(case):
    """What the project's metadata, and so every report, says of the case's nodes."""
    result, index = _of(case)
    calls = [c for c in describe(result.compiled)["calls"] if any(_nodes_of(index).search(n) for n in c["nodes"])]
    # A concatenation's or a sum's inputs may be requantized, and layouts change; both have no name of their own.
    used = [c["operator"] for c in calls if "operator" in c and c["operator"] not in ("transpose", "reshape")]
    used = [name for name in used if name not in ("quantize", "dequantize")]
    assert used == case.kernels
    fallbacks = [c for c in calls if "relay" in c]
    assert bool(fallbacks) == (not case.kernels)
