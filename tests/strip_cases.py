"""Random programs of layers over rows of an image, and random loops through them."""

from __future__ import annotations

from typing import List, Optional, Set

import numpy as np
from kernel_case import filled
from variant_cases import CLAMPS, _requantized, _weights, _window

from esp_tvm.compile.planning.loops import fits_strips
from esp_tvm.compile.planning.reaches import can_be_together, height_of, reach_of
from esp_tvm.compile.planning.strips import make_loop
from esp_tvm.operators import OPERATORS
from esp_tvm.operators.resize import interpolation, nearest_indices
from esp_tvm.program import Call, Place, Port, Program, Tensor


class RandomProgram:
    """Layers one after the other, with branches that meet again; `program` has an int8 input; some tensors are int16.

    wide: channels in sixteens, so that kernels for the vector unit fit; large: so much work that two cores pay
    """

    def __init__(self, seed: int, wide: bool = False, large: bool = False):
        self.random = np.random.RandomState(seed)
        self.channels = [16, 32] if wide else [1, 3, 4, 8, 12]
        self.calls: List[Call] = []
        height, width = int(self.random.randint(5, 24)), int(self.random.randint(2, 10))
        shape = (1, height * (3 if large else 1), width * (6 if large else 1), self._channels())
        port = Port("x", shape, "int8", 0, None, Place("input"), c_name="x", inside="int8")
        self.tensors: List[Tensor] = [port]
        while len(self.calls) < self.random.randint(3, 10):
            self._layer()
        self.program = Program([port], self._outputs(), list(self.calls), model_hash="0" * 64)

    def _channels(self) -> int:
        return int(self.random.choice(self.channels))

    def _outputs(self) -> List[Port]:
        """The last tensor, and at times another one besides."""
        ends = [self.calls[-1]]
        if self.random.randint(3) == 0:
            ends.append(self.calls[self.random.randint(len(self.calls))])
        ports = []
        for index, call in enumerate(dict.fromkeys(ends)):
            old = call.outputs[0]
            port = Port(f"y{index}", old.shape, old.dtype, 0, None, Place("output", index=index), c_name=f"y{index}")
            port.inside = old.dtype
            call.outputs[0] = port
            for other in self.calls:
                other.inputs = [port if x is old else x for x in other.inputs]
            ports.append(port)
        return ports

    def _layer(self) -> None:
        # The last tensor mostly; an earlier one makes a branch.
        x = self.tensors[-1] if self.random.randint(4) else self.tensors[self.random.randint(len(self.tensors))]
        kinds = ["max_pool2d", "average_pool2d", "global_average", "strided_slice", "requantize", "to_int16"]
        known = [one for one in self.tensors if one.dtype == x.dtype]
        alike = [one for one in known if one.shape == x.shape and one is not x]
        beside = [one for one in known if one.shape[:3] == x.shape[:3]]
        factors = [one for one in known if one.shape == (1, 1, 1, x.shape[3]) and x.shape[1] > 1]
        if x.dtype == "int8":
            kinds += ["conv2d"] * 3 + ["depthwise_conv2d"] * 2 + ["lookup", "channelwise"]
            kinds += ["resize_nearest", "resize_linear"] * (x.shape[1] <= 24)
            kinds += ["add"] * 6 * bool(alike) + ["mul"] * bool(alike) + ["mul_broadcast"] * 6 * bool(factors)
        if len(beside) > 1:
            kinds.append("concat")
        kind = str(self.random.choice(kinds))
        if kind in ("add", "mul"):
            self._pair(kind, x, alike[self.random.randint(len(alike))])
        elif kind == "concat":
            self._append(kind, [x, beside[self.random.randint(len(beside))]], None, {"axis": 3})
        elif kind == "mul_broadcast":
            self._scale(x, factors[self.random.randint(len(factors))])
        elif kind in ("to_int16", "requantize") and "int16" in (x.dtype, kind[3:]):
            attributes = {"shift": int(self.random.randint(-8, 9)), "clamp": self._clamp()}
            self._append("requantize_s16", [x], x.shape, attributes, kind[3:] if kind == "to_int16" else "int8")
        elif kind in ("requantize", "lookup", "channelwise"):
            self._single(kind, x)
        elif kind in ("resize_nearest", "resize_linear"):
            self._resize(kind, x)
        elif kind == "global_average":
            self._average(x)
        elif kind == "strided_slice":
            self._slice(x)
        else:
            self._window(kind, x)

    def _append(
        self, operator: str, inputs: List[Tensor], shape: Optional[tuple], attributes: dict, dtype: str = ""
    ) -> None:
        number = len(self.calls)
        dtype = dtype or inputs[0].dtype
        if "int16" in (dtype, inputs[0].dtype) and operator not in ("concat", "strided_slice"):
            operator += "_s16" * (not operator.endswith("_s16"))
            attributes["output"] = dtype
            if dtype == "int16":
                attributes["clamp"] = tuple(256 * one for one in attributes["clamp"])
        if shape is None:
            shape = (*inputs[0].shape[:3], sum(x.shape[3] for x in inputs))
        # As long as frameworks make them.
        output = Tensor(f"model/block_{number}/batch_normalization/FusedBatchNorm:0", shape, dtype, 0)
        self.tensors.append(output)
        symbol = f"tvmgen_default_esp_main_{number}"
        call = Call(symbol, operator, inputs, [output], attributes, index=number, nodes=[f"Node n{number}"])
        call.macs = OPERATORS[operator].macs(call)
        self.calls.append(call)

    def _clamp(self) -> tuple:
        return CLAMPS[self.random.randint(len(CLAMPS))]

    def _pair(self, kind: str, a: Tensor, b: Tensor) -> None:
        attributes = {"shift": int(self.random.randint(0, 4)), "clamp": self._clamp()}
        if kind == "add":
            attributes.update(shift_a=int(self.random.randint(0, 3)), shift_b=int(self.random.randint(0, 3)))
        self._append(kind, [a, b], a.shape, attributes)

    def _single(self, kind: str, x: Tensor) -> None:
        if kind == "requantize":
            attributes = {"shift": int(self.random.randint(-1, 3)), "clamp": self._clamp()}
        elif kind == "lookup":
            attributes = {"table": self.random.randint(-128, 128, 256).astype(np.int8)}
        else:
            channels = x.shape[3]
            attributes = {
                "multiplier": self.random.randint(-128, 128, channels).astype(np.int8),
                "bias": self.random.randint(-3000, 3000, channels).astype(np.int32),
                "shift": self.random.randint(4, 8, channels).astype(np.int32),
                "axis": 3,
                "clamp": self._clamp(),
            }
        self._append(kind, [x], x.shape, attributes)

    def _slice(self, x: Tensor) -> None:
        """Some columns and channels, rarely rows."""
        step = self.random.choice(self.channels)
        begin, shape = [0] * 4, list(x.shape)
        for axis in (1, 2) if self.random.randint(4) == 0 else (2,):
            begin[axis] = int(self.random.randint(0, shape[axis]))
            shape[axis] -= begin[axis]
        if shape[3] > step:
            begin[3] = int(step * self.random.randint(0, shape[3] // step))
            shape[3] = step
        self._append("strided_slice", [x], tuple(map(int, shape)), {"begin": begin, "steps": [1] * 4, "shape": shape})

    def _resize(self, kind: str, x: Tensor) -> None:
        """To any size, most often to twice as many rows."""
        modes = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
        mode, rounding = self.random.choice(modes), self.random.choice(["floor", "ceil", "round_prefer_floor"])
        tables, shape = [], []
        for size in x.shape[1:3]:
            output = size * 2 if self.random.randint(2) else int(self.random.randint(1, size * 2 + 3))
            shape.append(output)
            linear = kind == "resize_linear"
            tables.append(
                interpolation(size, output, mode) if linear else nearest_indices(size, output, mode, rounding)
            )
        attributes = dict(zip(("rows", "columns"), tables))
        if kind == "resize_linear":
            attributes.update(shift=int(self.random.randint(-1, 2)), clamp=self._clamp())
        self._append(kind, [x], (1, *shape, x.shape[3]), attributes)

    def _scale(self, x: Tensor, factor: Tensor) -> None:
        """A factor a channel, before or behind the image."""
        attributes = {"shift": int(self.random.randint(0, 4)), "clamp": self._clamp()}
        self._append("mul_broadcast", [x, factor][:: self.random.choice([1, -1])], x.shape, attributes)

    def _average(self, x: Tensor) -> None:
        """Of the whole image, which may then be scaled by it."""
        attributes = {"kernel": x.shape[1:3], "output_size": (1, 1), "clamp": self._clamp(), "count_include_pad": False}
        attributes.update(strides=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), shift=int(self.random.randint(-2, 3)))
        output = str(self.random.choice(["int8", "int16"])) if x.dtype == "int16" else "int8"
        self._append("average_pool2d", [x], (1, 1, 1, x.shape[3]), attributes, output)
        if x.dtype == "int8" and x.shape[1] > 1 and self.random.randint(2):
            self._scale(x, self.tensors[-1])

    def _window(self, kind: str, x: Tensor) -> None:
        random = self.random
        for _ in range(20):
            kernel = tuple(int(v) for v in random.choice([1, 1, 2, 3, 3, 3, 5], 2))
            if kind == "depthwise_conv2d" and random.randint(3):
                kernel = (3, 3)
            strides = tuple(int(v) for v in random.choice([1, 1, 1, 2, 3], 2))
            dilation = (1, 1) if random.randint(4) else tuple(int(v) for v in random.randint(1, 3, 2))
            reach = [(size - 1) * step for size, step in zip(kernel, dilation)]
            most = [min(one, 2) for one in reach] if kind.endswith("pool2d") else [2, 2]
            padding = tuple(int(random.randint(0, one + 1)) for one in most * 2)
            if kind.endswith("pool2d"):
                padding = tuple(min(p, (k - 1)) for p, k in zip(padding, kernel * 2))
            shape = _window(random, x.shape[1:3], kernel, dilation, strides, padding)
            if shape is not None:
                break
        else:
            return
        outputs = x.shape[3]
        if kind.endswith("conv2d"):
            outputs = self._channels() if kind == "conv2d" else outputs
            shape_of = (*kernel, outputs) if kind == "depthwise_conv2d" else (outputs, *kernel, x.shape[3])
            attributes = _requantized(random, _weights(random, shape_of), 2 if kind == "depthwise_conv2d" else 0)
            if kind == "conv2d":
                attributes["groups"] = 1
        else:
            attributes = {"kernel": kernel, "clamp": self._clamp(), "output_size": tuple(shape)}
            if kind == "average_pool2d":
                attributes.update(count_include_pad=False, shift=int(random.randint(-2, 3)))
        attributes.update(strides=strides, padding=padding, dilation=dilation)
        if kind.endswith("conv2d"):
            attributes = filled(attributes)
        alike = [one for one in self.tensors if one.shape == (1, *shape, outputs) and one.dtype == x.dtype == "int8"]
        if kind == "conv2d" and alike and random.randint(2):
            attributes["addend_shift"] = np.clip(attributes["shift"] + random.randint(-3, 2), 0, 22).astype(np.int32)
            self._append("conv2d_add", [x, alike[random.randint(len(alike))]], (1, *shape, outputs), attributes)
            return
        self._append(kind, [x], (1, *shape, outputs), attributes)


def force_loops(program: Program, random: np.random.RandomState) -> int:
    """Put random runs of calls into loops with strips of random height; how many loops there are then."""
    calls = list(program.calls())
    readers = program.readers()
    items, run, loops = [], [], 0
    for call in [*calls, None]:
        suits = call is not None and reach_of(call) is not None and height_of(call) > 1
        suits = suits and all(can_be_together(one, [call]) for one in run)
        if suits and random.randint(8):
            run.append(call)
            continue
        while run:
            count = int(random.randint(1, len(run) + 1))
            inner, run = run[:count], run[count:]
            loop = _loop(inner, readers, random) if count > 1 else None
            items += inner if loop is None else [loop]
            loops += loop is not None
        if call is not None:
            items.append(call)
    program.items = items
    return loops


def _loop(calls: List[Call], readers, random: np.random.RandomState):
    inside: Set[Call] = set(calls)
    made = [call.writes[0] for call in calls]
    whole = {x for x in made if x.place is not None or not readers.get(x) or set(readers[x]) - inside}
    first_leads = bool(random.randint(2))
    height = height_of(calls[0 if first_leads else -1])
    loop = make_loop(calls, int(random.randint(1, height + 1)), whole, first_leads)
    if all(fits_strips(call, call.variant) for call in calls):
        return loop
    for call in calls:
        call.strips = None
    return None
