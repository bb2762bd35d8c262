"""Newer ONNX (opset 18 to 28, IR 9 and up) into opset 17 and IR 8, which the pinned onnx 1.12 and ONNX Runtime read.

Exporters write new versions whatever the model needs: most operators only gained element types since opset 17. What
else changed is in the tables below, taken from the operators' schemas in onnx 1.23. Nothing is approximated: a node
either means the same afterwards, or it is refused by name.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..errors import UserError
from ..naming import shown

TARGET_OPSET, TARGET_IR = 17, 8
# The last opset whose changes are in the tables.
NEWEST_OPSET = 28
EXPORT_LINE = "torch.onnx.export(..., dynamo=False, opset_version=17), tf2onnx --opset 13, skl2onnx target_opset=13"

# Attributes that came after opset 17: at this value (None: none given) they mean what opset 17 does without them.
_ADDED: Dict[str, Dict[str, object]] = {
    "Cast": {"saturate": 1, "round_mode": "up"},
    "CastLike": {"saturate": 1, "round_mode": "up"},
    "DequantizeLinear": {"block_size": 0, "output_dtype": 0},
    "LpPool": {"ceil_mode": 0, "dilations": None},
    "QuantizeLinear": {"saturate": 1, "block_size": 0, "output_dtype": 0, "precision": 0},
    "Range": {"stash_type": 1},
    "Resize": {"axes": None, "keep_aspect_ratio_policy": "stretch", "antialias": 0},
    "SpaceToDepth": {"mode": "DCR"},
}
# Values that an attribute may have only after opset 17.
_NEW_VALUES: Dict[str, Dict[str, tuple]] = {
    "Pad": {"mode": ("wrap",)},
    "Resize": {"coordinate_transformation_mode": ("half_pixel_symmetric",)},
    "ScatterElements": {"reduction": ("max", "min")},
    "ScatterND": {"reduction": ("max", "min")},
}
_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
_REWRITTEN_ATTRIBUTES = {"DFT", "GridSample", "OptionalHasElement"}


def lower(model: onnx.ModelProto, path) -> None:
    """Bring `model`, of an opset from 18 to `NEWEST_OPSET` or of a new IR, to opset 17 and IR 8, in place.

    Raises `UserError` naming the node that has no equal in opset 17. External data must have been loaded.
    """
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset > NEWEST_OPSET:
        raise UserError(
            f"{path}: opset {opset} is newer than what is known here ({NEWEST_OPSET}); export again: {EXPORT_LINE}"
        )
    # What IR 9 and later added to the format is notes for other tools; new element types are refused elsewhere.
    model.DiscardUnknownFields()
    model.ir_version = min(model.ir_version, TARGET_IR)
    if opset <= TARGET_OPSET:
        return
    _Lowering(model, path, opset).run()
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = TARGET_OPSET


class _Lowering:
    def __init__(self, model: onnx.ModelProto, path, opset: int):
        self.graph, self.path, self.opset = model.graph, path, opset
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}
        for node in self.graph.node:
            if node.op_type == "Constant" and node.output:
                for attribute in node.attribute:
                    if attribute.name == "value":
                        self.constants[node.output[0]] = attribute.t
                    elif attribute.name in ("value_int", "value_ints"):
                        value = np.array(helper.get_attribute_value(attribute), np.int64)
                        self.constants[node.output[0]] = numpy_helper.from_array(value)
        values = [*self.graph.input, *self.graph.value_info, *self.graph.output]
        self.ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in values if v.type.tensor_type.HasField("shape")}
        self.taken = {name for node in self.graph.node for name in [*node.input, *node.output]}

    def run(self) -> None:
        rules: Dict[str, Callable[[onnx.NodeProto], List[onnx.NodeProto]]] = {
            "AveragePool": self.average_pool,
            "Gelu": self.gelu,
            "GroupNormalization": self.group_normalization,
            "Mish": self.mish,
            "Pad": self.pad,
            "RMSNormalization": self.rms_normalization,
            "Split": self.split,
            "Swish": self.swish,
            **{f"Reduce{kind}": self.reduce for kind in _REDUCTIONS},
        }
        nodes: List[onnx.NodeProto] = []
        for node in self.graph.node:
            if node.domain not in ("", "ai.onnx"):
                nodes.append(node)
                continue
            for name, values in _NEW_VALUES.get(node.op_type, {}).items():
                value = _attribute(node, name)
                if value in values:
                    self.refuse(node, f"with {name}='{value}'")
            for name, neutral in _ADDED.get(node.op_type, {}).items():
                self.drop(node, name, neutral)
            if node.op_type in rules:
                nodes.extend(rules[node.op_type](node))
            elif node.op_type in _REWRITTEN_ATTRIBUTES:
                self.refuse(node, f"as it is in opset {self.opset}")
            elif not onnx.defs.has(node.op_type):
                self.refuse(node)
            else:
                nodes.append(node)
        del self.graph.node[:]
        self.graph.node.extend(nodes)

    # --- helpers ---

    def refuse(self, node: onnx.NodeProto, how: str = "") -> None:
        raise UserError(
            f"{self.path}: opset {self.opset}: node '{shown(node.name)}' ({shown(node.op_type)}){how and ' ' + how}"
            f" has no equal in opset {TARGET_OPSET}, the newest that is read; export again: {EXPORT_LINE}"
        )

    def drop(self, node: onnx.NodeProto, name: str, neutral) -> None:
        """Remove an attribute that is at its neutral value."""
        for index, attribute in enumerate(node.attribute):
            if attribute.name == name:
                if _attribute(node, name) != neutral:
                    self.refuse(node, f"with the attribute '{name}'")
                del node.attribute[index]
                return

    def constant(self, node: onnx.NodeProto, index: int) -> Optional[np.ndarray]:
        """The value of an input; None where it is left out."""
        name = node.input[index] if len(node.input) > index else ""
        if not name:
            return None
        if name not in self.constants:
            self.refuse(node, "with an input that is computed in the model")
        return numpy_helper.to_array(self.constants[name])

    def rank_of(self, node: onnx.NodeProto, name: str) -> int:
        if name not in self.ranks:
            self.refuse(node, "of a tensor whose shape is not declared")
        return self.ranks[name]

    def new_name(self, base: str) -> str:
        name, count = base, 0
        while name in self.taken:
            name, count = f"{base}_{count}", count + 1
        self.taken.add(name)
        return name

    def add_constant(self, base: str, value: np.ndarray) -> str:
        name = self.new_name(base)
        self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    # --- operators ---

    def reduce(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """Axes were an attribute."""
        axes = self.constant(node, 1)
        noop = _attribute(node, "noop_with_empty_axes") or 0
        kept = [attribute for attribute in node.attribute if attribute.name == "keepdims"]
        del node.attribute[:]
        del node.input[1:]
        if axes is not None and axes.size:
            node.attribute.append(helper.make_attribute("axes", [int(axis) for axis in axes.ravel()]))
        elif noop:
            if node.op_type not in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd"):
                self.refuse(node, "without axes")
            node.op_type = "Identity"
            return [node]
        node.attribute.extend(kept)
        return [node]

    def average_pool(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        if any(size != 1 for size in _attribute(node, "dilations") or ()):
            self.refuse(node, "with dilations")
        kept = [attribute for attribute in node.attribute if attribute.name != "dilations"]
        del node.attribute[:]
        node.attribute.extend(kept)
        return [node]

    def split(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """Without num_outputs it splits evenly; what can't be split so is refused by ONNX's shape inference."""
        kept = [attribute for attribute in node.attribute if attribute.name != "num_outputs"]
        del node.attribute[:]
        node.attribute.extend(kept)
        return [node]

    def pad(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """Pads of some axes were pads of all."""
        axes = self.constant(node, 3)
        if axes is None:
            del node.input[3:]
            return [node]
        rank = self.ranks.get(node.input[0])
        pads = self.constant(node, 1)
        if rank is None or pads is None:
            self.refuse(node, "with axes of a tensor whose shape is not declared")
        whole = np.zeros((2, rank), np.int64)
        whole[:, [int(axis) % rank for axis in axes.ravel()]] = pads.reshape(2, -1)
        node.input[1] = self.add_constant(f"{node.output[0]}_pads", whole.ravel())
        del node.input[3:]
        if node.input[-1] == "":
            del node.input[-1]
        return [node]

    def gelu(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """x (1 + erf(x / sqrt 2)) / 2, or with approximate="tanh" x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2."""
        x, y = node.input[0], node.output[0]
        chain = _Chain(self, node)
        if (_attribute(node, "approximate") or "none") == "tanh":
            cube = chain.add("Mul", chain.add("Mul", x, x), x)
            inner = chain.add("Add", x, chain.add("Mul", cube, chain.constant(0.044715)))
            shaped = chain.add("Tanh", chain.add("Mul", inner, chain.constant(np.sqrt(2 / np.pi))))
        else:
            shaped = chain.add("Erf", chain.add("Mul", x, chain.constant(np.sqrt(0.5))))
        half = chain.add("Mul", x, chain.constant(0.5))
        return chain.end("Mul", y, half, chain.add("Add", shaped, chain.constant(1)))

    def mish(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """x tanh(log(1 + e^x))."""
        chain = _Chain(self, node)
        x = node.input[0]
        return chain.end("Mul", node.output[0], x, chain.add("Tanh", chain.add("Softplus", x)))

    def swish(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """x sigmoid(alpha x)."""
        chain = _Chain(self, node)
        x = node.input[0]
        alpha = _attribute(node, "alpha")
        scaled = x if alpha in (None, 1.0) else chain.add("Mul", x, chain.constant(alpha))
        return chain.end("Mul", node.output[0], x, chain.add("Sigmoid", scaled))

    def rms_normalization(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """x / sqrt(mean(x^2) + epsilon) scale, over all axes from `axis` on."""
        if (_attribute(node, "stash_type") or 1) != TensorProto.FLOAT:
            self.refuse(node, "with a stash_type other than float32")
        x, scale = node.input[:2]
        axis = _attribute(node, "axis")
        axes = [-1]
        if axis not in (None, -1):
            rank = self.rank_of(node, x)
            axes = list(range(axis % rank, rank))
        epsilon = _attribute(node, "epsilon")
        chain = _Chain(self, node)
        mean = chain.add("ReduceMean", chain.add("Mul", x, x), axes=axes)
        root = chain.add("Sqrt", chain.add("Add", mean, chain.constant(1e-5 if epsilon is None else epsilon)))
        return chain.end("Mul", node.output[0], chain.add("Div", x, root), scale)

    def group_normalization(self, node: onnx.NodeProto) -> List[onnx.NodeProto]:
        """Instance normalization of the groups as channels; scale and bias per group (opset 18) or channel (21)."""
        if (_attribute(node, "stash_type") or 1) != TensorProto.FLOAT:
            self.refuse(node, "with a stash_type other than float32")
        rank, groups = self.rank_of(node, node.input[0]), _attribute(node, "num_groups")
        scale, bias = self.constant(node, 1), self.constant(node, 2)
        epsilon = _attribute(node, "epsilon")
        chain = _Chain(self, node)
        ones, zeros = chain.array(np.ones(groups, np.float32)), chain.array(np.zeros(groups, np.float32))
        per_group = self.opset < 21
        inner = [chain.array(scale), chain.array(bias)] if per_group else [ones, zeros]
        grouped = chain.add("Reshape", node.input[0], chain.array(np.array([0, groups, -1], np.int64)))
        normal = chain.add("InstanceNormalization", grouped, *inner, epsilon=1e-5 if epsilon is None else epsilon)
        shape = chain.add("Shape", node.input[0])
        if per_group:
            return chain.end("Reshape", node.output[0], normal, shape)
        along = [-1] + [1] * (rank - 2)
        scaled = chain.add("Mul", chain.add("Reshape", normal, shape), chain.array(scale.reshape(along)))
        return chain.end("Add", node.output[0], scaled, chain.array(bias.reshape(along)))


class _Chain:
    """Nodes that take the place of one."""

    def __init__(self, lowering: _Lowering, node: onnx.NodeProto):
        self.lowering, self.node, self.nodes = lowering, node, []

    def constant(self, value: float) -> str:
        return self.array(np.array(value, np.float32))

    def array(self, values: np.ndarray) -> str:
        return self.lowering.add_constant(f"{self.node.output[0]}_c", values)

    def add(self, kind: str, *inputs: str, **attributes) -> str:
        output = self.lowering.new_name(f"{self.node.output[0]}_{kind.lower()}")
        name = f"{self.node.name}/{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name, **attributes))
        return output

    def end(self, kind: str, output: str, *inputs: str) -> List[onnx.NodeProto]:
        return [*self.nodes, helper.make_node(kind, inputs, [output], self.node.name)]


def _attribute(node: onnx.NodeProto, name: str):
    for attribute in node.attribute:
        if attribute.name == name:
            value = helper.get_attribute_value(attribute)
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return None


def is_new_element(element: int) -> bool:
    """True for the element types that came after IR 8 (float8, int4, float4 ...)."""
    return element > TensorProto.BFLOAT16
