"""The result of compiling a model: the program, its C, and the Relay modules that the references are made of."""

from __future__ import annotations

from dataclasses import dataclass

from ..program import Program
from .emitting.emit import Code
from .importing.import_onnx import Imported
from .partition import Partitioned
from .planning.ports import PortNotes


@dataclass
class CompiledModel:
    """program: what all tools read; code: its C; imported, partitioned: the model in Relay, before and after kernels
    were found for its parts; port_notes: on the types of its inputs and outputs"""

    program: Program
    code: Code
    imported: Imported
    partitioned: Partitioned
    port_notes: PortNotes
