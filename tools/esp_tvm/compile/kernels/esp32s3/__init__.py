"""The kernels for the vector unit of the ESP32-S3, and the choice among them."""

from __future__ import annotations

from typing import Dict, List, Optional

from ....operators.pooling import AveragePool2d, MaxPool2d
from ....operators.wide import MaxPool2dS16
from ....program import Call
from ..variants import Variant
from .channel_pieces import Conv2dPieces
from .checked import Conv2dChecked
from .convolution import Conv2dLanes, Conv2dWide
from .convolution_s16 import Conv2dAddS16, Conv2dS16, DepthwiseS16
from .dense import Dense, DenseS16, DenseS16Rows, DenseS16Wide, PointwiseS16
from .depthwise import DepthwiseLanes, Scale
from .few_outputs import Conv2dFew
from .lanes import LANES, Esp32s3Variant
from .matmul import MatMulLanes
from .measured import Conv2dMeasured, Conv2dMeasuredWindows
from .pixel_pairs import Conv2dPairs
from .quantization import DequantizeFpu, DequantizeS16Fpu, QuantizeFpu, SoftmaxFpu
from .values import (
    BROADCASTING,
    MOVES,
    Average,
    AverageGlobal,
    AverageS16,
    AverageWide,
    Broadcasting,
    Elementwise,
    ElementwiseS16,
    LookupTable,
    Move,
    Pool,
    PoolS16,
    PReluVectors,
    RepeatPixels,
    TransposeRows,
    TransposeTiles,
)

CHIP = "esp32s3"

# The fastest first.
_CONVOLUTIONS = [
    Conv2dFew(always=False),
    Conv2dPairs(),
    Conv2dLanes(),
    # Also values that are spread evenly over the whole range hold less.
    Conv2dMeasured(usual=0.6),
    # Long segments are faster; sums far below the bound are rarely computed again.
    Conv2dChecked(rows=True, check_bits=11),
    Conv2dChecked(rows=True, check_bits=10),
    Conv2dChecked(rows=False, check_bits=11, check_every=2),
    Conv2dChecked(rows=False, check_bits=10, check_every=2),
    Conv2dChecked(rows=False, check_bits=11),
    Conv2dPieces(),
    # Beside the slowest there is little to lose; a large window rarely holds so little.
    Conv2dMeasured(usual=1 / 6, kernels=((1, 1),)),
    Conv2dMeasuredWindows(usual=1 / 6),
    Conv2dFew(always=True),
    Conv2dWide(),
]

# By operator.
VECTOR_VARIANTS: Dict[str, List[Esp32s3Variant]] = {
    "conv2d": _CONVOLUTIONS,
    "conv2d_add": _CONVOLUTIONS,
    "depthwise_conv2d": [DepthwiseLanes()],
    "dense": [Dense(Conv2dLanes()), Dense(Conv2dWide())],
    "dense_s16": [DenseS16Rows(), DenseS16(), DenseS16Wide()],
    "conv2d_s16": [PointwiseS16(), Conv2dS16()],
    "conv2d_add_s16": [Conv2dAddS16()],
    "depthwise_conv2d_s16": [DepthwiseS16()],
    "average_pool2d_s16": [AverageS16(), AverageWide()],
    "matmul": [MatMulLanes()],
    "max_pool2d": [Pool(MaxPool2d())],
    "max_pool2d_s16": [PoolS16(MaxPool2dS16())],
    "average_pool2d": [Average(AveragePool2d()), AverageGlobal()],
    "lookup": [LookupTable()],
    "channelwise": [Scale()],
    **{operator: [Elementwise(operator)] for operator in ("add", "sub", "mul", "requantize")},
    **{operator: [ElementwiseS16(operator)] for operator in ("add_s16", "mul_s16", "requantize_s16")},
    "prelu": [PReluVectors()],
    **{operator: [Broadcasting(operator)] for operator in BROADCASTING},
    **{operator: [Move(operator)] for operator in MOVES},
    "resize_nearest": [RepeatPixels("resize_nearest")],
    "transpose": [TransposeRows("transpose"), TransposeTiles()],
}

# By operator, what the chip computes faster without the vector unit, from any buffer to any.
ANYWHERE: Dict[str, List[Variant]] = {
    "quantize": [QuantizeFpu()],
    "dequantize": [DequantizeFpu()],
    "dequantize_s16": [DequantizeS16Fpu()],
    "softmax": [SoftmaxFpu()],
}


def choose_vector(call: Call, low: int, high: int) -> Optional[Esp32s3Variant]:
    """The fastest kernel of the vector unit that computes `call` for inputs in low..high; None where there is none."""
    variants = VECTOR_VARIANTS.get(call.operator, ())
    return next((v for v in variants if v.has_types(call) and v.fits_range(call, low, high)), None)


def choose_anywhere(call: Call) -> Optional[Variant]:
    """The kernel that computes `call` without the vector unit, wherever its tensors lie; None where there is none."""
    return next((v for v in ANYWHERE.get(call.operator, ()) if v.fits(call)), None)


__all__ = ["CHIP", "LANES", "VECTOR_VARIANTS", "Esp32s3Variant", "choose_anywhere", "choose_vector"]
