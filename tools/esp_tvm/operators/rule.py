"""What the quantizer and the documents know of an operator: ONNX names, kinds, exponents, reasons to stay in float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np
import onnx

# Where the exponent of an operator's output comes from.
OWN = "own"  # from what the tensor holds
INPUT = "input"  # values only move or are chosen: that of the input


@dataclass(frozen=True)
class Rule:
    """ONNX operators that a kernel computes.

    kind: how the operator computes (see `quantize.simulate`); "" where the quantizer's normal form, or a lookup table
        of several operators, makes them something else. Kinds that are nothing special: real (computed, a relu behind
        it is fused), shape (values only move, nothing is fused), compare (int8 in, not quantized out)
    exponent: OWN, INPUT or a fixed exponent
    check: check(facts, node) -> why this node has no integer rule and stays in float, or None
    onnx: their names, with spaces between
    limits: what the documents say that it asks for
    since: the opset that brought them, where that is one which is lowered (convert/lower.py)
    constants: "int8": a constant operand of several values is an int8 tensor with an exponent of its own; "single": one
        of a single value as well
    flat_below: below this opset the operator takes all axes from its attribute `axis` (1 unless given) on as one, and
        ONNX's own converter forgets it
    compares: which values are larger decides: float behind a softmax, whose small values become equal in int8
    """

    kind: str
    exponent: object = OWN
    check: Optional[Callable] = None
    onnx: str = ""
    limits: str = ""
    since: int = 0
    constants: str = ""
    compares: bool = False
    flat_below: int = 0

    @property
    def operators(self) -> List[str]:
        return self.onnx.split()


class Facts:
    """What checks may ask about a graph: constants and shapes by tensor name."""

    def __init__(self, constants: Dict[str, np.ndarray], shapes: Dict[str, Tuple[int, ...]]):
        self.constants, self.shapes = constants, shapes

    def rank(self, name: str) -> int:
        return len(self.shapes.get(name, ()))


def attribute(node: onnx.NodeProto, name: str, default=None):
    """The value of a node's attribute."""
    for entry in node.attribute:
        if entry.name == name:
            return onnx.helper.get_attribute_value(entry)
    return default


def constant_parameters(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    """Check: all inputs but the first are constants."""
    if any(name and name not in facts.constants for name in node.input[1:]):
        return "a parameter of it is not constant"
    return None
