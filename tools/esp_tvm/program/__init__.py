"""The form of a compiled program, shared by the compiler that makes it and the tools that read it."""

from .form import (
    INT8,
    Call,
    CallTime,
    Constant,
    Exported,
    Item,
    Loop,
    Pixels,
    Place,
    Port,
    Program,
    Scratch,
    State,
    Tensor,
    nodes_text,
)

__all__ = [
    "INT8",
    "Call",
    "CallTime",
    "Constant",
    "Exported",
    "Item",
    "Loop",
    "Pixels",
    "Place",
    "Port",
    "Program",
    "Scratch",
    "State",
    "Tensor",
    "nodes_text",
]
