"""Operators that copy values. The layout pass has moved quantization away from between them."""

from __future__ import annotations

from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np
import onnx

from .base import CONSTANT, MOVED, MOVES, Operand, Operator, Parsed, Refusal
from .expressions import is_call
from .gathers import emit_gather
from .movement import int8_operand
from .rows import SAME_ROW
from .rule import INPUT, OWN, Facts, Rule, constant_parameters
from .strides import copy_fields, steps_of
from .tvm_later import is_constant, is_op, relay, wildcard


def _bytes(tensor) -> int:
    """The size of an element."""
    return np.dtype(tensor.dtype).itemsize


class _Copy(Operator):
    """A move that is a single strided copy."""

    order = MOVED
    formula = MOVES

    def patterns(self):
        return [is_op(self.relay_op)(wildcard())]

    relay_op = ""
    dtypes = ("int8", "int16")

    def parse(self, root):
        x = int8_operand(root.args[0], self.dtypes)
        output = Operand(root, x.dtype)
        attributes = self.attributes(root, x.shape, output.shape)
        self.copy(attributes, x.shape, output.shape, _bytes(x))  # refuses a copy with too many axes
        return Parsed([x], output, attributes)

    def attributes(self, root, x: Tuple[int, ...], y: Tuple[int, ...]) -> dict:
        raise NotImplementedError

    def copy(self, attributes: dict, x: Tuple[int, ...], y: Tuple[int, ...], size: int) -> dict:
        """The fields of the kernel for tensors of these shapes, their elements of `size` bytes."""
        raise NotImplementedError

    def emit(self, call, c, inputs, output):
        c.call("esp_dl_copy", inputs[0], c.struct("esp_dl_copy_t", **self.copies(call)[0]), output)

    def copies(self, call) -> List[dict]:
        """The one copy."""
        return [self.copy(call.attributes, call.inputs[0].shape, call.output.shape, _bytes(call.output))]


class StridedSlice(_Copy):
    """Slice and the parts of Split."""

    name = "strided_slice"
    rules = (
        Rule("shape", INPUT, constant_parameters, "Slice", CONSTANT),
        Rule("", onnx="Split", limits=CONSTANT),
    )
    also = "Gather RNN GRU LSTM ReduceProd"
    relay_op = "strided_slice"

    def attributes(self, root, x, y):
        attrs = root.attrs
        axes = [int(a) % len(x) for a in attrs.axes] if attrs.axes is not None else range(len(attrs.begin))
        begin, steps = [0] * len(x), [1] * len(x)
        for position, axis in enumerate(axes):
            strides = attrs.strides if attrs.strides is not None and len(attrs.strides) else [1]
            step = int(strides[position if len(strides) > position else 0])
            if str(attrs.slice_mode) != "end":
                step = 1
            first = int(attrs.begin[position])
            first += x[axis] if first < 0 else 0
            begin[axis] = min(max(first, 0), x[axis] - 1 if step < 0 else x[axis])
            steps[axis] = step
        return {"begin": begin, "steps": steps, "shape": y}

    def copy(self, attributes, x, y, size):
        strides = steps_of(x)
        source = [stride * step for stride, step in zip(strides, attributes["steps"])]
        offset = sum(stride * first for stride, first in zip(strides, attributes["begin"]))
        return copy_fields(y, source, steps_of(y), (offset, 0), size)

    def reach(self, call):
        a, rows = call.attributes, {call.inputs[0].shape[1], call.output.shape[1]}
        return SAME_ROW if len(rows) == 1 and (a["begin"][1], a["steps"][1]) == (0, 1) else None

    def reference(self, call, x):
        a = call.attributes
        for axis, (first, step, size) in enumerate(zip(a["begin"], a["steps"], a["shape"])):
            if (first, step, size) != (0, 1, call.inputs[0].shape[axis]):
                x = relay.take(x, relay.const(first + step * np.arange(size)), axis=axis)
        return x


class Tile(_Copy):
    """The whole tensor repeated along its axes."""

    name = "tile"
    rules = (Rule("shape", INPUT, constant_parameters, "Tile", "repeats constant"),)
    relay_op = "tile"

    def attributes(self, root, x, y):
        repeats = [int(r) for r in root.attrs.reps]
        return {"repeats": [1] * (len(y) - len(repeats)) + repeats}

    def copy(self, attributes, x, y, size):
        x = [1] * (len(y) - len(x)) + list(x)
        shape, source = [], []
        for length, times, step in zip(x, attributes["repeats"], steps_of(x)):
            shape += [times, length]
            source += [0, step]
        return copy_fields(shape, source, steps_of(shape), size=size)

    def reference(self, call, x):
        return relay.tile(x, call.attributes["repeats"])


class Broadcast(_Copy):
    """Expand: axes of size 1 repeated."""

    name = "broadcast"
    rules = (Rule("shape", INPUT, constant_parameters, "Expand", "shape constant"),)
    also = "MatMul"
    relay_op = "broadcast_to"

    def attributes(self, root, x, y):
        return {"shape": y}

    def copy(self, attributes, x, y, size):
        x = [1] * (len(y) - len(x)) + list(x)
        source = [0 if length == 1 else step for length, step in zip(x, steps_of(x))]
        return copy_fields(y, source, steps_of(y), size=size)

    def reference(self, call, x):
        return relay.broadcast_to(x, call.attributes["shape"])


class DepthToSpace(_Copy):
    """NHWC: channels are spread over blocks of pixels."""

    name = "depth_to_space"
    rules = (Rule("shape", INPUT, None, "DepthToSpace", "DCR and CRD"),)
    relay_op = "nn.depth_to_space"

    def attributes(self, root, x, y):
        if str(root.attrs.layout) != "NHWC":
            raise Refusal(f"its layout is {root.attrs.layout}; the kernel takes NHWC")
        return {"block": int(root.attrs.block_size), "mode": str(root.attrs.mode) or "DCR"}

    @staticmethod
    def _split(attributes, x) -> Tuple[List[int], List[int]]:
        """(x as 6 axes, order of them in the output)."""
        block = attributes["block"]
        n, h, w, c = x
        if attributes["mode"] == "DCR":
            return [n, h, w, block, block, c // block**2], [0, 1, 3, 2, 4, 5]
        return [n, h, w, c // block**2, block, block], [0, 1, 4, 2, 5, 3]

    def copy(self, attributes, x, y, size):
        split, order = self._split(attributes, x)
        steps = steps_of(split)
        shape = [split[axis] for axis in order]
        return copy_fields(shape, [steps[axis] for axis in order], steps_of(shape), size=size)

    def reference(self, call, x):
        split, order = self._split(call.attributes, call.inputs[0].shape)
        return relay.reshape(relay.transpose(relay.reshape(x, split), order), call.output.shape)


class SpaceToDepth(DepthToSpace):
    """NHWC: blocks of pixels are gathered into channels, those of one pixel adjacent."""

    name = "space_to_depth"
    rules = (Rule("shape", INPUT, None, "SpaceToDepth"),)
    relay_op = "nn.space_to_depth"

    def attributes(self, root, x, y):
        if str(root.attrs.layout) != "NHWC":
            raise Refusal(f"its layout is {root.attrs.layout}; the kernel takes NHWC")
        return {"block": int(root.attrs.block_size)}

    @staticmethod
    def _split(attributes, x):
        block = attributes["block"]
        n, h, w, c = x
        return [n, h // block, block, w // block, block, c], [0, 1, 3, 2, 4, 5]


def _check_pad(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if facts.rank(node.input[0]) > 6:
        return "it has more than 6 axes"
    return constant_parameters(facts, node)


_PADDING = "constant, edge and reflect; at most 6 axes; a constant before a convolution is its padding"


class Pad(Operator):
    """Padding with a value, the edge, or the reflected image."""

    name = "pad"
    order = MOVED
    formula = MOVES
    rules = (Rule("shape", INPUT, _check_pad, "Pad", _PADDING),)

    def patterns(self):
        return [is_op("nn.pad")(wildcard(), is_constant())]

    def parse(self, root):
        x = int8_operand(root.args[0])
        widths = [[int(v) for v in pair] for pair in root.attrs.pad_width]
        attributes = {
            "before": [before for before, _ in widths],
            "after": [after for _, after in widths],
            "mode": str(root.attrs.pad_mode),
            "value": int(root.args[1].data.numpy()),
        }
        if attributes["mode"] not in ("constant", "edge", "reflect"):
            raise Refusal(f"its mode is {attributes['mode']}")
        if len(x.shape) > 6:
            raise Refusal(f"it has {len(x.shape)} axes, the kernel takes 6")
        return Parsed([x], Operand(root, x.dtype), attributes)

    @staticmethod
    def _indices(attributes, shape) -> List[np.ndarray]:
        """For every axis the input index of each output index, -1 outside."""
        indices = []
        for size, before, after in zip(shape, attributes["before"], attributes["after"]):
            index = np.arange(-before, size + after)
            if attributes["mode"] == "edge":
                index = np.clip(index, 0, size - 1)
            elif attributes["mode"] == "reflect":
                period = max(2 * (size - 1), 1)
                index = np.abs(index) % period
                index = np.where(index < size, index, period - index)
            indices.append(np.where((index >= 0) & (index < size), index, -1))
        return indices

    def reference(self, call, x):
        a = call.attributes
        widths = [[max(b, 0), max(e, 0)] for b, e in zip(a["before"], a["after"])]
        begin = [max(-b, 0) for b in a["before"]]
        end = [size - max(-e, 0) for size, e in zip(call.inputs[0].shape, a["after"])]
        x = relay.strided_slice(x, begin, end)
        return relay.nn.pad(x, widths, relay.const(np.int8(a["value"])), pad_mode=a["mode"])

    @staticmethod
    def is_one_copy(call) -> bool:
        """Whether all of the input is copied into one value."""
        a = call.attributes
        return a["mode"] == "constant" and min(*a["before"], *a["after"], 0) >= 0

    @staticmethod
    def copies(call) -> List[dict]:
        """The copy of the input, if it is a single one."""
        x, steps = call.inputs[0].shape, steps_of(call.output.shape)
        offset = sum(step * before for step, before in zip(steps, call.attributes["before"]))
        return [copy_fields(x, steps_of(x), steps, (0, offset))]

    def emit(self, call, c, inputs, output):
        a, x = call.attributes, call.inputs[0].shape
        if not self.is_one_copy(call):
            emit_gather(call, c, inputs[0], output, x, self._indices(a, x), a["value"])
            return
        c.call("memset", output, a["value"], call.output.bytes)
        fields = self.copies(call)[0]
        c.call("esp_dl_copy", inputs[0], c.struct("esp_dl_copy_t", **fields), output)


class Concat(Operator):
    """Tensors of one exponent, constant ones among them, concatenated; found by `sources`, not by a pattern."""

    name = "concat"
    order = MOVED
    formula = MOVES
    rules = (Rule("shape", OWN, None, "Concat", "any number; inputs of another exponent are requantized"),)
    also = "RNN GRU LSTM"
    dtypes = ("int8", "int16")

    def patterns(self):
        return []

    def sources(self, root):
        if not is_call(root, "concatenate") or not isinstance(root.args[0], relay.Tuple):
            return None
        fields = list(root.args[0].fields)
        types = {field.checked_type.dtype for field in fields}
        if len(types) != 1 or not types <= set(self.dtypes):
            return None
        return [field for field in fields if not isinstance(field, relay.Constant)] or None

    def parse(self, root):
        fields = list(root.args[0].fields)
        inputs = [int8_operand(field, self.dtypes) for field in fields if not isinstance(field, relay.Constant)]
        rank = len(inputs[0].shape)
        attributes: dict = {"axis": int(root.attrs.axis) % rank}
        places = [i for i, field in enumerate(fields) if isinstance(field, relay.Constant)]
        if places:
            attributes.update(places=places, constants=[fields[i].data.numpy() for i in places])
        return Parsed(inputs, Operand(root, inputs[0].dtype), attributes)

    @staticmethod
    def _with_constants(call, parts: Sequence, made: Callable) -> list:
        """`parts`, one of each input, and made(constant, its number) where the constants stand between them."""
        parts = list(parts)
        for number, place in enumerate(call.attributes.get("places", ())):
            parts.insert(place, made(call.attributes["constants"][number], number))
        return parts

    def reference(self, call, *inputs):
        parts = self._with_constants(call, inputs, lambda array, _: relay.const(array))
        return relay.concatenate(parts, axis=call.attributes["axis"])

    @classmethod
    def copies(cls, call) -> List[dict]:
        """The copy of every part, in their order."""
        axis, steps = call.attributes["axis"], steps_of(call.output.shape)
        size, place, found = _bytes(call.output), 0, []
        for shape in cls._with_constants(call, [x.shape for x in call.inputs], lambda array, _: array.shape):
            found.append(copy_fields(shape, steps_of(shape), steps, (0, place * steps[axis]), size))
            place += shape[axis]
        return found

    def reach(self, call):
        return SAME_ROW if call.attributes["axis"] == 3 and "constants" not in call.attributes else None

    def emit(self, call, c, inputs, output):
        names = self._with_constants(
            call, inputs, lambda array, number: c.constant(f"constant{number}", array, f"constant {list(array.shape)}")
        )
        for number, (fields, name) in enumerate(zip(self.copies(call), names)):
            parameters = c.struct("esp_dl_copy_t", struct_name=f"part{number}", **fields)
            c.call("esp_dl_copy", name, parameters, output)
