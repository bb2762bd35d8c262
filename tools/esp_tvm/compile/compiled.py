"""The result of compiling a model: everything that the project, the run and the report are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional

from ..program import Call
from .aot import Fallback, Lowered
from .constants import Constant
from .importing.import_onnx import Imported
from .memory_plan import MemoryPlan
from .partition import Partitioned
from .variants import Choices


@dataclass
class ModelPort:
    """A model input or output as the generated C has it.

    shape, dtype: as in the ONNX file; exponent: of an int8 tensor, or of the int8 tensor that a float input is
    quantized to (an output: dequantized from), None where there is none; inside: the type of that tensor
    """

    name: str
    c_name: str
    shape: tuple
    dtype: str
    exponent: Optional[int]
    inside: str = "int8"

    @property
    def macro(self) -> str:
        return self.c_name.upper()


@dataclass
class CompiledModel:
    """lib0, lib1, header: the text of default_lib0.c, default_lib1.c and tvmgen_default.h.

    constants_bin: the constant data as a file (compile/constants.py), for projects that map it
    calls: the kernel calls in the order of execution; fallbacks: step index -> what TVM's own C computes
    constants: the arrays of constants.bin
    weight_bytes: all constant data; constant_bytes: that of each kernel, by symbol
    model_hash: SHA-256 of the quantized ONNX file's content
    chip: whose own kernels were taken where there are some (esp32s3), None: the same kernels as for all
    cores: 2: some kernels are computed in two parts, see `choices.splits`; room: what `compile_model` was given
    trace: the text of tvmgen_default_trace.h, which prints what every kernel computed; "" for a program without
    """

    lib0: str
    lib1: str
    header: str
    constants_bin: bytes
    inputs: List[ModelPort]
    outputs: List[ModelPort]
    calls: List[Call]
    fallbacks: Dict[int, Fallback]
    constants: List[Constant]
    arena_bytes: int
    weight_bytes: int
    constant_bytes: Dict[str, int]
    model_hash: str
    imported: Imported
    partitioned: Partitioned
    lowered: Lowered
    plan: MemoryPlan
    choices: Choices
    trace: str = ""
    chip: Optional[str] = None
    cores: int = 1
    room: Optional[int] = None

    def reason(self, fallback: Fallback) -> str:
        """Why a step has no kernel: what a kernel said against it, or that there is no integer rule."""
        given = [self.partitioned.refusals[i] for i in fallback.node_indices if i in self.partitioned.refusals]
        if given:
            return "; ".join(dict.fromkeys(given))
        return f"no integer rule for {', '.join(dict.fromkeys(fallback.operators))} on these tensors"
