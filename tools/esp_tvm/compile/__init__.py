"""From the quantized ONNX model to C: import, layout, rewrites, partition, code generation, memory plan."""

from __future__ import annotations

import hashlib
from typing import List, Optional

import onnx

from .. import tvm_import  # noqa: F401  before every other import of TVM
from ..errors import UserError
from ..tvm_errors import tvm_reason
from .aot import Lowered, Value, lower
from .choose import choose
from .compiled import CompiledModel, ModelPort
from .cores import choose_splits
from .emit_c import Program
from .esp32s3 import CHIP, check_alignment
from .importing.import_onnx import Imported, Port, import_onnx, tvm
from .memory_plan import plan_memory
from .partition import Partitioned, partition
from .variants import Choices


def compile_model(
    model: onnx.ModelProto,
    fast: bool = True,
    chip: Optional[str] = None,
    cores: int = 1,
    room: Optional[int] = None,
) -> CompiledModel:
    """Compile a quantized ONNX model (opset >= 13, fixed shapes) to C; without `fast`, plain kernels only.

    chip: esp32s3 takes kernels for its vector unit where there are some; all others take the same kernels
    cores: 2: large kernels are computed in two parts, one on each core, by the same bytes
    room: bytes of arena that this may take, where it takes more than one core does; None: as many as it needs
    """
    imported = import_onnx(model)
    try:
        partitioned = partition(imported)
        lowered = lower(partitioned, imported)
    except tvm.error.TVMError as error:
        raise UserError(f"TVM fails to compile this model, in what has no kernel: {tvm_reason(error)}")
    choices = choose(lowered, partitioned, chip, cores, room) if fast else _plain(lowered, partitioned, cores, room)
    plan = plan_memory(lowered, partitioned, choices)
    check_alignment(choices, plan)
    inputs = [_model_port(port, "input", i, lowered, partitioned) for i, port in enumerate(imported.inputs)]
    outputs = [_model_port(port, "output", i, lowered, partitioned) for i, port in enumerate(imported.outputs)]
    model_hash = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    program = Program(lowered, partitioned, plan, inputs, outputs, model_hash, imported.nodes, choices)
    return CompiledModel(
        lib0=program.lib0(),
        lib1=program.lib1(),
        header=program.header(),
        constants_bin=program.constants_bin(),
        inputs=inputs,
        outputs=outputs,
        calls=_calls_in_order(lowered, partitioned),
        fallbacks=lowered.fallbacks,
        constants=program.constants,
        arena_bytes=plan.arena_bytes,
        weight_bytes=sum(constant.array.nbytes for constant in program.constants) + lowered.fallback_constant_bytes,
        constant_bytes={
            symbol: sum(array.nbytes for _, _, array, _ in emitter.constants)
            for symbol, emitter in program.emitters.items()
        },
        model_hash=model_hash,
        imported=imported,
        partitioned=partitioned,
        lowered=lowered,
        plan=plan,
        choices=choices,
        chip=chip if chip == CHIP else None,
        cores=cores,
        room=room,
    )


def _plain(lowered: Lowered, partitioned: Partitioned, cores: int, room: Optional[int]) -> Choices:
    """Plain kernels alone."""
    choices = Choices()
    if cores > 1:
        choose_splits(choices, lowered, partitioned, room)
    return choices


def _calls_in_order(lowered: Lowered, partitioned: Partitioned) -> List:
    return [partitioned.calls[step.symbol] for step in lowered.steps if step.symbol in partitioned.calls]


def _model_port(port: Port, kind: str, index: int, lowered: Lowered, partitioned: Partitioned) -> ModelPort:
    """With the exponent of the quantize that reads the input, or of the dequantize that writes the output."""
    inside = None
    same = {Value(kind, index)}  # the port, and for an input what is only moved of it
    for step in lowered.steps:
        call = partitioned.calls.get(step.symbol)
        if call is None:
            continue
        if kind == "input" and inside is None and same.intersection(step.arguments):
            read = call.inputs[0] if call.kind != "quantize" else call.output
            if read.exponent is None:
                same.update(step.results)
            else:
                inside = read
        if kind == "output" and same.intersection(step.results):
            inside = call.output if call.kind != "dequantize" else call.inputs[0]
    exponent, dtype = (inside.exponent, inside.dtype) if inside is not None else (None, "int8")
    return ModelPort(port.name, port.c_name, port.shape, port.dtype, exponent, dtype)


__all__ = ["CompiledModel", "Imported", "ModelPort", "Partitioned", "compile_model"]
