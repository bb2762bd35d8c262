"""The integer rules of docs/arithmetic.md in NumPy, one function per operator: the judge of everything else.

`arithmetic.<operator>(*inputs, **attributes)`: int8 arrays in, an int8 array out (float32 where the rule says so).
A quantized value q is worth q * 2^e. Images are NHWC. Everything is exact: integers are int64 or float64 below
2^53. Written from the rules alone; the kernels in C and the reference in Relay share no code with this package.

Arguments of the wrong dtype or shape raise ValueError: they are mistakes of the program, never of its user.
"""

from .broadcasting import (
    add_broadcast,
    compare,
    div,
    maximum,
    minimum,
    mul_broadcast,
    prelu,
    sub_broadcast,
)
from .common import rshift, sat8
from .convolution import conv2d, dense, depthwise_conv2d
from .elementwise import add, lookup, mul, requantize, sub
from .matrix import channelwise, conv_transpose2d, matmul
from .moves import (
    argmax,
    broadcast,
    cast,
    concat,
    depth_to_space,
    gather,
    gather_rows,
    pad,
    reshape,
    resize_linear,
    resize_nearest,
    scatter_rows,
    space_to_depth,
    strided_slice,
    tile,
    transpose,
)
from .normalization import log_softmax, normalize
from .pooling import average_pool2d, max_pool2d
from .quantization import dequantize, quantize
from .recurrent import gru, lstm
from .reduction import (
    reduce_l1,
    reduce_l2,
    reduce_max,
    reduce_mean,
    reduce_min,
    reduce_sum,
    reduce_sum_square,
)
from .softmax import softmax, softmax_s16

# The operators on int16 tensors follow the same rules; the type of the result is then named.
add_s16, average_pool2d_s16, conv2d_s16, dense_s16 = add, average_pool2d, conv2d, dense
depthwise_conv2d_s16, dequantize_s16, max_pool2d_s16 = depthwise_conv2d, dequantize, max_pool2d
quantize_s16, requantize_s16 = quantize, requantize

__all__ = [
    "add",
    "add_s16",
    "average_pool2d_s16",
    "conv2d_s16",
    "dense_s16",
    "depthwise_conv2d_s16",
    "dequantize_s16",
    "max_pool2d_s16",
    "quantize_s16",
    "requantize_s16",
    "add_broadcast",
    "argmax",
    "average_pool2d",
    "broadcast",
    "cast",
    "channelwise",
    "compare",
    "concat",
    "conv2d",
    "conv_transpose2d",
    "dense",
    "depth_to_space",
    "depthwise_conv2d",
    "dequantize",
    "div",
    "gather",
    "gather_rows",
    "gru",
    "log_softmax",
    "lookup",
    "lstm",
    "matmul",
    "max_pool2d",
    "maximum",
    "minimum",
    "mul",
    "mul_broadcast",
    "normalize",
    "pad",
    "prelu",
    "quantize",
    "reduce_l1",
    "reduce_l2",
    "reduce_max",
    "reduce_mean",
    "reduce_min",
    "reduce_sum",
    "reduce_sum_square",
    "requantize",
    "reshape",
    "resize_linear",
    "resize_nearest",
    "rshift",
    "sat8",
    "scatter_rows",
    "softmax",
    "softmax_s16",
    "space_to_depth",
    "strided_slice",
    "sub",
    "sub_broadcast",
    "tile",
    "transpose",
]
