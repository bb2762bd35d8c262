"""The table of operators: one entry per kernel, in the order in which patterns are tried."""

from __future__ import annotations

from typing import Dict

from .base import Emitter, Operand, Operator, Parsed, Refusal
from .conv import Conv2d, DepthwiseConv2d
from .dense import Dense
from .elementwise import Add, Mul, Requantize, Sub
from .lookup import Lookup
from .movement import Reshape, Transpose
from .pooling import AveragePool2d, MaxPool2d
from .quantization import Dequantize, Quantize
from .softmax import Softmax

# Larger patterns first: what they take, a smaller one (a lone requantize, quantize, ...) must not take apart.
OPERATORS: Dict[str, Operator] = {
    operator.name: operator
    for operator in (
        Conv2d(),
        DepthwiseConv2d(),
        Dense(),
        Add(),
        Sub(),
        Mul(),
        AveragePool2d(),
        MaxPool2d(),
        Lookup(),
        Softmax(),
        Requantize(),
        Transpose(),
        Reshape(),
        Quantize(),
        Dequantize(),
    )
}

__all__ = ["OPERATORS", "Emitter", "Operand", "Operator", "Parsed", "Refusal"]
