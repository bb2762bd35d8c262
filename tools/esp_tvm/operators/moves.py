"""Operators that move int8 values from place to place. The layout pass has brought quantization out of their way."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import numpy as np
import onnx

from .base import CONSTANT, MOVED, MOVES, Operand, Operator, Parsed, Refusal
from .expressions import is_call
from .movement import _int8
from .rule import INPUT, OWN, Facts, Rule, attribute, constant_parameters
from .tvm_later import is_constant, is_op, relay, wildcard

MAX_AXES = 8


def steps_of(shape: Sequence[int]) -> List[int]:
    """Elements from one index to the next along each axis of a tensor."""
    steps, step = [], 1
    for size in reversed(shape):
        steps.insert(0, step)
        step *= size
    return steps


def copy_fields(shape: Sequence[int], source: Sequence[int], target: Sequence[int], offsets=(0, 0)) -> dict:
    """The fields of esp_dl_copy_t, axes merged where they lie one behind the other in both tensors.

    source, target: steps per axis of `shape`; all in bytes
    """
    axes = [(n, f, t) for n, f, t in zip(shape, source, target) if n != 1]
    merged: List[Tuple[int, int, int]] = []
    for n, f, t in axes:
        if merged and merged[-1][1] == f * n and merged[-1][2] == t * n:
            merged[-1] = (merged[-1][0] * n, f, t)
        else:
            merged.append((n, f, t))
    block = 1
    if merged and merged[-1][1:] == (1, 1):
        block = merged.pop()[0]
    if len(merged) > MAX_AXES:
        raise Refusal(f"its copy has {len(merged)} axes, the kernel takes {MAX_AXES}")
    merged = merged or [(1, 0, 0)]
    return {
        "rank": len(merged),
        "shape": [n for n, _, _ in merged],
        "from": [f for _, f, _ in merged],
        "to": [t for _, _, t in merged],
        "from_offset": offsets[0],
        "to_offset": offsets[1],
        "block": block,
        "vectors": not any(v % 16 for v in (block, offsets[1], *(t for _, _, t in merged))),
    }


class _Copy(Operator):
    """A move that one strided copy does."""

    order = MOVED
    formula = MOVES

    def patterns(self):
        return [is_op(self.relay_op)(wildcard())]

    relay_op = ""

    def parse(self, root):
        x = _int8(root.args[0])
        output = Operand(root, x.dtype)
        attributes = self.attributes(root, x.shape, output.shape)
        self.copy(attributes, x.shape, output.shape)  # refuses what has too many axes
        return Parsed([x], output, attributes)

    def attributes(self, root, x: Tuple[int, ...], y: Tuple[int, ...]) -> dict:
        raise NotImplementedError

    def copy(self, attributes: dict, x: Tuple[int, ...], y: Tuple[int, ...]) -> dict:
        raise NotImplementedError

    def emit(self, call, c, inputs, output):
        c.call("esp_dl_copy", inputs[0], c.struct("esp_dl_copy_t", **self.copies(call)[0]), output)

    def copies(self, call) -> List[dict]:
        """The one copy."""
        return [self.copy(call.attributes, call.inputs[0].shape, call.output.shape)]


class StridedSlice(_Copy):
    """Slice and the parts of Split."""

    name = "strided_slice"
    rules = (
        Rule("shape", INPUT, constant_parameters, "Slice", CONSTANT),
        Rule("", onnx="Split", limits=CONSTANT),
    )
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

    def copy(self, attributes, x, y):
        strides = steps_of(x)
        source = [stride * step for stride, step in zip(strides, attributes["steps"])]
        offset = sum(stride * first for stride, first in zip(strides, attributes["begin"]))
        return copy_fields(y, source, steps_of(y), (offset, 0))

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

    def copy(self, attributes, x, y):
        x = [1] * (len(y) - len(x)) + list(x)
        shape, source = [], []
        for size, times, step in zip(x, attributes["repeats"], steps_of(x)):
            shape += [times, size]
            source += [0, step]
        return copy_fields(shape, source, steps_of(shape))

    def reference(self, call, x):
        return relay.tile(x, call.attributes["repeats"])


class Broadcast(_Copy):
    """Expand: axes of size 1 repeated."""

    name = "broadcast"
    rules = (Rule("shape", INPUT, constant_parameters, "Expand", "shape constant"),)
    relay_op = "broadcast_to"

    def attributes(self, root, x, y):
        return {"shape": y}

    def copy(self, attributes, x, y):
        x = [1] * (len(y) - len(x)) + list(x)
        source = [0 if size == 1 else step for size, step in zip(x, steps_of(x))]
        return copy_fields(y, source, steps_of(y))

    def reference(self, call, x):
        return relay.broadcast_to(x, call.attributes["shape"])


class DepthToSpace(_Copy):
    """NHWC: channels spread over blocks of pixels."""

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

    def copy(self, attributes, x, y):
        split, order = self._split(attributes, x)
        steps = steps_of(split)
        shape = [split[axis] for axis in order]
        return copy_fields(shape, [steps[axis] for axis in order], steps_of(shape))

    def reference(self, call, x):
        split, order = self._split(call.attributes, call.inputs[0].shape)
        return relay.reshape(relay.transpose(relay.reshape(x, split), order), call.output.shape)


class SpaceToDepth(DepthToSpace):
    """NHWC: blocks of pixels gathered into channels, those of one pixel together."""

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


class Pad(Operator):
    """Padding with a value, with the edge, or mirrored."""

    name = "pad"
    order = MOVED
    formula = MOVES
    rules = (
        Rule(
            "shape",
            INPUT,
            _check_pad,
            "Pad",
            "constant, edge and reflect; at most 6 axes; zeros before a convolution are its padding",
        ),
    )

    def patterns(self):
        return [is_op("nn.pad")(wildcard(), is_constant())]

    def parse(self, root):
        x = _int8(root.args[0])
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
        """The copy of the input, where it is one."""
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


def emit_gather(call, c, source, target, shape, indices: Sequence[np.ndarray], fill: int = 0) -> None:
    """esp_dl_gather_s8 with one table of indices per axis of `shape` (none where it is the identity)."""
    same = [np.array_equal(index, np.arange(size)) for index, size in zip(indices, shape)]
    rank = len(shape)
    while rank > 1 and same[rank - 1]:
        rank -= 1
    block = int(np.prod(shape[rank:], dtype=np.int64))
    tables = []
    for axis in range(rank):
        if same[axis]:
            tables.append("0")
        else:
            table = np.asarray(indices[axis], np.int32)
            tables.append(c.constant(f"index{axis}", table, f"where places of axis {axis} come from"))
    parameters = c.struct(
        "esp_dl_gather_t",
        rank=rank,
        shape=[len(index) for index in indices[:rank]],
        step=steps_of(shape)[:rank],
        index=tables,
        block=block,
        fill=fill,
    )
    c.call("esp_dl_gather_s8", source, parameters, target)


class Gather(Operator):
    """Slices along one axis, numbered by constants."""

    name = "gather"
    order = MOVED
    formula = MOVES
    rules = (Rule("shape", INPUT, constant_parameters, "Gather", "indices constant"),)
    also = "GRU LSTM"

    def patterns(self):
        return [is_op("take")(wildcard(), is_constant())]

    def parse(self, root):
        x = _int8(root.args[0])
        if root.attrs.axis is None:
            raise Refusal("it takes from the flattened tensor")
        axis = int(root.attrs.axis) % len(x.shape)
        indices = root.args[1].data.numpy().astype(np.int64)
        if indices.size and (indices.min() < -x.shape[axis] or indices.max() >= x.shape[axis]):
            raise Refusal(f"an index lies outside axis {axis} of size {x.shape[axis]}")
        if int(root.attrs.batch_dims) != 0:
            raise Refusal("it has batch axes")
        return Parsed([x], Operand(root, x.dtype), {"indices": indices, "axis": axis})

    def reference(self, call, x):
        a = call.attributes
        size = call.inputs[0].shape[a["axis"]]
        indices = np.where(a["indices"] < 0, a["indices"] + size, a["indices"])
        return relay.take(x, relay.const(indices), axis=a["axis"])

    def emit(self, call, c, inputs, output):
        a, x = call.attributes, call.inputs[0].shape
        axis = a["axis"]
        outer, inner = (int(np.prod(part, dtype=np.int64)) for part in (x[:axis], x[axis + 1 :]))
        flat = a["indices"].reshape(-1)
        index = np.where(flat < 0, flat + x[axis], flat)
        shape = (outer, x[axis], inner)
        emit_gather(call, c, inputs[0], output, shape, [np.arange(outer), index, np.arange(inner)])


class GatherRows(Operator):
    """GatherND and ReverseSequence with constant indices: rows of the leading axes."""

    name = "gather_rows"
    order = MOVED
    formula = MOVES
    rules = (
        Rule("shape", INPUT, constant_parameters, "GatherND", "indices constant, no batch axes"),
        Rule("shape", INPUT, constant_parameters, "ReverseSequence", "lengths constant"),
    )

    def patterns(self):
        return [is_op("gather_nd")(wildcard(), is_constant()), is_op("reverse_sequence")(wildcard(), is_constant())]

    def parse(self, root):
        x = _int8(root.args[0])
        output = Operand(root, x.dtype)
        indices = root.args[1].data.numpy().astype(np.int64)
        if root.op.name == "gather_nd":
            depth, batch = indices.shape[0], int(root.attrs.batch_dims)
            if batch:
                raise Refusal("it has batch axes")
            leading = x.shape[:depth]
            indices = [np.where(i < 0, i + size, i) for i, size in zip(indices, leading)]
            if any(np.any((i < 0) | (i >= size)) for i, size in zip(indices, leading)):
                raise Refusal("an index lies outside its axis")
            rows = np.ravel_multi_index(indices, leading).reshape(-1)
        else:
            time, batch = int(root.attrs.seq_axis) % len(x.shape), int(root.attrs.batch_axis) % len(x.shape)
            depth = max(time, batch) + 1
            if sorted((time, batch)) != [0, 1]:
                raise Refusal("its time and batch axes are not the first two")
            rows = np.arange(x.shape[0] * x.shape[1]).reshape(x.shape[:2])
            by_batch = rows if batch == 0 else rows.T
            for sequence, length in zip(by_batch, indices):
                sequence[:length] = sequence[:length][::-1].copy()
            rows = rows.reshape(-1)
        inner = int(np.prod(x.shape[depth:], dtype=np.int64))
        return Parsed([x], output, {"rows": rows, "inner": inner, "shape": output.shape})

    def reference(self, call, x):
        a = call.attributes
        return relay.reshape(relay.take(relay.reshape(x, [-1, a["inner"]]), relay.const(a["rows"]), axis=0), a["shape"])

    def emit(self, call, c, inputs, output):
        a = call.attributes
        shape = (call.inputs[0].elements // a["inner"], a["inner"])
        emit_gather(call, c, inputs[0], output, shape, [a["rows"], np.arange(a["inner"])])


def _check_scatter(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if node.input[1] not in facts.constants:
        return "its indices are not constant"
    if any(name in facts.constants for name in (node.input[0], node.input[2])):
        return "its data or its updates are constant"
    return None if attribute(node, "reduction", b"none") == b"none" else "it reduces"


class ScatterRows(Operator):
    """ScatterND with constant indices."""

    name = "scatter_rows"
    order = MOVED
    formula = MOVES
    rules = (Rule("shape", OWN, _check_scatter, "ScatterND", "indices constant, no reduction"),)
    # Only over x, never over the updates, and the plan knows no such difference.
    in_place = False

    def patterns(self):
        return [is_op("scatter_nd")(wildcard(), is_constant(), wildcard())]

    def parse(self, root):
        x, updates = _int8(root.args[0]), _int8(root.args[2])
        if str(root.attrs.mode) != "update":
            raise Refusal(f"its mode is {root.attrs.mode}")
        indices = root.args[1].data.numpy().astype(np.int64)
        depth = indices.shape[0]
        leading = x.shape[:depth]
        indices = [np.where(i < 0, i + size, i) for i, size in zip(indices, leading)]
        if any(np.any((i < 0) | (i >= size)) for i, size in zip(indices, leading)):
            raise Refusal("an index lies outside its axis")
        rows = np.ravel_multi_index(indices, leading).reshape(-1)
        inner = int(np.prod(x.shape[depth:], dtype=np.int64))
        return Parsed([x, updates], Operand(root, x.dtype), {"rows": rows, "inner": inner})

    def reference(self, call, x, updates):
        a = call.attributes
        rows = a["rows"]
        # The last update of a row counts: where each row of the result comes from is known beforehand.
        count = call.inputs[0].elements // a["inner"]
        source = np.arange(count)
        source[rows] = count + np.arange(len(rows))
        both = relay.concatenate([relay.reshape(x, [-1, a["inner"]]), relay.reshape(updates, [-1, a["inner"]])], 0)
        return relay.reshape(relay.take(both, relay.const(source), axis=0), call.output.shape)

    def emit(self, call, c, inputs, output):
        a = call.attributes
        parameters = c.struct(
            "esp_dl_scatter_t",
            size=call.output.bytes,
            count=len(a["rows"]),
            inner=a["inner"],
            rows=c.constant("rows", a["rows"].astype(np.int32), "the row that each update replaces"),
        )
        c.call("esp_dl_scatter_s8", inputs[0], inputs[1], parameters, output)


class Concat(Operator):
    """Tensors of one exponent, one behind another; found by `sources`, not by a pattern."""

    name = "concat"
    order = MOVED
    formula = MOVES
    rules = (Rule("shape", OWN, None, "Concat", "any number; inputs of another exponent are requantized"),)
    also = "GRU LSTM"

    def patterns(self):
        return []

    def sources(self, root):
        if not is_call(root, "concatenate") or not isinstance(root.args[0], relay.Tuple):
            return None
        fields = list(root.args[0].fields)
        if any(isinstance(field, relay.Constant) or field.checked_type.dtype != "int8" for field in fields):
            return None
        return fields

    def parse(self, root):
        fields = list(root.args[0].fields)
        inputs = [_int8(field) for field in fields]
        rank = len(inputs[0].shape)
        return Parsed(inputs, Operand(root, "int8"), {"axis": int(root.attrs.axis) % rank})

    def reference(self, call, *inputs):
        return relay.concatenate(list(inputs), axis=call.attributes["axis"])

    @staticmethod
    def copies(call) -> List[dict]:
        """The copy of every input."""
        axis, steps = call.attributes["axis"], steps_of(call.output.shape)
        place, found = 0, []
        for tensor in call.inputs:
            found.append(copy_fields(tensor.shape, steps_of(tensor.shape), steps, (0, place * steps[axis])))
            place += tensor.shape[axis]
        return found

    def emit(self, call, c, inputs, output):
        for number, (fields, name) in enumerate(zip(self.copies(call), inputs)):
            parameters = c.struct("esp_dl_copy_t", struct_name=f"part{number}", **fields)
            c.call("esp_dl_copy", name, parameters, output)
