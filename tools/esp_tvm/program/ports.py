"""Between a model input or output as the ONNX file has it and as the generated C has it: type and order of axes."""

from __future__ import annotations

from fractions import Fraction
from typing import Dict, Mapping, Optional, Sequence

import numpy as np

from .. import arithmetic
from ..errors import UserError
from ..naming import shown
from .form import Pixels, Port

# By so many steps of a pixel a real value may lie beyond what pixels stand for, and become the last one.
_BEYOND = 1.0


def to_port(port: Port, values: np.ndarray) -> np.ndarray:
    """Values of the ONNX tensor (`onnx_shape`, `onnx_dtype`) as the port's buffer holds them.

    Reals become int8 or int16 by the rule of quantize, and the nearest pixel of a uint8 port.
    """
    return with_port_type(port, in_port_order(port, np.asarray(values).reshape(port.onnx_shape)))


def to_onnx(port: Port, values: np.ndarray) -> np.ndarray:
    """What the port's buffer holds as the ONNX model has it; exact."""
    values = np.asarray(values).reshape(port.shape)
    if port.pixels is not None:
        values = _real(port.pixels, values)
    elif port.dtype != port.onnx_dtype:
        # Of any type of integers a difference is exact in int16.
        values = arithmetic.dequantize(values.astype(np.int16) - np.int16(port.zero_point), exponent=port.exponent)
    return values.transpose(np.argsort(port.axes)) if port.axes else values


def in_port_order(port: Port, values: np.ndarray) -> np.ndarray:
    """`values` [*onnx_shape] in the shape of the port, their type unchanged."""
    return np.ascontiguousarray(values.transpose(port.axes)) if port.axes else values


def with_port_type(port: Port, values: np.ndarray) -> np.ndarray:
    """`values` of the ONNX tensor's type [*port.shape] in the port's."""
    if port.pixels is not None:
        return _nearest(port, values.astype(port.onnx_dtype))
    if port.dtype != port.onnx_dtype:
        values = values.astype(port.onnx_dtype)
        return arithmetic.quantize(values, exponent=port.exponent, zero_point=port.zero_point, output=port.dtype)
    return values.astype(port.dtype)


def all_to_onnx(ports: Sequence[Port], arrays: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """One sample, or its outputs, by ONNX name: from the types of the program's ports to those of the model."""
    return {port.name: to_onnx(port, arrays[port.name]) for port in ports}


def layout_of(port: Port) -> str:
    """NHWC or NCHW of an image whose axes are not in the order of the ONNX file; else ""."""
    return {(0, 2, 3, 1): "NHWC", (0, 3, 1, 2): "NCHW"}.get(port.axes, "")


def worth_text(exponent: Optional[int], zero_point: int) -> str:
    """What integers of a port, or of the tensor inside, are worth: `2^-4 each`, `(q + 128) * 2^-4, q the integer`."""
    if zero_point == 0:
        return f"2^{exponent} each"
    return f"{centred_text('q', zero_point)} * 2^{exponent}, q the integer"


def centred_text(q: str, zero_point: int) -> str:
    """`q`, or `(q + 128)`: how many steps an integer stands for."""
    return q if zero_point == 0 else f"({q} {'+' if zero_point < 0 else '-'} {abs(zero_point)})"


def pixels_text(pixels: Pixels) -> str:
    """`a pixel p of channel c is (p * 1/255 - mean[c]) / std[c], mean 0.485, 0.456, 0.406, std ...`."""
    several = len(pixels.mean) > 1
    c = "[c]" if several else ""
    mean, std = (", ".join(f"{float(value):.6g}" for value in each) for each in (pixels.mean, pixels.std))
    which = "a pixel p of channel c" if several else "a pixel p"
    return f"{which} is worth (p * {pixels.scale} - mean{c}) / std{c}, mean {mean}, std {std}"


# --- pixels -----------------------------------------------------------------------------------------------


def _per_channel(pixels: Pixels, values: Sequence[Fraction], rank: int) -> np.ndarray:
    """`values` in a shape that broadcasts over the port's."""
    reals = np.array([float(value) for value in values])
    return reals.reshape([-1 if axis == pixels.axis else 1 for axis in range(rank)]) if len(reals) > 1 else reals


def _real(pixels: Pixels, bytes_: np.ndarray) -> np.ndarray:
    """float32: what each byte stands for."""
    table = pixels.table()
    if len(table) == 1:
        return table[0][bytes_]
    channels = np.arange(len(table)).reshape([-1 if axis == pixels.axis else 1 for axis in range(bytes_.ndim)])
    return table[channels, bytes_]


def _nearest(port: Port, values: np.ndarray) -> np.ndarray:
    """The bytes that stand for what is nearest to real `values`."""
    pixels = port.pixels
    assert pixels is not None
    mean, std = (_per_channel(pixels, each, values.ndim) for each in (pixels.mean, pixels.std))
    steps = (values.astype(np.float64) * std + mean) / float(pixels.scale)
    low, high = float(steps.min(initial=0)), float(steps.max(initial=0))
    if low < -_BEYOND or high > 255 + _BEYOND:
        worst = low if low < -_BEYOND else high
        raise UserError(
            f"input '{shown(port.name)}' takes pixels: by its scale, mean and std a value of the samples is pixel "
            f"{worst:.4g}, and pixels are 0 to 255; check --input_scale, --input_mean and --input_std, or give "
            "the pixels as uint8"
        )
    return np.clip(np.floor(steps + 0.5), 0, 255).astype(np.uint8)


__all__ = [
    "all_to_onnx",
    "centred_text",
    "in_port_order",
    "layout_of",
    "pixels_text",
    "to_onnx",
    "to_port",
    "with_port_type",
    "worth_text",
]
