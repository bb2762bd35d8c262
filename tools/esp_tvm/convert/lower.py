"""Newer ONNX (opset 18 to 28, IR 9 and up) into opset 17 and IR 8, which the pinned onnx 1.12 and ONNX Runtime read.

Exporters write new opsets even if the model does not need them: most operators only gained element types since opset
17. All other changes are in the tables below, taken from the operators' schemas in onnx 1.23. Nothing is approximated:
a node either has the same meaning afterwards, or it is refused by name.
"""

from __future__ import annotations

from functools import partial
from typing import Callable, Dict, Iterable, List, NoReturn, Optional

import numpy as np
import onnx
from onnx import TensorProto

from ..errors import UserError
from ..naming import one_line, shown
from ..onnx_graph import (
    STANDARD_DOMAINS,
    Chain,
    Graph,
    attribute,
    attributes,
    copied,
    copied_node,
    drop_attributes,
    inferred_values,
    is_standard,
    set_attributes,
)
from .attention import spelled_out
from .newer import (
    antialiased_resize,
    column_to_image,
    dilated_average_pool,
    rotary_embedding,
    scattered_extremes,
)

TARGET_OPSET, TARGET_IR = 17, 8
# The last opset whose changes are in the tables.
NEWEST_OPSET = 28
EXPORT_LINE = "torch.onnx.export(..., dynamo=False, opset_version=17), tf2onnx --opset 13, skl2onnx target_opset=13"

# Attributes added after opset 17: with this value (None: if not given) the node means the same as in opset 17.
_ADDED: Dict[str, Dict[str, object]] = {
    "Cast": {"saturate": 1, "round_mode": "up"},
    "CastLike": {"saturate": 1, "round_mode": "up"},
    "DequantizeLinear": {"block_size": 0, "output_dtype": 0},
    "LpPool": {"ceil_mode": 0, "dilations": None},
    "QuantizeLinear": {"saturate": 1, "block_size": 0, "output_dtype": 0, "precision": 0},
    "Range": {"stash_type": 1},
    "Resize": {"keep_aspect_ratio_policy": "stretch"},
    "SpaceToDepth": {"mode": "DCR"},
}
# Values that an attribute may have only after opset 17.
_NEW_VALUES: Dict[str, Dict[str, tuple]] = {
    "Resize": {"coordinate_transformation_mode": ("half_pixel_symmetric",)},
}
_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
_REWRITTEN_ATTRIBUTES = {"OptionalHasElement"}
# GridSample's modes have had names for any number of axes since opset 20.
_GRID_MODES = {None: "bilinear", "linear": "bilinear", "cubic": "bicubic"}


def lower(model: onnx.ModelProto, path) -> None:
    """Bring `model`, of an opset from 18 to `NEWEST_OPSET` or of a new IR, to opset 17 and IR 8, in place.

    Raises a `UserError` that names the node without an equivalent in opset 17. External data must have been loaded.
    """
    opset = max((entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS), default=0)
    if opset > NEWEST_OPSET:
        raise UserError(
            f"{path}: opset {opset} is newer than what is known here ({NEWEST_OPSET}); export again: {EXPORT_LINE}"
        )
    # IR 9 and later only added information for other tools; new element types are refused elsewhere.
    model.DiscardUnknownFields()
    # Older ones than 4 demand that constants are inputs too.
    model.ir_version = min(max(model.ir_version, 4), TARGET_IR)
    if opset <= TARGET_OPSET:
        return
    _Lowering(model, path, opset).run()
    for entry in model.opset_import:
        if entry.domain in STANDARD_DOMAINS:
            entry.version = TARGET_OPSET


class _Lowering:
    def __init__(self, model: onnx.ModelProto, path, opset: int):
        self.model, self.path, self.opset = model, path, opset
        self.graph = Graph(model)
        graph = model.graph
        self.values = {value.name: value for value in [*graph.input, *graph.value_info, *graph.output]}

    def run(self) -> None:
        rules: Dict[str, Callable[[onnx.NodeProto], List[onnx.NodeProto]]] = {
            "Attention": self.attention,
            "AveragePool": self.average_pool,
            "Col2Im": partial(column_to_image, self),
            "DFT": self.dft,
            "Gelu": self.gelu,
            "GridSample": self.grid_sample,
            "GroupNormalization": self.group_normalization,
            "Mish": self.mish,
            "Pad": self.pad,
            "RMSNormalization": self.rms_normalization,
            "Resize": self.resize,
            "RotaryEmbedding": partial(rotary_embedding, self),
            "ScatterElements": partial(scattered_extremes, self),
            "ScatterND": partial(scattered_extremes, self),
            "Split": self.split,
            "Swish": self.swish,
            **{f"Reduce{kind}": self.reduce for kind in _REDUCTIONS},
        }
        for node in self.graph.nodes:
            if not is_standard(node):
                continue
            for name, values in _NEW_VALUES.get(node.op_type, {}).items():
                value = _attribute(node, name)
                if value in values:
                    self.refuse(node, f"with {name}='{value}'")
            for name, neutral in _ADDED.get(node.op_type, {}).items():
                self.drop(node, name, neutral)
            if node.op_type in rules:
                self.graph.replace(node, *self.lowered(node, rules[node.op_type]))
            elif node.op_type in _REWRITTEN_ATTRIBUTES:
                self.refuse(node, f"as it is in opset {self.opset}")
            elif not onnx.defs.has(node.op_type):
                self.refuse(node)
        self.graph.write()

    def lowered(self, node: onnx.NodeProto, rule: Callable) -> List[onnx.NodeProto]:
        """What `rule` makes of a node. No checker of the pinned onnx knows its opset: it may lack inputs, outputs or
        attributes, or have them of another type or size."""
        try:
            return rule(copied_node(node))
        except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError) as error:
            self.refuse_damaged(node, one_line(f"its inputs, outputs or attributes are not this operator's ({error})"))

    # --- helpers ---

    def refuse_damaged(self, node: onnx.NodeProto, what: str) -> NoReturn:
        raise UserError(
            f"{self.path}: opset {self.opset}: node '{_name(node)}' ({shown(node.op_type)}): {what}; correct the "
            "model and export it again"
        )

    def axes_of(self, node: onnx.NodeProto, given: Iterable[int], rank: int) -> List[int]:
        """`given` counted from the start; each must be one of `rank` axes, and named once."""
        given = [int(axis) for axis in given]
        counted = [axis + rank if axis < 0 else axis for axis in given]
        if len(set(counted)) < len(counted) or not all(0 <= axis < rank for axis in counted):
            self.refuse_damaged(node, f"axes {shown(str(given))} of a tensor of {rank} axes")
        return counted

    def refuse(self, node: onnx.NodeProto, how: str = "") -> NoReturn:
        raise UserError(
            f"{self.path}: opset {self.opset}: node '{_name(node)}' ({shown(node.op_type)}){how and ' ' + how}"
            f" has no equal in opset {TARGET_OPSET}, the newest that is read; export again: {EXPORT_LINE}"
        )

    def drop(self, node: onnx.NodeProto, name: str, neutral) -> None:
        """Remove an attribute that has its neutral value."""
        value = _attribute(node, name)
        if value is not None and value != neutral:
            self.refuse(node, f"with the attribute '{name}'")
        drop_attributes(node, name)

    def constant(self, node: onnx.NodeProto, index: int) -> Optional[np.ndarray]:
        """The value of an input; None if it is omitted."""
        name = node.input[index] if len(node.input) > index else ""
        if not name:
            return None
        if name not in self.graph.constants:
            self.refuse(node, "with an input that is computed in the model")
        return self.graph.constants[name]

    def shape_of(self, node: onnx.NodeProto, name: str) -> List[int]:
        """`known_shape`, which there has to be."""
        shape = self.known_shape(name)
        if shape is None:
            self.refuse(node, "of a tensor whose shape is not declared")
        return shape

    def known_shape(self, name: str) -> Optional[List[int]]:
        """The sizes of a tensor, 0 for an unknown size: as declared, otherwise inferred from the nodes lowered so
        far; None if nothing is known."""
        if not self.is_known(name):
            part = copied(self.model)
            del part.graph.node[:]
            part.graph.node.extend(self.graph.nodes)
            for entry in part.opset_import:
                entry.version = min(entry.version, TARGET_OPSET) if entry.domain in STANDARD_DOMAINS else entry.version
            self.values.update(inferred_values(part))
        if not self.is_known(name):
            return None
        return [dim.dim_value for dim in self.values[name].type.tensor_type.shape.dim]

    def is_known(self, name: str) -> bool:
        return name in self.values and self.values[name].type.tensor_type.HasField("shape")

    # --- operators ---

    def reduce(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """Axes were an attribute."""
        axes = self.constant(node, 1)
        noop = _attribute(node, "noop_with_empty_axes") or 0
        drop_attributes(node, "noop_with_empty_axes")
        del node.input[1:]
        if axes is not None and axes.size:
            set_attributes(node, axes=[int(axis) for axis in axes.ravel()])
        elif noop:
            if node.op_type not in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd"):
                self.refuse(node, "without axes")
            node.op_type = "Identity"
            drop_attributes(node, "keepdims")
        return [node]

    def attention(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        return spelled_out(self.graph, node, self.shape_of, self.is_bool, self.refuse)

    def is_bool(self, name: str) -> bool:
        if name in self.graph.constants:
            return self.graph.constants[name].dtype == np.bool_
        return name in self.values and self.values[name].type.tensor_type.elem_type == TensorProto.BOOL

    def average_pool(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        if any(size != 1 for size in _attribute(node, "dilations") or ()):
            return dilated_average_pool(self, node)
        drop_attributes(node, "dilations")
        return [node]

    def dft(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """Since opset 20 the axis is an input, by default the last but one."""
        if self.opset < 20:
            return [node]
        axis, rank = self.constant(node, 2), len(self.shape_of(node, node.input[0]))
        counted = self.axes_of(node, [-2 if axis is None else axis.ravel()[0]], rank)
        del node.input[2:]
        set_attributes(node, axis=counted[0])
        return [node]

    def split(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """Without num_outputs it splits evenly; where the last part is smaller, sizes are written down."""
        count, even = _attribute(node, "num_outputs"), len(node.input) < 2 or not node.input[1]
        drop_attributes(node, "num_outputs")
        shape = self.known_shape(node.input[0]) if count and even else None
        if shape is None:
            return [node]
        size = shape[self.axes_of(node, [_attribute(node, "axis") or 0], len(shape))[0]]
        if size % count:
            most = -(-size // count)
            if most * (count - 1) >= size:
                self.refuse_damaged(node, f"num_outputs {count} of an axis of {size}")
            sizes = np.array([most] * (count - 1) + [size - most * (count - 1)], np.int64)
            node.input[:] = [node.input[0], self.graph.add_constant(f"{node.output[0]}_sizes", sizes)]
        return [node]

    def pad(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """Pads of some axes were pads of all; mode wrap did not exist."""
        axes = self.constant(node, 3)
        if axes is None:
            del node.input[3:]
            return self.pad_of_all_axes(node)
        pads, rank = self.constant(node, 1), len(self.shape_of(node, node.input[0]))
        whole, counted = np.zeros((2, rank), np.int64), self.axes_of(node, axes.ravel(), rank)
        if pads is None or pads.size != 2 * len(counted):
            self.refuse_damaged(node, f"it has {0 if pads is None else pads.size} pads for {len(counted)} axes")
        whole[:, counted] = pads.reshape(2, -1)
        node.input[1] = self.graph.add_constant(f"{node.output[0]}_pads", whole.ravel())
        del node.input[3:]
        if node.input[-1] == "":
            del node.input[-1]
        return self.pad_of_all_axes(node)

    def pad_of_all_axes(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """With mode wrap the end of each axis is put before it, and its beginning behind it."""
        if _attribute(node, "mode") != "wrap":
            return [node]
        pads, shape = self.constant(node, 1), self.shape_of(node, node.input[0])
        if pads is None or pads.size != 2 * len(shape):
            self.refuse_damaged(node, f"it has {0 if pads is None else pads.size} pads for {len(shape)} axes")
        chain, name = Chain(self.graph, node), node.input[0]
        for axis, (size, before, after) in enumerate(zip(shape, *pads.reshape(2, -1).tolist())):
            if min(before, after) < 0 or max(before, after) > max(size, 0):
                self.refuse(node, f"with mode='wrap' and pads {before}, {after} of an axis of {size or 'free size'}")
            ends = [(size - before, size), None, (0, after)]
            parts = [
                name if end is None else chain.add("Slice", name, *map(chain.integers, ([end[0]], [end[1]], [axis])))
                for end in ends
                if end is None or end[0] < end[1]
            ]
            name = chain.add("Concat", *parts, axis=axis) if len(parts) > 1 else name
        return chain.end("Identity", name)

    def grid_sample(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """Of images: the same with other names of the modes; of volumes it did not exist."""
        if self.opset < 20:
            return [node]
        if len(self.shape_of(node, node.input[0])) != 4:
            self.refuse(node, "of other tensors than images")
        mode = _attribute(node, "mode")
        set_attributes(node, mode=_GRID_MODES.get(mode, mode))
        return [node]

    def resize(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """Scales or sizes of some axes were those of all."""
        if _attribute(node, "antialias") and _attribute(node, "mode") in ("linear", "cubic"):
            return antialiased_resize(self, node)
        drop_attributes(node, "antialias")
        axes = _attribute(node, "axes")
        drop_attributes(node, "axes")
        if axes is None:
            return [node]
        if _attribute(node, "coordinate_transformation_mode") == "tf_crop_and_resize":
            self.refuse(node, "with axes of a part that is cut out")
        shape = self.shape_of(node, node.input[0])
        names, counted = [node.input[0], "", "", ""], self.axes_of(node, axes, len(shape))
        for place, whole in ((2, np.ones(len(shape), np.float32)), (3, np.array(shape, np.int64))):
            given = self.constant(node, place)
            if given is None or not given.size:
                continue
            if given.size != len(counted):
                self.refuse_damaged(node, f"it has {given.size} sizes or scales for {len(counted)} axes")
            whole[counted] = given.ravel()
            if whole[counted].min() <= 0:
                self.refuse_damaged(node, "it has sizes or scales that are not above 0")
            if whole.min() <= 0:
                return self.resize_with_free_axes(node, whole)
            names[place] = self.graph.add_constant(f"{node.output[0]}_{'scales' if place == 2 else 'sizes'}", whole)
        node.input[:] = names if names[3] else names[:3]
        return [node]

    def resize_with_free_axes(self, node: onnx.NodeProto, sizes: np.ndarray) -> List[onnx.NodeProto]:
        """The same where axes that are not resized (0 in `sizes`) are free: their sizes are read from the input."""
        chain, x = Chain(self.graph, node), node.input[0]
        shape = chain.add("Shape", x)
        parts = [
            chain.integers([size]) if size > 0 else chain.add("Gather", shape, chain.integers([axis]), axis=0)
            for axis, size in enumerate(sizes.tolist())
        ]
        return chain.end("Resize", x, "", "", chain.add("Concat", *parts, axis=0), **attributes(node))

    def gelu(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """x (1 + erf(x / sqrt 2)) / 2, or with approximate="tanh" x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2."""
        x = node.input[0]
        chain = Chain(self.graph, node)
        if (_attribute(node, "approximate") or "none") == "tanh":
            cube = chain.add("Mul", chain.add("Mul", x, x), x)
            inner = chain.add("Add", x, chain.add("Mul", cube, chain.constant(0.044715)))
            shaped = chain.add("Tanh", chain.add("Mul", inner, chain.constant(np.sqrt(2 / np.pi))))
        else:
            shaped = chain.add("Erf", chain.add("Mul", x, chain.constant(np.sqrt(0.5))))
        half = chain.add("Mul", x, chain.constant(0.5))
        return chain.end("Mul", half, chain.add("Add", shaped, chain.constant(1)))

    def mish(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """x tanh(log(1 + e^x))."""
        chain = Chain(self.graph, node)
        x = node.input[0]
        return chain.end("Mul", x, chain.add("Tanh", chain.add("Softplus", x)))

    def swish(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """x sigmoid(alpha x)."""
        chain = Chain(self.graph, node)
        x = node.input[0]
        alpha = _attribute(node, "alpha")
        scaled = x if alpha in (None, 1.0) else chain.add("Mul", x, chain.constant(alpha))
        return chain.end("Mul", x, chain.add("Sigmoid", scaled))

    def rms_normalization(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """x / sqrt(mean(x^2) + epsilon) scale, over all axes from `axis` on."""
        if (_attribute(node, "stash_type") or 1) != TensorProto.FLOAT:
            self.refuse(node, "with a stash_type other than float32")
        x, scale = node.input[:2]
        axis = _attribute(node, "axis")
        axes = [-1]
        if axis not in (None, -1):
            rank = len(self.shape_of(node, x))
            axes = list(range(self.axes_of(node, [axis], rank)[0], rank))
        epsilon = _attribute(node, "epsilon")
        chain = Chain(self.graph, node)
        mean = chain.add("ReduceMean", chain.add("Mul", x, x), axes=axes)
        root = chain.add("Sqrt", chain.add("Add", mean, chain.constant(1e-5 if epsilon is None else epsilon)))
        return chain.end("Mul", chain.add("Div", x, root), scale)

    def group_normalization(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """Instance normalization of the groups as channels; scale and bias per group (opset 18) or channel (21)."""
        if (_attribute(node, "stash_type") or 1) != TensorProto.FLOAT:
            self.refuse(node, "with a stash_type other than float32")
        sizes, groups = self.shape_of(node, node.input[0]), _attribute(node, "num_groups")
        rank = len(sizes)
        if groups < 1 or sizes[1] % groups:
            self.refuse_damaged(node, f"num_groups {groups} of {sizes[1]} channels")
        scale, bias = self.constant(node, 1), self.constant(node, 2)
        epsilon = _attribute(node, "epsilon")
        chain = Chain(self.graph, node)
        ones, zeros = chain.constant(np.ones(groups, np.float32)), chain.constant(np.zeros(groups, np.float32))
        per_group = self.opset < 21
        inner = [chain.constant(scale), chain.constant(bias)] if per_group else [ones, zeros]
        grouped = chain.add("Reshape", node.input[0], chain.integers([0, groups, -1]))
        normal = chain.add("InstanceNormalization", grouped, *inner, epsilon=1e-5 if epsilon is None else epsilon)
        shape = chain.add("Shape", node.input[0])
        if per_group:
            return chain.end("Reshape", normal, shape)
        along = [-1] + [1] * (rank - 2)
        scaled = chain.add("Mul", chain.add("Reshape", normal, shape), chain.constant(scale.reshape(along)))
        return chain.end("Add", scaled, chain.constant(bias.reshape(along)))


def _name(node: onnx.NodeProto) -> str:
    """What a node is called, or its first result where it has no name."""
    return shown(node.name or next(iter(node.output), ""))


def _attribute(node: onnx.NodeProto, name: str):
    value = attribute(node, name)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def is_new_element(element: int) -> bool:
    """True for the element types added after IR 8 (float8, int4, float4 ...)."""
    return element > TensorProto.BFLOAT16
