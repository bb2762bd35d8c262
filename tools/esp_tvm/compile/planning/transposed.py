"""Transposed convolutions as convolutions and a move: with the faster kernels that convolutions have.

With a stride of s the pixels of the result that lie s apart read the same taps: s^2 groups of them are the outputs of
one convolution of the input, and lie apart afterwards. Sums, and so all bytes, stay the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import List, Optional, Tuple

import numpy as np

from ...program import Call, Program, Tensor
from ..kernels import esp32s3
from .memory import arena_bytes

# Weights of the convolution that may be zeros, because not every pixel has as many taps: none in plain C, where a
# product takes nearly as long as in the plain kernel; the vector unit multiplies so much faster that they cost little.
_PLAIN, _VECTOR = 1.0, 2.25


@dataclass(frozen=True)
class _Axis:
    """One axis of the window. tap: of each of `stride` pixels and each place of the convolution's window the tap that
    is used there, -1 where none is; before, after: padding of the convolution."""

    tap: np.ndarray
    before: int
    after: int


def _axis(size: int, output: int, stride: int, kernel: int, pad: int) -> Optional[_Axis]:
    """None where the convolution would compute other pixels than the result has."""
    if output % stride:
        return None
    # Pixel s u + v reads tap t of the input's place u + (v + pad - t) / s.
    places = {(v, t): (v + pad - t) // stride for v in range(stride) for t in range((v + pad) % stride, kernel, stride)}
    low, high = min(places.values()), max(places.values())
    after = output // stride - 1 + high - (size - 1)
    if low > 0 or after < 0:
        return None
    taps = np.full((stride, high - low + 1), -1)
    for (v, t), place in places.items():
        taps[v, place - low] = t
    return _Axis(taps, -low, after)


def axes_of(call: Call) -> Optional[Tuple[_Axis, _Axis]]:
    a, (_, *size, _), (_, *output, _) = call.attributes, call.inputs[0].shape, call.output.shape
    if a["groups"] != 1 or tuple(a["dilation"]) != (1, 1):
        return None
    # What lies apart afterwards is a square of pixels, or a row of them.
    if a["strides"][0] != a["strides"][1] and (a["strides"][0], output[0]) != (1, 1):
        return None
    kernel = a["weights"].shape[1:3]
    made = [_axis(*each) for each in zip(size, output, a["strides"], kernel, a["padding"])]
    return None if None in made else (made[0], made[1])


def _convolution(call: Call, axes: Tuple[_Axis, _Axis]) -> Call:
    a, (rows, columns) = call.attributes, axes
    weights = a["weights"]
    # [row of pixels, column, O, place in the window (two axes), I]; a tap of zeros where none is used.
    padded = np.concatenate([weights, np.zeros_like(weights[:, :1])], axis=1)
    padded = np.concatenate([padded, np.zeros_like(padded[:, :, :1])], axis=2)
    made = padded[:, rows.tap[:, None, :, None], columns.tap[None, :, None, :]]
    made = made.transpose(1, 2, 0, 3, 4, 5)
    pixels, outputs = made.shape[0] * made.shape[1], len(weights)
    images, height, width, _ = call.output.shape
    shape = (images, height // made.shape[0], width // made.shape[1], pixels * outputs)
    attributes = {
        "weights": np.ascontiguousarray(made.reshape(pixels * outputs, *made.shape[3:])),
        "bias": np.tile(a["bias"], pixels),
        "shift": np.tile(a["shift"], pixels),
        "strides": (1, 1),
        "padding": (rows.before, columns.before, rows.after, columns.after),
        "dilation": (1, 1),
        "groups": 1,
        "clamp": a["clamp"],
    }
    output = Tensor("", shape, call.output.dtype, call.output.exponent)
    made_call = replace(call, operator="conv2d", outputs=[output], attributes=attributes, output_node=None)
    made_call.macs = output.elements * int(np.prod(attributes["weights"].shape[1:]))
    return made_call


def _apart(call: Call, source: Tensor) -> Call:
    """What puts the pixels of the convolution's outputs where they belong."""
    block = call.attributes["strides"][1]
    if call.output.shape[1] == 1 or block == 1:
        # They lie there already.
        return replace(call, operator="reshape", inputs=[source], attributes={"shape": call.output.shape}, macs=0)
    attributes = {"block": block, "mode": "DCR"}
    return replace(call, operator="depth_to_space", inputs=[source], attributes=attributes, macs=0)


def as_two(call: Call, axes: Tuple[_Axis, _Axis]) -> Tuple[Call, Call]:
    """The two calls for one; that which has code for the result keeps its symbol."""
    sums = _convolution(call, axes)
    apart = _apart(call, sums.output)
    other = apart if apart.operator == "reshape" else sums
    other.symbol = f"{call.symbol}_{'apart' if other is apart else 'sums'}"
    return sums, apart


def as_convolutions(program: Program, chip: Optional[str], room: int = 0) -> Program:
    """Let convolutions compute transposed ones where the arena does not grow by it, or not beyond `room` bytes, and few
    weights become zeros.

    Before kernels are chosen; calls are numbered anew where one became two.
    """
    limit, before, count = _VECTOR if chip == esp32s3.CHIP else _PLAIN, None, len(program.items)
    for call in [item for item in program.items if isinstance(item, Call) and item.operator == "conv_transpose2d"]:
        axes = axes_of(call)
        if axes is None:
            continue
        sums, apart = as_two(call, axes)
        if sums.attributes["weights"].size > limit * call.attributes["weights"].size:
            continue
        before = arena_bytes(program) if before is None else before
        place = program.items.index(call)
        items: List = [*program.items[:place], sums, apart, *program.items[place + 1 :]]
        tried = replace(program, items=items)
        after = arena_bytes(tried)
        if after <= max(before, room):
            program, before = tried, after
    if len(program.items) > count:
        for number, call in enumerate(program.calls()):
            call.index = number
    return program
