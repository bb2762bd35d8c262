"""The program's tensors against the references, byte for byte."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Dict, List, Tuple

import numpy as np
import onnx

from ..compile.importing.import_onnx import import_onnx
from ..compile.partition import Partitioned, partition
from ..errors import UserError
from ..evaluate import NumpyEvaluator, TvmEvaluator
from ..naming import shown
from ..program import Call
from .host import HostProgram

REFERENCES = ("NumPy", "TVM")


@dataclass
class LayerResult:
    """One compared tensor: bytes that differ from each reference, summed over the samples."""

    title: str
    bytes: int
    differing: Dict[str, int] = field(default_factory=lambda: dict.fromkeys(REFERENCES, 0))


@dataclass
class Comparison:
    """layers in the order of the calls, outputs by name; samples_equal: samples without a differing byte."""

    samples: int
    samples_equal: int
    layers: List[LayerResult]
    outputs: List[LayerResult]
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


def check_same_model(program: HostProgram, model: onnx.ModelProto) -> None:
    """Raise a `UserError` when the project was exported from another model."""
    model_hash = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    if program.metadata["model_hash"] != model_hash:
        raise UserError(f"{program.project}: was exported from another model than this one; export again")


def layer_title(call: Call) -> str:
    """`3 conv2d  Conv "name", Relu "name"`."""
    number = call.symbol.rsplit("_", 1)[1]
    return f"{number:>3} {call.operator:<16} {shown(', '.join(call.nodes), 70)}"


def compare_with_references(
    program: HostProgram, model: onnx.ModelProto, samples: Dict[str, np.ndarray], progress=None
) -> Comparison:
    """Run `program` on every sample and compare each kernel's output and the model's outputs with both references.

    samples: ONNX input name -> array [N, *shape]
    """
    check_same_model(program, model)
    imported = import_onnx(model)
    partitioned: Partitioned = partition(imported)
    references = {"NumPy": NumpyEvaluator(imported, partitioned), "TVM": TvmEvaluator(imported, partitioned)}
    calls: List[Tuple[str, Call]] = [
        (tensor.symbol, partitioned.calls[tensor.symbol])
        for tensor in program.tensors
        if tensor.symbol in partitioned.calls
    ]
    layers = {symbol: LayerResult(layer_title(call), call.output.bytes) for symbol, call in calls}
    outputs = {p["name"]: LayerResult(shown(p["name"]), 0) for p in program.outputs}
    count, equal, first = len(next(iter(samples.values()))), 0, {}
    for index, (own_outputs, own_tensors) in enumerate(program.run_each(samples)):
        sample = {name: array[index] for name, array in samples.items()}
        same = True
        for reference, evaluator in references.items():
            expected = evaluator.run(sample)
            for symbol, layer in layers.items():
                wrong = differing_bytes(own_tensors[symbol], expected.tensors[symbol])
                layer.differing[reference] += wrong
                same = same and wrong == 0
            for name, output in outputs.items():
                wrong = differing_bytes(own_outputs[name], expected.outputs[name])
                output.bytes = own_outputs[name].nbytes
                output.differing[reference] += wrong
                same = same and wrong == 0
        equal += same
        if index == 0:
            first = own_outputs
        if progress:
            progress(index + 1, count)
    return Comparison(count, equal, list(layers.values()), list(outputs.values()), first)


def print_comparison(comparison: Comparison, summary_only: bool = False) -> None:
    """The table that `make run` shows."""
    if not summary_only:
        print(f"{'kernel':<91} {'bytes':>8}  differing from NumPy / TVM")
        for layer in comparison.layers:
            print(f"{layer.title:<91} {layer.bytes:>8}  {layer.differing['NumPy']} / {layer.differing['TVM']}")
        for output in comparison.outputs:
            title = f"    output           {output.title}"
            print(f"{title:<91} {output.bytes:>8}  {output.differing['NumPy']} / {output.differing['TVM']}")
    for name, array in comparison.first_outputs.items():
        flat = array.reshape(-1)
        values = " ".join(f"{value:.6g}" for value in flat[:16]) + (" ..." if flat.size > 16 else "")
        print(f"output '{shown(name)}' of the first sample: {values}")
    wrong = sum(sum(x.differing.values()) for x in [*comparison.layers, *comparison.outputs])
    verdict = "PASS" if comparison.equal else "FAIL"
    print(
        f"{verdict}: {comparison.samples_equal} of {comparison.samples} samples equal in every layer, "
        f"{wrong} differing bytes"
    )
