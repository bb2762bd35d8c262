"""Resizing of images."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
import onnx

from ..kernel_limits import KERNEL_LIMITS
from . import base
from .base import COMPUTED, MOVED, MOVES, Operand, Operator, Parsed, Refusal
from .gathers import emit_gather
from .movement import int8_operand
from .rows import table_reach
from .rule import INPUT, Facts, Rule, attribute, constant_parameters
from .tvm_later import is_op, relay, wildcard

WEIGHT_BITS = KERNEL_LIMITS["RESIZE_BITS"]


def source_places(size: int, output: int, mode: str) -> np.ndarray:
    """The position of each output pixel on the axis of the input, in float64 (ONNX's
    coordinate_transformation_mode)."""
    places = np.arange(output, dtype=np.float64)
    scale = output / size
    if mode == "half_pixel":
        return (places + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return (places + 0.5) / scale - 0.5 if output > 1 else np.zeros(output)
    if mode == "tf_half_pixel_for_nn":
        return (places + 0.5) / scale
    if mode == "align_corners":
        return places * (size - 1) / (output - 1) if output > 1 else np.zeros(output)
    if mode == "asymmetric":
        return places / scale
    raise Refusal(f"its coordinate transformation is {mode}")


def nearest_indices(size: int, output: int, mode: str, rounding: str) -> np.ndarray:
    """The input pixel of each output pixel (ONNX's nearest_mode)."""
    places = source_places(size, output, mode)
    # A position exactly on a border must not move to the other side by the last bit of a division.
    places = np.round(places, 9)
    if rounding == "round_prefer_floor":
        index = np.ceil(places - 0.5)
    elif rounding in ("round_prefer_ceil", "round"):
        index = np.floor(places + 0.5)
    elif rounding == "floor":
        index = np.floor(places)
    elif rounding == "ceil":
        index = np.ceil(places)
    else:
        raise Refusal(f"its rounding is {rounding}")
    return np.clip(index, 0, size - 1).astype(np.int64)


def interpolation(size: int, output: int, mode: str) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(lower pixel, upper pixel, weight of the upper one in units of 2^-10) of each output pixel."""
    places = np.clip(source_places(size, output, mode), 0, size - 1)
    low = np.floor(places).astype(np.int64)
    weight = np.floor((places - low) * (1 << WEIGHT_BITS) + 0.5).astype(np.int64)
    return low, np.minimum(low + 1, size - 1), weight


def _check_layout(attrs) -> None:
    if str(attrs.layout) != "NHWC":
        raise Refusal(f"its layout is {attrs.layout}; the kernel takes NHWC")


def _check(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    mode = attribute(node, "mode", b"nearest").decode()
    linear = mode in ("linear", "bilinear")
    if not linear and mode != "nearest":
        return f"its mode is {mode}"
    if attribute(node, "coordinate_transformation_mode", b"").decode() == "tf_crop_and_resize":
        return "it crops"
    shapes = [facts.shapes.get(name, ()) for name in (node.input[0], node.output[0])]
    if len(shapes[0]) not in (3, 4) or shapes[0][:2] != shapes[1][:2]:
        return "it is neither 1-D nor 2-D"
    return constant_parameters(facts, node)


_LIMITS = "1-D and 2-D, nearest and linear; scales that give whole sizes; cubic as a convolution or products"


class ResizeNearest(Operator):
    """Each pixel of the result is one pixel of the input."""

    name = "resize_nearest"
    order = MOVED
    formula = MOVES
    rules = (Rule("shape", INPUT, _check, "Resize Upsample", _LIMITS),)

    def patterns(self):
        return [is_op("image.resize2d")(wildcard())]

    def parse(self, root):
        attrs = root.attrs
        if str(attrs.method) != "nearest_neighbor":
            raise Refusal(f"its method is {attrs.method}")
        x = int8_operand(root.args[0])
        _check_layout(attrs)
        output = Operand(root, x.dtype)
        mode, rounding = str(attrs.coordinate_transformation_mode), str(attrs.rounding_method) or "round"
        rows, columns = (nearest_indices(x.shape[axis], output.shape[axis], mode, rounding) for axis in (1, 2))
        return Parsed([x], output, {"rows": rows, "columns": columns})

    def reference(self, call, x):
        x = relay.take(x, relay.const(call.attributes["rows"]), axis=1)
        return relay.take(x, relay.const(call.attributes["columns"]), axis=2)

    def reach(self, call):
        rows = call.attributes["rows"]
        return table_reach(rows, rows + 1)

    def strip_attributes(self, call, first, end, input_first):
        return {"rows": call.attributes["rows"][first:end] - input_first}

    def emit(self, call, c, inputs, output):
        n, _, _, channels = shape = call.inputs[0].shape
        indices = [np.arange(n), call.attributes["rows"], call.attributes["columns"], np.arange(channels)]
        emit_gather(call, c, inputs[0], output, shape, indices)


class ResizeLinear(Operator):
    """Weighted sum of four values, the weights rounded to 2^-10."""

    name = "resize_linear"
    order = COMPUTED
    formula = (
        "weights of neighbours in units of 2^-10 along each axis; `sat8(rshift(sum of four x * weight * weight, "
        "20 + e_y - e_x))`"
    )
    also = "Resize Upsample"

    def patterns(self):
        return [base.quantized(base.activated(is_op("image.resize2d")(base.dequantized())))]

    def parse(self, root):
        output = base.read_quantize(root)
        body, clamp = base.strip_activation(root.args[0], output.exponent)
        attrs = body.attrs
        if str(attrs.method) != "linear":
            raise Refusal(f"its method is {attrs.method}")
        x = base.read_dequantize(body.args[0])
        _check_layout(attrs)
        mode = str(attrs.coordinate_transformation_mode)
        rows, columns = (interpolation(x.shape[axis], output.shape[axis], mode) for axis in (1, 2))
        shift = output.exponent - x.exponent
        if not 1 <= shift + 2 * WEIGHT_BITS <= 28:
            raise Refusal(f"its exponents {x.exponent} and {output.exponent} lie too far apart")
        return Parsed([x], output, {"rows": rows, "columns": columns, "shift": shift, "clamp": clamp})

    def reference(self, call, x):
        a = call.attributes
        wide = base.widen(x)
        for axis, (low, high, weight) in ((1, a["rows"]), (2, a["columns"])):
            shape = [-1 if i == axis else 1 for i in range(4)]
            upper = weight.reshape(shape).astype(np.int32)
            lower = ((1 << WEIGHT_BITS) - upper).astype(np.int32)
            wide = relay.add(
                relay.multiply(relay.take(wide, relay.const(low), axis=axis), relay.const(lower)),
                relay.multiply(relay.take(wide, relay.const(high), axis=axis), relay.const(upper)),
            )
        return base.requantize_expr(wide, a["shift"] + 2 * WEIGHT_BITS, a["clamp"])

    def reach(self, call):
        low, high, weight = call.attributes["rows"]
        return table_reach(low, np.where(weight > 0, high, low) + 1)

    def strip_attributes(self, call, first, end, input_first):
        low, high, weight = (one[first:end] for one in call.attributes["rows"])
        # A row without weight may lie beyond those that the kernel is given.
        return {"rows": (low - input_first, np.where(weight > 0, high, low) - input_first, weight)}

    def emit(self, call, c, inputs, output):
        a = call.attributes
        tables = {}
        for name, (low, high, weight) in (("row", a["rows"]), ("column", a["columns"])):
            tables[name] = {
                "low": c.constant(f"{name}_low", low.astype(np.int32), f"the lower {name} of each"),
                "high": c.constant(f"{name}_high", high.astype(np.int32), f"the upper {name} of each"),
                "weight": c.constant(f"{name}_weight", weight.astype(np.int16), "of the upper one, * 2^10"),
            }
        parameters = c.struct(
            "esp_dl_resize_linear_t",
            input=dict(zip("nhwc", call.inputs[0].shape)),
            output=dict(zip("nhwc", call.output.shape)),
            **tables,
            shift=a["shift"] + 2 * WEIGHT_BITS,
            min=a["clamp"][0],
            max=a["clamp"][1],
        )
        c.call("esp_dl_resize_linear_s8", inputs[0], parameters, output)

    def macs(self, call):
        return 4 * call.output.elements
