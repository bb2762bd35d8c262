"""The table of operators: one entry per kernel, in the order in which patterns are tried."""

from __future__ import annotations

from typing import Dict

from .base import Emitter, Operand, Operator, Parsed, Refusal
from .broadcasting import (
    AddBroadcast,
    Compare,
    Div,
    Maximum,
    Minimum,
    MulBroadcast,
    PRelu,
    SubBroadcast,
)
from .channelwise import Channelwise
from .conv import Conv2d, DepthwiseConv2d
from .conv_transpose import ConvTranspose2d
from .dense import Dense
from .elementwise import Add, Mul, Requantize, Sub
from .log_softmax import LogSoftmax
from .lookup import Lookup
from .matmul import MatMul
from .movement import Reshape, Transpose
from .moves import (
    Broadcast,
    Concat,
    DepthToSpace,
    Gather,
    GatherRows,
    Pad,
    ScatterRows,
    SpaceToDepth,
    StridedSlice,
    Tile,
)
from .normalize import Normalize
from .pooling import AveragePool2d, MaxPool2d
from .quantization import Dequantize, Quantize
from .recurrent import Gru, Lstm
from .reduction import (
    ArgMax,
    ReduceL1,
    ReduceL2,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceSum,
    ReduceSumSquare,
)
from .resize import ResizeLinear, ResizeNearest
from .softmax import Softmax
from .wide import (
    AddS16,
    AveragePool2dS16,
    Conv2dS16,
    DenseS16,
    DepthwiseConv2dS16,
    DequantizeS16,
    MaxPool2dS16,
    QuantizeS16,
    RequantizeS16,
    SoftmaxS16,
)

# Larger patterns first: what they take, a smaller one (a lone requantize, quantize, ...) must not take apart.
OPERATORS: Dict[str, Operator] = {
    operator.name: operator
    for operator in (
        Conv2d(),
        DepthwiseConv2d(),
        Conv2dS16(),
        DepthwiseConv2dS16(),
        ConvTranspose2d(),
        Dense(),
        DenseS16(),
        MatMul(),
        Channelwise(),
        Normalize(),
        Gru(),
        Lstm(),
        PRelu(),
        Add(),
        AddS16(),
        Sub(),
        Mul(),
        AddBroadcast(),
        SubBroadcast(),
        MulBroadcast(),
        Div(),
        Maximum(),
        Minimum(),
        Compare(),
        ReduceL2(),
        ReduceSumSquare(),
        ReduceL1(),
        ReduceSum(),
        ReduceMean(),
        ReduceMax(),
        ReduceMin(),
        ArgMax(),
        ResizeLinear(),
        AveragePool2d(),
        AveragePool2dS16(),
        MaxPool2d(),
        MaxPool2dS16(),
        Lookup(),
        LogSoftmax(),
        Softmax(),
        SoftmaxS16(),
        Requantize(),
        RequantizeS16(),
        ResizeNearest(),
        StridedSlice(),
        Concat(),
        Pad(),
        Gather(),
        GatherRows(),
        ScatterRows(),
        Tile(),
        Broadcast(),
        DepthToSpace(),
        SpaceToDepth(),
        Transpose(),
        Reshape(),
        Quantize(),
        QuantizeS16(),
        Dequantize(),
        DequantizeS16(),
    )
}

__all__ = ["OPERATORS", "Emitter", "Operand", "Operator", "Parsed", "Refusal"]
