"""A float model through the whole pipeline, quickly: the kernels are compiled once for all models."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple

import numpy as np
import onnx
from kernel_archive import COMPONENT, TEMPLATE, archive

from esp_tvm.compile import CompiledModel, Imported, Partitioned, compile_imported, compile_model, import_model
from esp_tvm.compile.emitting.constants import constants_offsets
from esp_tvm.compile.emitting.emit import Code
from esp_tvm.errors import UserError
from esp_tvm.evaluate import TvmEvaluator
from esp_tvm.model import load_model, session
from esp_tvm.program import Call
from esp_tvm.program import Program as Form
from esp_tvm.program.evaluate import Evaluation, in_model_order
from esp_tvm.program.store import save
from esp_tvm.quantize import Quantized, quantize_model
from esp_tvm.quantize.graph import Network
from esp_tvm.quantize.passes import Passes
from esp_tvm.run.compare import Comparison, compare_with_rules, differing_bytes
from esp_tvm.run.host import MODEL, SANITIZE, STRICT, HostProgram


@functools.lru_cache(maxsize=8)
def _imported(model: bytes) -> Tuple[Imported, Partitioned]:
    return import_model(onnx.load_from_string(model))


def compile_once_imported(model: onnx.ModelProto, **options: Any) -> CompiledModel:
    """`compile_model` for tests that compile one model with several options: TVM imports it once, which is most of the
    time, as for the tries of `compile_for_board`."""
    return compile_imported(model, _imported(model.SerializeToString(deterministic=True)), **options)


class Kernels:
    """The kernels as one archive; sanitize: with the address and undefined behaviour sanitizers."""

    def __init__(self, sanitize: bool = True):
        self.sanitize = sanitize
        self.archive = archive(*(STRICT + SANITIZE if sanitize else ()))


class Program(HostProgram):
    """A project linked with kernels that are compiled already."""

    def __init__(self, project: Path, kernels: Kernels):
        self._kernels = kernels
        super().__init__(project, kernels.sanitize)

    def kernels(self) -> Path:
        return self._kernels.archive

    def include_folders(self) -> List[Path]:
        generated = [path for path in super().include_folders() if "codegen" in path.parts]
        return [*generated, TEMPLATE / "components/tvm_model/crt_config", COMPONENT / "include", COMPONENT / "src"]


def write_program(compiled: CompiledModel, folder: Path) -> Path:
    """The part of a project that a host run needs."""
    return write_files(compiled.program, compiled.code, folder)


def write_files(program: Form, code: Code, folder: Path) -> Path:
    """The same from a program and its C."""
    host = folder / MODEL / "codegen" / "host"
    for name, text in (
        ("src/default_lib0.c", code.lib0),
        ("src/default_lib1.c", code.lib1),
        ("include/tvmgen_default.h", code.header),
    ):
        (host / name).parent.mkdir(parents=True, exist_ok=True)
        (host / name).write_text(text, encoding="utf-8")
    save(program, folder / MODEL, "host", code.constants_bin, constants_offsets(program.constants))
    return folder


# Nothing that changes the model's weights or guesses: exponents that cover what the samples hold.
_PLAIN = Passes(method="minmax", equalize=False, fit=False)


@dataclass
class Result:
    """What became of a model.

    quantized: the QDQ model, network: how the quantizer saw it, None where it quantized nothing
    compiled: its C; comparison: the C against the rules and TVM;
    floats: what ONNX Runtime computes of the float model, ours: what the C computes; by output name, [N, ...]
    """

    quantized: onnx.ModelProto
    network: Optional[Network]
    compiled: CompiledModel
    comparison: Comparison
    floats: Dict[str, np.ndarray]
    ours: Dict[str, np.ndarray]

    @property
    def kernels(self) -> List[str]:
        """The kernels that compute something, without the quantization at the borders."""
        return [c.operator for c in self.compiled.program.computations if c.operator not in ("quantize", "dequantize")]


def float_outputs(model: onnx.ModelProto, samples: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """What ONNX Runtime computes, by output name, [N, ...]."""
    run = session(model)
    names = [value.name for value in model.graph.output]
    count = len(next(iter(samples.values())))
    results = [run.run(names, {n: a[i] for n, a in samples.items()}) for i in range(count)]
    return {name: np.stack([r[i] for r in results]) for i, name in enumerate(names)}


def quantized_or_none(model: onnx.ModelProto, samples: Dict[str, np.ndarray]) -> Optional[Quantized]:
    """`model` quantized on `samples`; None where nothing in it can be quantized."""
    try:
        return quantize_model(model, samples, _PLAIN)
    except UserError as error:
        if "no operator that can be quantized" not in str(error):
            raise
        return None


def quantized_or_float(model: onnx.ModelProto, samples: Dict[str, np.ndarray]) -> onnx.ModelProto:
    """`model` quantized on `samples`, or as it is where nothing in it can be quantized."""
    quantized = quantized_or_none(model, samples)
    return model if quantized is None else quantized.model


def disagreements(network: Network, calls: Iterable[Call]) -> List[str]:
    """Where the groups of ONNX nodes that the quantizer made are not those that kernels compute.

    The quantizer recognises functions of one tensor, normalizations, recurrent layers and what is fused in ONNX, the
    compiler does so again in Relay. Four differences have a reason: reshapes and transposes meet others and vanish, or
    stand around kernels that need another layout; a Cast of bytes is float to the quantizer, and part of the table that
    quantizes its result to the compiler; the quantizer's own nodes (QuantizeLinear, the sum of a bias) are in no layer;
    what a kernel computes of floats and not to int8 (TopK behind a softmax) is float to the quantizer.
    """
    nodes = [f'{node.op_type} "{node.name}"' for node in network.model.graph.node]
    # A Pad that centering put before a Conv is in no layer.
    names = {index: nodes[index] for layer in network.layers for index in layer.nodes}
    groups = {
        frozenset(names[index] for index in layer.nodes)
        for layer in network.layers
        if layer.rule is not None and layer.kind != "move"
    }
    computed = {
        frozenset(call.nodes).intersection(names.values())
        for each in calls
        for call in (each, *each.followers)
        if not call.is_fallback and call.operator not in ("reshape", "transpose") and _has_integers(call)
    } - {frozenset()}
    casts = {one for one in computed if all(name.startswith("Cast ") for name in one)}
    moves = {frozenset([names[layer.nodes[0]]]) for layer in network.layers if layer.kind == "move"}
    found = [f"the quantizer's group {sorted(group)} is no kernel's" for group in groups - computed]
    more = computed - groups - casts - moves
    return found + [f"a kernel computes {sorted(one)}, no group of the quantizer's" for one in more]


def _has_integers(call: Call) -> bool:
    """Whether int8 or int16 goes in or out."""
    return any(tensor.dtype in ("int8", "int16") for tensor in [*call.inputs, *call.outputs])


def compare_with_references(program: HostProgram, compiled: CompiledModel, samples) -> Comparison:
    """The C against the rules, and the rules against TVM's reference in Relay: bytes that differ from either."""
    evaluations: List[Evaluation] = []
    comparison = compare_with_rules(program, samples, lambda _, evaluation: evaluations.append(evaluation))
    tvm = TvmEvaluator(compiled.imported, compiled.partitioned)
    calls = [call for call in program.program.kernels if not call.is_view]
    for index, evaluation in enumerate(evaluations):
        theirs = tvm.run({name: array[index] for name, array in samples.items()})
        wrong = 0
        for call, layer in zip(calls, comparison.layers):
            if call.symbol not in theirs.tensors:
                continue  # A copy of an output, which TVM does not compute.
            differing = differing_bytes(
                in_model_order(call.writes[0], evaluation.values[call.writes[0]]), theirs.tensors[call.symbol]
            )
            layer.differing, wrong = layer.differing + differing, wrong + differing
        for port, output in zip(program.outputs, comparison.outputs):
            differing = differing_bytes(evaluation.outputs[port.name], theirs.outputs[port.name])
            output.differing, wrong = output.differing + differing, wrong + differing
        if wrong:
            comparison.samples_equal = 0
    return comparison


def run_model(model: onnx.ModelProto, samples: Dict[str, np.ndarray], kernels: Kernels) -> Result:
    """Quantize `model` on `samples` ({input: [N, *shape]}), compile, run and compare with both references."""
    with tempfile.TemporaryDirectory(prefix="esp_tvm_case_") as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, str(path))
        loaded = load_model(path)
        result = quantized_or_none(loaded, samples)
        quantized = loaded if result is None else result.model
        compiled = compile_model(quantized)
        program = Program(write_program(compiled, Path(folder)), kernels)
        comparison = compare_with_references(program, compiled, samples)
        ours = program.run(samples)
    network = None if result is None else result.network
    return Result(quantized, network, compiled, comparison, float_outputs(model, samples), ours)
