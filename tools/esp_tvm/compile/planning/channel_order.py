"""The order of channels between layers: those next to each other that a kernel computes together at the least cost.

The kernels of the ESP32-S3 take sixteen channels at a time, and each additional shift among them costs instructions;
more than a few cannot be done at all. The kernels in C take two or four channels, whose weights are cut into pieces
together (kernels/packing.py): fewer where large weights are beside large ones. The layer that makes a tensor may write
its channels in any order if the ones that read it have their weights in the same order: every sum consists of the same
products, so all outputs keep their bytes.

Tensors whose channels are in step with each other (the inputs and the output of an addition, of a pool, of a depthwise
convolution) have one order. Where anything else reads or writes one of them, channels stay as they are.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any, Dict, Iterable, Iterator, List, Optional, Set

import numpy as np

from ...program import Call, Program, Tensor
from ..kernels.esp32s3 import CHIP, LANES
from ..kernels.esp32s3.lanes import MOST_SHIFTS, right_shifts
from ..kernels.portable import VARIANTS

# Operators that compute a channel of the output from the same channel of all inputs, and know nothing of channels.
_ALIKE = ("add", "sub", "mul", "requantize", "lookup", "maximum", "minimum", "max_pool2d", "average_pool2d")
# Where the weights, biases and shifts of an operator have its outputs, and where its inputs, as axes.
_OUTPUTS = {
    "conv2d": {"weights": 0, "bias": 0, "shift": 0, "addend_shift": 0},
    "dense": {"weights": 0, "bias": 0, "shift": 0},
    "depthwise_conv2d": {"weights": 2, "bias": 0, "shift": 0},
    "channelwise": {"multiplier": 0, "bias": 0, "shift": 0},
}
_INPUTS = {"conv2d": {"weights": 3}, "dense": {"weights": 1}}
# Instructions of sixteen outputs for each shift but the first; where there are more than the lanes take, and C computes
# the layer.
_OF_A_SHIFT, _OF_TOO_MANY = 4, 1000


@dataclass
class _Space:
    """Tensors whose channels are in step, the calls that make them from weights, and those that read them by weights.

    free: nothing else reads or writes them
    """

    channels: int
    tensors: List[Tensor] = field(default_factory=list)
    makers: List[Call] = field(default_factory=list)
    readers: List[Call] = field(default_factory=list)
    free: bool = True


def sort_channels(program: Program, chip: Optional[str] = None) -> None:
    """Give the channels of every tensor that allows it the order in which the kernels take the fewest instructions.

    chip: esp32s3: those for its vector unit; else those in C, for inputs in `Call.input_range`
    """
    costs = _OfShifts if chip == CHIP else _OfPieces
    for space in _spaces(program):
        if not space.free or not space.makers or space.channels < 2:
            continue
        order = _best_order(space, costs(space))
        if np.array_equal(order, np.arange(space.channels)):
            continue
        for call in space.makers:
            call.attributes = _reordered(call, _OUTPUTS[call.kind], order)
        for call in space.readers:
            call.attributes = _reordered(call, _INPUTS[call.kind], order)
        for tensor in space.tensors:
            tensor.order = tuple(int(channel) for channel in order)


def _spaces(program: Program) -> List[_Space]:
    leader: Dict[Tensor, Tensor] = {}

    def find(tensor: Tensor) -> Tensor:
        while leader.setdefault(tensor, tensor) is not tensor:
            tensor = leader[tensor]
        return tensor

    fixed: Set[Tensor] = set()
    for call in program.calls():
        tensors = [*call.inputs, *call.outputs]
        for tensor in tensors:
            find(tensor)
            _join(leader, find, [tensor, *_views(tensor)], fixed)
        if _is_alike(call):
            _join(leader, find, tensors, fixed)
        elif not _has_weights(call):
            fixed.update(tensors)
        elif call.addend is not None:
            _join(leader, find, [call.addend, call.output], fixed)
        elif call.kind not in _INPUTS:
            _join(leader, find, [call.inputs[0], call.output], fixed)
    spaces: Dict[Tensor, _Space] = {}
    for tensor in list(leader):
        space = spaces.setdefault(find(tensor), _Space(tensor.shape[-1] if tensor.shape else 0))
        space.tensors.append(tensor)
        space.free &= tensor not in fixed and tensor.place is None
    for call in program.calls():
        if _has_weights(call):
            spaces[find(call.output)].makers.append(call)
            if call.kind in _INPUTS:
                spaces[find(call.inputs[0])].readers.append(call)
    return list(spaces.values())


def _views(tensor: Tensor) -> Iterable[Tensor]:
    """What its bytes belong to."""
    while tensor.source is not None:
        tensor = tensor.source
        yield tensor


def _join(leader, find, tensors: List[Tensor], fixed: Set[Tensor]) -> None:
    """Tensors that have one order; where their channels do not lie alike, they have none but their own."""
    first = tensors[0]
    for other in tensors[1:]:
        if not first.shape or not other.shape or first.shape[-1] != other.shape[-1]:
            fixed.update((first, other))
        leader[find(other)] = find(first)


def _is_alike(call: Call) -> bool:
    if call.operator == "reshape":
        # The last axis stays: nothing moves.
        return call.inputs[0].shape[-1:] == call.output.shape[-1:]
    # Values of their own for channels; a table of one axis is for all of them.
    own = any(
        isinstance(value, np.ndarray) and value.ndim > (name == "table") for name, value in call.attributes.items()
    )
    if call.kind not in _ALIKE or own:
        return False
    return call.kind.endswith("pool2d") or all(x.shape == call.output.shape for x in call.inputs)


def _has_weights(call: Call) -> bool:
    """Whether its outputs and inputs may have any order."""
    if call.kind not in _OUTPUTS or len(call.inputs) != 1 and call.addend is None:
        return False
    a, channels = call.attributes, call.output.shape[-1]
    axes = [(a[name], axis) for name, axis in _OUTPUTS[call.kind].items() if name in a]
    if any(np.ndim(values) <= axis or values.shape[axis] != channels for values, axis in axes):
        return False
    if call.kind == "conv2d":
        return a["groups"] == 1
    if call.kind == "channelwise":
        return a["axis"] == len(call.output.shape) - 1
    return call.kind == "dense" or call.inputs[0].shape[-1] == channels


def _reordered(call: Call, axes: Dict[str, int], order: np.ndarray) -> Dict[str, Any]:
    """The attributes of a call with the channels along these axes in another order."""
    changed = {
        name: np.ascontiguousarray(np.take(call.attributes[name], order, axis=axis))
        for name, axis in axes.items()
        if name in call.attributes
    }
    return {**call.attributes, **changed}


def _best_order(space: _Space, costs) -> np.ndarray:
    """As it is, or the first of the orders offered that costs least."""
    return min([np.arange(space.channels), *costs.offers()], key=costs.cost)


class _OfShifts:
    """What the shifts of its makers cost on the ESP32-S3."""

    def __init__(self, space: _Space):
        by_pixels: Dict[bytes, int] = defaultdict(int)
        for call in space.makers:
            shift = right_shifts(call.attributes["shift"]).astype(np.int64)
            by_pixels[shift.tobytes()] += call.output.elements // space.channels
        self._shifts = [np.frombuffer(one, np.int64) for one in by_pixels]
        self._pixels = list(by_pixels.values())

    def offers(self) -> Iterator[np.ndarray]:
        """Sorted by the shifts of one maker after the other, each of them first once."""
        for first in self._shifts:
            # The last key counts most; channels that are alike stay in their order.
            yield np.lexsort([*(other for other in self._shifts if other is not first), first])

    def cost(self, order: np.ndarray) -> int:
        return sum(count * _instructions(shift[order]) for shift, count in zip(self._shifts, self._pixels))


class _OfPieces:
    """How many pieces of weights its makers' kernels go through."""

    def __init__(self, space: _Space):
        self._makers = []
        for call in space.makers:
            fitting = (one for one in VARIANTS.get(call.operator, ()) if not one.for_spare_memory and one.fits(call))
            variant = next(fitting, None)
            if variant is not None and variant.pieces(call):
                self._makers.append((call, variant))

    def offers(self) -> Iterator[np.ndarray]:
        """Sorted by the weights of each maker."""
        for call, _ in self._makers:
            weights = np.abs(call.attributes["weights"].astype(np.int64))
            yield np.argsort(weights.reshape(len(weights), -1).sum(axis=1), kind="stable")

    def cost(self, order: np.ndarray) -> int:
        changed = (
            (replace(call, attributes=_reordered(call, _OUTPUTS[call.kind], order)), variant)
            for call, variant in self._makers
        )
        return sum(variant.pieces(call) * variant.weight_passes(call) for call, variant in changed)


def _instructions(shift: np.ndarray) -> int:
    """Of all outputs of a pixel, for their shifts alone."""
    counts = [len(np.unique(shift[first : first + LANES])) for first in range(0, len(shift), LANES)]
    return sum(_OF_A_SHIFT * (count - 1) + _OF_TOO_MANY * (count > MOST_SHIFTS) for count in counts)
