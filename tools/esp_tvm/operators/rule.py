"""The facts about an operator for the quantizer and the documents: ONNX names, kind, exponent, reasons to stay in
float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np
import onnx

# Where the exponent of an operator's output comes from.
OWN = "own"  # from the values of the tensor
INPUT = "input"  # values are only moved or selected: the exponent of the input


@dataclass(frozen=True)
class Rule:
    """ONNX operators that a kernel computes.

    kind: how the operator computes (see `quantize.simulate`); "" if the quantizer's normal form, or a lookup table of
    several operators, replaces them. General kinds: real (computed, a following relu is fused), shape (values only
    move, nothing is fused), compare (int8 in, not quantized out)
    exponent: OWN, INPUT or a fixed exponent
    check: check(facts, node) -> why this node has no integer rule and stays in float, or None
    onnx: their names, with spaces between
    limits: its limits for the documents
    since: the opset that introduced them, if models of that opset are lowered (convert/lower.py)
    constants: "int8": a constant operand of several values is an int8 tensor with its own exponent; "single": one of a
    single value too
    flat_below: below this opset the operator treats all axes from its attribute `axis` (default 1) on as one, which
    ONNX's own converter ignores
    whole: the position of an input of other values than real numbers: indices, truth values
    finer: an exponent that is a number is the coarsest: it is finer where the calibration's values are all small
    compares: its result depends on which values are larger: float after a softmax, whose small values become equal in
    int8
    """

    kind: str
    exponent: object = OWN
    check: Optional[Callable] = None
    onnx: str = ""
    limits: str = ""
    since: int = 0
    constants: str = ""
    whole: Optional[int] = None
    finer: bool = False
    compares: bool = False
    flat_below: int = 0

    @property
    def operators(self) -> List[str]:
        return self.onnx.split()


class Facts:
    """The facts about a graph for checks: constants and shapes by tensor name."""

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
