"""The integer rules of docs/arithmetic.md in NumPy, one function per operator: the judge of everything else.

`arithmetic.<operator>(*inputs, **attributes)`: int8 arrays in, an int8 array out (float32 where the rule says so).
A quantized value q is worth q * 2^e. Images are NHWC. Everything is exact: integers are int64 or float64 below
2^53. Written from the rules alone; the kernels in C and the reference in Relay share no code with this package.

Arguments of the wrong dtype or shape raise ValueError: they are mistakes of the program, never of its user.
"""

from .common import rshift, sat8
from .convolution import conv2d, dense, depthwise_conv2d
from .elementwise import add, lookup, mul, requantize, sub
from .matrix import channelwise, conv_transpose2d, matmul
from .movement import reshape, transpose
from .normalization import log_softmax, normalize
from .pooling import average_pool2d, max_pool2d
from .quantization import dequantize, quantize
from .recurrent import gru, lstm
from .softmax import softmax

__all__ = [
    "add",
    "average_pool2d",
    "channelwise",
    "conv2d",
    "conv_transpose2d",
    "dense",
    "depthwise_conv2d",
    "dequantize",
    "gru",
    "log_softmax",
    "lookup",
    "lstm",
    "matmul",
    "max_pool2d",
    "mul",
    "normalize",
    "quantize",
    "requantize",
    "reshape",
    "rshift",
    "sat8",
    "softmax",
    "sub",
    "transpose",
]
