"""What a call does in the strips of a loop, as calls for images of fewer rows, so that no kernel is made for strips."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Tuple

import numpy as np

from ...operators import OPERATORS
from ...operators.rows import SAME_ROW, RowSums, TableReach
from ...program import Call, Tensor
from .reaches import is_planar, reach_of


@dataclass(frozen=True)
class Strip:
    """What one call does in one strip, in rows of whole images; first to end - 1 each.

    first, end: rows of the output that it computes, or of the input that it adds up; none where they are equal
    inputs: (first, end) rows of each tensor that it reads that its kernel is given
    """

    first: int
    end: int
    inputs: Tuple[Tuple[int, int], ...]

    @property
    def is_empty(self) -> bool:
        return self.first == self.end


@dataclass
class CallStrips:
    """What a call of a loop does: strips, one by one; kinds: index in `parts` of each, -1 for one without rows

    parts: the same call for an image of fewer rows, one of each kind that is needed
    """

    strips: List[Strip]
    kinds: List[int]
    parts: List[Call]

    def with_variant(self, variant: Any) -> List[Call]:
        """The parts by the kernel that is chosen for the call."""
        for one in self.parts:
            one.variant = variant
        return self.parts


def strips_of(call: Call, strips: List[Strip]) -> CallStrips:
    kinds, parts, known = [], [], {}
    for strip in strips:
        if strip.is_empty:
            kinds.append(-1)
            continue
        one = part(call, strip)
        table = np.asarray(one.attributes.get("rows", ())).tobytes()
        key = (one.inputs[0].shape, one.writes[0].shape[1], *map(one.attributes.get, ("padding", "row_sums")), table)
        if key not in known:
            known[key] = len(parts)
            parts.append(one)
        kinds.append(known[key])
    return CallStrips(strips, kinds, parts)


def part(call: Call, strip: Strip) -> Call:
    """The call of the same kernel that computes a strip: an image of fewer rows, with its own padding."""
    reach, rows, operator = reach_of(call), strip.end - strip.first, OPERATORS[call.operator]
    if is_planar(call, 0):
        return _planar_part(call, rows)
    if reach.sums:
        return _sums_part(call, strip)
    attributes = dict(call.attributes)
    heights = {id(x): end - first for x, (first, end) in zip(call.reads, strip.inputs)}
    if isinstance(reach, TableReach):
        attributes.update(operator.strip_attributes(call, strip.first, strip.end, strip.inputs[0][0]))
    elif reach != SAME_ROW or call.inputs[0].shape[1] != call.output.shape[1]:
        left = attributes["padding"][1]
        top = reach.before - strip.first * reach.stride + strip.inputs[0][0]
        bottom = (strip.end - 1) * reach.stride - reach.before + reach.span - call.inputs[0].shape[1]
        attributes["padding"] = (top, left, max(bottom, 0), attributes["padding"][3])
        if "output_size" in attributes:
            attributes["output_size"] = (rows, call.output.shape[2])
    made: Dict[int, Tensor] = {}

    def cut(tensor: Tensor, height: int) -> Tensor:
        # A tensor that a call reads twice stays one tensor, so that kernels see that it is the same.
        if id(tensor) not in made:
            made[id(tensor)] = replace_rows(tensor, height)
        return made[id(tensor)]

    inputs = [cut(x, heights.get(id(x), rows)) for x in call.inputs]
    outputs = [cut(call.output, rows)]
    followers = [
        replace(one, inputs=[cut(x, rows) for x in one.inputs], outputs=[cut(one.output, rows)])
        for one in call.followers
    ]
    macs = call.macs * rows // call.output.shape[1]
    return replace(call, inputs=inputs, outputs=outputs, attributes=attributes, followers=followers, macs=macs)


def _planar_part(call: Call, rows: int) -> Call:
    """The strip of a quantization that changes planes to NHWC."""
    n, channels, height, width = call.reads[0].shape
    (follower,) = call.followers
    planes = [replace(x, shape=(n, channels, rows, width), source=None, place=None) for x in call.inputs]
    made = replace(call.output, shape=(n, channels, rows, width))
    after = replace(follower, inputs=[made], outputs=[replace_rows(follower.output, rows)])
    attributes = {**call.attributes, "plane": height * width}
    return replace(call, inputs=planes, outputs=[made], attributes=attributes, followers=[after])


def _sums_part(call: Call, strip: Strip) -> Call:
    """The strip of a call that adds up all rows of its input."""
    x, rows = call.inputs[0], strip.end - strip.first
    _, height, width, _ = x.shape
    sums = RowSums(height * width, strip.first == 0, strip.end == height)
    attributes = {**call.attributes, "kernel": (rows, width), "row_sums": sums}
    output = replace_rows(call.output, 1)
    return replace(call, inputs=[replace_rows(x, rows)], outputs=[output], attributes=attributes)


def replace_rows(tensor: Tensor, height: int) -> Tensor:
    """The image with `height` rows, without a place."""
    return Tensor(tensor.name, (tensor.shape[0], height, *tensor.shape[2:]), tensor.dtype, tensor.exponent)
