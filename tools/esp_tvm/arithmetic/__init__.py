"""The integer rules of docs/arithmetic.md in NumPy: one function per operator, the judge of everything else.

Written straight from the rules, independently of the C kernels and of the Relay reference. A function takes the
inputs and the attributes of a `KernelCall` of its name.
"""

from .convolution import conv2d, dense, depthwise_conv2d
from .elementwise import add, lookup, mul, requantize, sub
from .movement import reshape, transpose
from .pooling import average_pool2d, max_pool2d
from .quantization import dequantize, quantize, softmax

__all__ = [
    "add",
    "average_pool2d",
    "conv2d",
    "dense",
    "depthwise_conv2d",
    "dequantize",
    "lookup",
    "max_pool2d",
    "mul",
    "quantize",
    "requantize",
    "reshape",
    "softmax",
    "sub",
    "transpose",
]
