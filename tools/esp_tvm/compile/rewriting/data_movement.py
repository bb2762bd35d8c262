"""The Relay operators that only move values, and so move int8 values as they move floats.

A quantize can be done before a move, a dequantize after it: rounding and saturating a value does not depend on its
position. So every move becomes one of bytes, whether a kernel or TVM's own C does it.
"""

from __future__ import annotations

from typing import Callable, List, Optional

import numpy as np
import tvm
from tvm import relay

from .toolbox import is_call

_ALWAYS = frozenset(
    "broadcast_to copy expand_dims layout_transform nn.batch_flatten nn.depth_to_space nn.mirror_pad "
    "nn.space_to_depth repeat reshape reverse squeeze strided_slice tile transpose".split()
)


def moved_data(call: relay.Expr) -> Optional[List[relay.Expr]]:
    """The expressions whose values `call` moves, or None when it computes something."""
    if not isinstance(call, relay.Call) or not isinstance(call.op, tvm.ir.Op):
        return None
    name = call.op.name
    if name in _ALWAYS:
        return [call.args[0]]
    if name == "concatenate":
        return list(call.args[0].fields) if isinstance(call.args[0], relay.Tuple) else None
    if name in ("image.resize1d", "image.resize2d", "image.resize3d"):
        inside = str(call.attrs.coordinate_transformation_mode) != "tf_crop_and_resize"
        return [call.args[0]] if str(call.attrs.method) == "nearest_neighbor" and inside else None
    if name == "take":
        # For any indices: of a table too, such as an embedding.
        return [call.args[0]]
    # Only with constant indices: computed ones are values of another meaning.
    if name in ("gather_nd", "gather", "reverse_sequence"):
        return [call.args[0]] if isinstance(call.args[1], relay.Constant) else None
    if name == "nn.pad":
        return [call.args[0]] if isinstance(call.args[1], relay.Constant) else None
    if name == "scatter_nd":
        replaces = isinstance(call.args[1], relay.Constant) and str(call.attrs.mode) == "update"
        return [call.args[0], call.args[2]] if replaces else None
    return None


def with_data(call: relay.Call, data: List[relay.Expr], pad_value: Optional[Callable] = None) -> relay.Call:
    """The move `call` on other values; pad_value(float) gives the int8 value that a padding is filled with."""
    name = call.op.name
    args = list(call.args)
    if name == "concatenate":
        args = [relay.Tuple(data, call.args[0].span)]
    elif name == "scatter_nd":
        args = [data[0], call.args[1], data[1]]
    else:
        args[0] = data[0]
        if name == "nn.pad":
            args[1] = relay.const(np.int8(pad_value(float(call.args[1].data.numpy()))))
    # Not `with_args`: the type arguments of `call` are those of the old values.
    return relay.Call(call.op, args, call.attrs, None, call.span)


def fills_exactly(call: relay.Call, exponent: int) -> bool:
    """Whether the value that the move adds (that of a padding) is an int8 value at `exponent`."""
    if not is_call(call, "nn.pad") or str(call.attrs.pad_mode) != "constant":
        return True
    scaled = float(call.args[1].data.numpy()) * 2.0**-exponent
    return scaled == np.floor(scaled) and -128 <= scaled <= 127
