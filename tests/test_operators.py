"""Every row of the table of ONNX operators, four ways. Many rows share one model, for the time it takes."""

from __future__ import annotations

import functools
import re
from typing import Dict, List, Sequence, Tuple

import numpy as np
import onnx
import pytest

pytest.importorskip("tvm")

from onnx_cases import ONNX_CASES, OnnxCase  # noqa: E402
from onnx_layers import GUARDED  # noqa: E402
from pipeline_harness import Kernels, Result, disagreements, run_model  # noqa: E402

from esp_tvm.convert.lower import TARGET_OPSET  # noqa: E402
from esp_tvm.naming import shown  # noqa: E402

# Layers over time are written out step by step, and what TVM does to a graph takes more than its size's share of time.
_AT_ONCE, _RECURRENT_AT_ONCE = 14, 2


@functools.lru_cache(maxsize=None)
def kernels() -> Kernels:
    return Kernels(sanitize=True)


def _batches() -> Dict[str, int]:
    """Row -> its batch: rows of one opset together, a limited number; newer ones are lowered to one."""
    batches: Dict[Tuple[int, bool], List[List[str]]] = {}
    for case in ONNX_CASES:
        recurrent = case.operator in ("RNN", "GRU", "LSTM")
        alike = batches.setdefault((min(case.opset, TARGET_OPSET), recurrent), [[]])
        if len(alike[-1]) == (_RECURRENT_AT_ONCE if recurrent else _AT_ONCE):
            alike.append([])
        alike[-1].append(case.id)
    numbered = enumerate(batch for alike in batches.values() for batch in alike)
    return {name: number for number, batch in numbered for name in batch}


BATCH_OF = _batches()


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


class Batches:
    """Results of batches, of the rows that were chosen (-k): a batch is one model, compiled when its first row is asked
    for."""

    def __init__(self, chosen: Sequence[OnnxCase]):
        self._cases: Dict[int, List[OnnxCase]] = {}
        for case in chosen:
            self._cases.setdefault(BATCH_OF[case.id], []).append(case)
        self._results: Dict[int, Result] = {}

    def result(self, case: OnnxCase) -> Tuple[Result, int]:
        """The result of the row's batch, and the row's place in it."""
        number = BATCH_OF[case.id]
        cases = self._cases[number]
        if number not in self._results:
            samples = {}
            for index, one in enumerate(cases):
                samples.update({f"case{index}_{name}": array for name, array in one.samples().items()})
            self._results[number] = run_model(merged(cases), samples, kernels())
        return self._results[number], [one.id for one in cases].index(case.id)


@pytest.fixture(scope="module")
def batches(request) -> Batches:
    """The rows of the tests that this run chose."""
    calls = [
        item.callspec.params
        for item in request.session.items
        if item.path == request.path and "case" in getattr(getattr(item, "callspec", None), "params", ())
    ]
    return Batches(list({call["case"].id: call["case"] for call in calls}.values()))


def _nodes_of(index: int):
    """Whether the name of a node, as reports show it, belongs to case `index`."""
    return re.compile(rf'"case{index}(_[\w/]+)?"')


def _outputs(case: OnnxCase, index: int) -> List[str]:
    return [f"case{index}_y{i}" for i in range(case.outputs)]


each_case = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.id, marks=pytest.mark.xdist_group(f"operators {BATCH_OF[case.id]}"))
        for case in ONNX_CASES
    ],
)


def test_rows_have_names_of_their_own():
    assert len(BATCH_OF) == len(ONNX_CASES)


@each_case
def test_close_to_float(case, batches):
    """The result differs from float ONNX Runtime by at most so many steps of the output's scale."""
    result, index = batches.result(case)
    for name in _outputs(case, index):
        ours, floats = result.ours[name], result.floats[name]
        assert ours.dtype == floats.dtype and ours.shape == floats.shape
        port = next(port for port in result.compiled.program.outputs if port.name == name)
        if floats.dtype != np.float32:
            assert np.array_equal(ours, floats)
            continue
        # Without an exponent it was computed in float.
        allowed = case.steps * 2.0**port.exponent if port.exponent is not None else 1e-5 * np.abs(floats).max()
        assert np.abs(ours.astype(np.float64) - floats).max() <= allowed


@each_case
def test_kernel_equals_its_rule(case, batches):
    """The C of each kernel gives the bytes of the NumPy rule, and of the reference in Relay."""
    result, index = batches.result(case)
    layers = [layer for layer in result.comparison.layers if _nodes_of(index).search(layer.title)]
    assert layers or not case.kernels
    assert [layer.title for layer in layers if layer.differing] == []


@each_case
def test_whole_pipeline_is_equal(case, batches):
    """The outputs of the generated program are those of both references, byte for byte."""
    result, index = batches.result(case)
    titles = {shown(name) for name in _outputs(case, index)}
    outputs = [output for output in result.comparison.outputs if output.title in titles]
    assert len(outputs) == case.outputs
    assert [output.title for output in outputs if output.differing] == []


@each_case
def test_report_names_the_kernel(case, batches):
    """What the project's metadata, and so every report, says of the case's nodes."""
    result, index = batches.result(case)
    calls = [c for c in result.compiled.program.calls() if any(_nodes_of(index).search(n) for n in c.all_nodes)]
    # A concatenation's or a sum's inputs may be requantized, and layouts change; both have no name of their own.
    each = [one.operator for call in calls for one in (call, *call.followers) if not call.is_fallback]
    used = [name for name in each if name not in ("transpose", "reshape")]
    used = [name for name in used if name not in ("quantize", "dequantize")]
    assert used == case.kernels
    for call in calls:
        if call.is_fallback or call.is_view:
            continue
        body = re.search(rf"(?ms)^(?:static )?\w+ {call.symbol}\(.*?^}}", result.compiled.code.lib1)
        assert body and call.kernel and f"{call.kernel}(" in body.group(), "it is named and not called"
    fallbacks = [call for call in calls if call.is_fallback]
    assert bool(fallbacks) == (not case.kernels)


@each_case
def test_quantizer_and_compiler_see_the_same_nodes(case, batches):
    """What one kernel computes is what the quantizer took for one layer: same nodes, no more and no less."""
    result, index = batches.result(case)
    if result.network is not None:
        differing = disagreements(result.network, result.compiled.program.calls())
        assert [text for text in differing if _nodes_of(index).search(text)] == []


@pytest.mark.parametrize("guarded", GUARDED, ids=[case.name for case in GUARDED])
def test_a_divisor_that_is_kept_large_is_no_normalization(guarded):
    result = run_model(guarded.model(), guarded.samples(), kernels())
    assert "normalize" not in result.kernels
    np.testing.assert_allclose(result.ours["y0"], result.floats["y0"], atol=0.05)
