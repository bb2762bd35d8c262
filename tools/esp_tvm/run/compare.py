"""Compares the program's tensors with its rules, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import numpy as np

from ..naming import shown
from ..program.evaluate import Evaluation, evaluate
from ..program.form import Call, Program, Tensor
from ..terminal import Table, show
from .host import HostProgram


@dataclass
class LayerResult:
    """One compared tensor: bytes that differ from the reference, summed over the samples.

    title: the ONNX nodes, or the output's name; step: of the call, None for an output of the model
    """

    step: Optional[int]
    kernel: str
    title: str
    bytes: int
    differing: int = 0

    def row(self, verdict: object) -> Tuple[object, ...]:
        """Its row in the table."""
        return ("" if self.step is None else self.step, self.kernel, self.title, self.bytes, verdict)


@dataclass
class Comparison:
    """layers in the order of the calls, outputs by name; samples_equal: samples without a differing byte.

    given: the tensors that TVM's own C computed, which are not compared byte for byte
    """

    samples: int
    samples_equal: int
    layers: List[LayerResult]
    outputs: List[LayerResult]
    given: List[LayerResult]
    first_outputs: Dict[str, np.ndarray]

    @property
    def equal(self) -> bool:
        return self.samples_equal == self.samples


def differing_bytes(a: np.ndarray, b: np.ndarray) -> int:
    """Number of bytes in which two arrays of one dtype and size differ (NaNs are compared by their bits)."""
    if a.dtype != b.dtype or a.size != b.size:
        return max(a.nbytes, b.nbytes)
    one, other = (np.frombuffer(np.ascontiguousarray(x).tobytes(), np.uint8) for x in (a, b))
    return int(np.count_nonzero(one != other))


def _result(call: Call, tensor: Tensor) -> LayerResult:
    kernel = call.title if call.operator else "TVM"
    return LayerResult(call.index, kernel, shown(", ".join(call.all_nodes), 70), tensor.bytes)


def compare_with_rules(program: HostProgram, samples: Dict[str, np.ndarray], judge=None) -> Comparison:
    """Run `program` on every sample; compare what each kernel wrote, and the model's outputs, with the rules.

    samples: ONNX input name -> array [N, *shape]; judge: called with each sample and its `Evaluation`
    The results of TVM's own C are used as they are: the kernels after it are checked with them.
    """
    form: Program = program.program
    layers: Dict[Tensor, LayerResult] = {}
    given: List[LayerResult] = []
    for call in form.calls():
        for tensor in call.writes:
            result = _result(call, tensor)
            if call.is_fallback:
                given.append(result)
            elif not call.is_view:
                layers[tensor] = result
    outputs = {port.name: LayerResult(None, "output", shown(port.name), port.bytes) for port in form.outputs}
    count, equal, first = len(next(iter(samples.values()))), 0, {}
    for index, (own_outputs, own_tensors) in enumerate(program.run_each(samples)):
        sample = {name: np.asarray(array[index]) for name, array in samples.items()}
        evaluation: Evaluation = evaluate(form, sample, own_tensors)
        wrong = 0
        for tensor, layer in layers.items():
            wrong += _count(layer, own_tensors[tensor], evaluation.values[tensor])
        for name, output in outputs.items():
            wrong += _count(output, own_outputs[name], evaluation.outputs[name])
        equal += wrong == 0
        if index == 0:
            first = own_outputs
        if judge is not None:
            judge(sample, evaluation)
    return Comparison(count, equal, list(layers.values()), list(outputs.values()), given, first)


def _count(result: LayerResult, own: np.ndarray, right: np.ndarray) -> int:
    wrong = differing_bytes(own, right)
    result.differing += wrong
    return wrong


def print_comparison(
    comparison: Comparison, summary_only: bool = False, wrong: Optional[str] = None, right: str = ""
) -> None:
    """The table that `make run` shows.

    wrong: the first difference from ONNX Runtime, if there is one; right: the line if there is none
    """
    if not summary_only:
        rows = [layer.row(layer.differing) for layer in comparison.layers]
        rows += [layer.row("(no rule)") for layer in comparison.given]
        rows += [output.row(output.differing) for output in comparison.outputs]
        show(Table(("step", "kernel", "ONNX nodes", "bytes", "differing from the rules"), rows, "rllrl"))
    for name, array in comparison.first_outputs.items():
        flat = array.reshape(-1)
        values = " ".join(f"{value:.6g}" for value in flat[:16]) + (" ..." if flat.size > 16 else "")
        print(f"output '{shown(name)}' of the first sample: {values}")
    differing = sum(x.differing for x in [*comparison.layers, *comparison.outputs])
    if wrong or right:
        print(wrong or right)
    verdict = "PASS" if comparison.equal and not wrong else "FAIL"
    print(
        f"{verdict}: {comparison.samples_equal} of {comparison.samples} samples equal in every layer, "
        f"{differing} differing bytes"
    )
