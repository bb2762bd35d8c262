"""The result of compiling a model: the program, its C, and the Relay modules that the references are made of."""

from __future__ import annotations

from dataclasses import dataclass

from ..program import Program
from .emitting.emit import Code
from .importing.import_onnx import Imported
from .partition import Partitioned


@dataclass
class CompiledModel:
    """program: what all tools read; code: its C; imported, partitioned: the model in Relay, before and after kernels
    were found for its parts"""

    program: Program
    code: Code
    imported: Imported
    partitioned: Partitioned
