"""The whole way from the quantized ONNX model to C; what of it is for others, the package names."""

from __future__ import annotations

import copy
import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, Optional, Tuple

import onnx

from .. import tvm_import  # noqa: F401  before every other import of TVM
from ..errors import UserError
from ..port_options import PortOptions
from ..program import Program
from ..states import states_of
from ..tvm_errors import tvm_reason
from .aot import lower
from .compiled import CompiledModel, Saving
from .emitting.emit import emit
from .importing.import_onnx import Imported, import_onnx, tvm
from .kernels import esp32s3
from .partition import Partitioned, partition
from .planning.choose import choose_kernels
from .planning.cores import split_over_cores
from .planning.kernel_times import KernelTimes
from .planning.memory import place_tensors
from .planning.ports import set_ports
from .planning.states_once import compute_states_once
from .planning.two_arenas import share_out


@dataclass(frozen=True)
class CompileOptions:
    """fast: False: plain kernels only
    chip: esp32s3 uses kernels for its vector unit where there are some, esp32 those for its MAC16 unit; all other chips
        use the same kernels
    cores: 2: large kernels are computed in two parts, one on each core, with the same result
    arena_limit: the largest arena in bytes, if two cores need more than one; None: no limit
    strips: bytes of arena above which layers run together in strips of rows, so that none of their tensors lies in
        memory whole (planning/loops.py); 0: as few bytes as can be; None: no strips
    inside: bytes of internal RAM that the arena may have: what does not fit lies in a second arena, in PSRAM
        (planning/two_arenas.py); None: there is one arena. Only with target_chip
    traced: the program prints what every kernel computed
    target_chip: the chip that the project is for: built for another chip, the C refuses or warns; "": any chip
    slowdown: the part of the estimated instructions that may be added where `strips` bytes cannot be reached; None: any
    ports: the types and layouts of inputs and outputs; without it those of the ONNX model
    """

    fast: bool = True
    chip: Optional[str] = None
    cores: int = 1
    arena_limit: Optional[int] = None
    strips: Optional[int] = None
    slowdown: Optional[float] = None
    inside: Optional[int] = None
    traced: bool = False
    target_chip: str = ""
    ports: PortOptions = field(default_factory=PortOptions)


def compile_model(model: onnx.ModelProto, **options: Any) -> CompiledModel:
    """Compile a quantized ONNX model (opset >= 13, fixed shapes) to C; options: those of `CompileOptions`."""
    return compile_imported(model, import_model(model), **options)


def import_model(model: onnx.ModelProto) -> Tuple[Imported, Partitioned]:
    """A quantized ONNX model in Relay, before and after its parts were assigned to kernels."""
    imported = import_onnx(model)
    with _reasons():
        return imported, partition(imported)


def compile_imported(model: onnx.ModelProto, relay: Tuple[Imported, Partitioned], **options: Any) -> CompiledModel:
    """`compile_model` for the result of `import_model`, which is the slow part and can be reused."""
    chosen, (imported, partitioned) = CompileOptions(**options), relay
    with _reasons():
        program = _lowered(partitioned, imported)
        program.model_hash = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
        program.kernels_for = chosen.chip if chosen.chip == esp32s3.CHIP else None
        program.target_chip = chosen.target_chip
        port_notes = set_ports(program, chosen.ports, states_of(model))
        compute_states_once(program)
        if chosen.fast:
            limits = {"arena_limit": chosen.arena_limit, "strips": chosen.strips, "slowdown": chosen.slowdown}
            two_arenas = chosen.inside is not None
            program = choose_kernels(program, chosen.chip, chosen.cores, two_arenas=two_arenas, **limits)
        elif chosen.cores > 1:
            program = split_over_cores(program, chosen.arena_limit)
        program = _placed(program, chosen.inside)
        return CompiledModel(program, emit(program, chosen.traced), imported, partitioned, port_notes)


def saving_of(before: Program, after: Program, allowed: float) -> Saving:
    """What the least arena of a program saves and costs; before: the program without strips."""
    slower = KernelTimes(after).of_program(after) / KernelTimes(before).of_program(before) - 1
    return Saving(before.arena_bytes, after.arena_bytes, slower, allowed)


def _lowered(partitioned: Partitioned, imported: Imported) -> Program:
    """A program of its own; TVM builds only once, which takes seconds where a network is large."""
    if partitioned.lowered is None:
        partitioned.lowered = lower(partitioned, imported)
    return copy.deepcopy(partitioned.lowered)


def _placed(program: Program, inside: Optional[int]) -> Program:
    if inside is None:
        return place_tensors(program)
    return place_tensors(program, lambda plan: share_out(program, plan, inside))


def functions_of(imported: Imported, partitioned: Partitioned, chip: str) -> Dict[str, str]:
    """{symbol of a kernel call: the C function that computes it on `chip`}, "" where there is no code for it."""
    program = _lowered(partitioned, imported)
    symbols = {call: call.symbol for call in program.calls()}
    replaced = compute_states_once(program)
    program = place_tensors(choose_kernels(program, chip))
    return {
        symbols.get(one, one.symbol): "" if call.is_view else call.symbol
        for call in program.calls()
        for one in (call, *call.followers, *replaced.get(call, ()))
    }


@contextmanager
def _reasons() -> Iterator[None]:
    """TVM's errors in one line for the user."""
    try:
        yield
    except tvm.error.TVMError as error:
        raise UserError(f"TVM cannot compile the part of this model that has no kernel: {tvm_reason(error)}")
