"""Which int8 values a tensor can hold: what kernels that pack sums tightly are proved with."""

from __future__ import annotations

from typing import Dict, Tuple

from ...operators import OPERATORS
from ...program import INT8, Program, Tensor


def value_ranges(program: Program) -> Dict[Tensor, Tuple[int, int]]:
    """Least and greatest int8 value that each tensor can hold, by the rules of the operators (`output_range`)."""
    ranges: Dict[Tensor, Tuple[int, int]] = {}
    for call in program.kernels:
        if call.output.dtype == "int8":
            inputs = [ranges.get(tensor.root, INT8) for tensor in call.inputs]
            ranges[call.output] = OPERATORS[call.operator].output_range(call, inputs)
    return ranges
