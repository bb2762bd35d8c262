"""Which ONNX operators have an integer rule, and where the exponent of their result comes from.

This table is all that quantization knows of operators: a new kernel means a new row. A row's check says why a
node cannot take the integer rule; such a node stays in float.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Optional, Tuple

import numpy as np
import onnx

# Where the exponent of an operator's output comes from.
OWN = "own"  # from what the tensor holds
INPUT = "input"  # values only move or are chosen: that of the input


@dataclass(frozen=True)
class Rule:
    """kind: how the operator computes (see `simulate`); exponent: OWN, INPUT or a fixed exponent.

    Kinds that are nothing special: real (computed, a relu behind it is fused), shape (values only move, nothing is
    fused), compare (int8 in, not quantized out).

    check(facts, node) -> why this node has no integer rule, or None.
    """

    kind: str
    exponent: object = OWN
    check: Optional[Callable] = None


class Facts:
    """What checks may ask about a graph: constants and shapes by tensor name."""

    def __init__(self, constants: Dict[str, np.ndarray], shapes: Dict[str, Tuple[int, ...]]):
        self.constants, self.shapes = constants, shapes

    def rank(self, name: str) -> int:
        return len(self.shapes.get(name, ()))


def attribute(node: onnx.NodeProto, name: str, default=None):
    """The value of a node's attribute."""
    for entry in node.attribute:
        if entry.name == name:
            return onnx.helper.get_attribute_value(entry)
    return default


def _conv(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if node.input[1] not in facts.constants:
        return "its weights are not constant"
    if facts.constants[node.input[1]].ndim not in (3, 4):
        return "it is neither 1-D nor 2-D"
    if len(node.input) > 2 and node.input[2] and node.input[2] not in facts.constants:
        return "its bias is not constant"
    return None


def _gemm(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if node.input[1] not in facts.constants:
        return "its weights are not constant"
    if attribute(node, "transA", 0):
        return "its input is transposed"
    if len(node.input) > 2 and node.input[2]:
        bias = facts.constants.get(node.input[2])
        if bias is None:
            return "its bias is not constant"
        if bias.size > 1 and (bias.ndim > 1 and bias.shape[:-1] != (1,) * (bias.ndim - 1)):
            return "its bias differs per row"
    return None


def _matmul(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    weights = facts.constants.get(node.input[1])
    if weights is None:
        return "neither operand or not the second is constant"
    if weights.ndim != 2 or facts.rank(node.input[0]) < 2:
        return "its weights are not a matrix"
    return None


def _broadcast(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if len(node.input) != 2:
        return f"it has {len(node.input)} operands"
    if any(name in facts.constants and facts.constants[name].dtype != np.float32 for name in node.input):
        return "an operand is not float32"
    if all(name in facts.constants for name in node.input):
        return "both its operands are constant"
    return None


def _prelu(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    return None if node.input[1] in facts.constants else "its slope is not constant"


def _reduce(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if not facts.rank(node.input[0]) or 0 in facts.shapes[node.input[0]]:
        return "there is nothing to reduce"
    return _constant_parameters(facts, node)


def _resize(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    mode = attribute(node, "mode", b"nearest").decode()
    linear = mode in ("linear", "bilinear")
    if not linear and mode != "nearest":
        return f"its mode is {mode}"
    if attribute(node, "coordinate_transformation_mode", b"").decode() == "tf_crop_and_resize":
        return "it crops"
    shapes = [facts.shapes.get(name, ()) for name in (node.input[0], node.output[0])]
    if len(shapes[0]) not in (3, 4) or shapes[0][:2] != shapes[1][:2]:
        return "it is neither 1-D nor 2-D"
    return _constant_parameters(facts, node)


def _pad(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if facts.rank(node.input[0]) > 6:
        return "it has more than 6 axes"
    return _constant_parameters(facts, node)


def _scatter(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if node.input[1] not in facts.constants:
        return "its indices are not constant"
    if any(name in facts.constants for name in (node.input[0], node.input[2])):
        return "its data or its updates are constant"
    return None if attribute(node, "reduction", b"none") == b"none" else "it reduces"


def _pool(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if facts.rank(node.input[0]) not in ((3, 4, 5) if node.op_type.startswith("Global") else (3, 4)):
        return "it is neither 1-D nor 2-D"
    if len(node.output) > 1 and node.output[1]:
        return "its second output is used"
    return None


def _constant_parameters(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if any(name and name not in facts.constants for name in node.input[1:]):
        return "a parameter of it is not constant"
    return None


def _l2(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    return None if attribute(node, "p", 2) == 2 else "its norm is not the second"


def _conv_transpose(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if any(name and name not in facts.constants for name in node.input[1:]):
        return "its weights or its bias are not constant"
    return None if facts.constants[node.input[1]].ndim in (3, 4) else "it is neither 1-D nor 2-D"


def product_of_activations(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    """Why a MatMul or Gemm, not one with a matrix of constant weights, has no integer rule."""
    if node.op_type == "Gemm":
        if len(node.input) > 2 or attribute(node, "transA", 0) or attribute(node, "alpha", 1.0) != 1.0:
            return "it is no plain product of two activations"
    if any(facts.rank(name) < 2 for name in node.input[:2]):
        return "an operand is a vector"
    if all(name in facts.constants for name in node.input[:2]):
        return "both its operands are constant"
    batches = {facts.shapes.get(name, ())[:-2] for name in node.input[:2]}
    if len(batches) > 1:
        return "its operands have different batches"
    return None


def _recurrent(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if any(name and name not in facts.constants for name in node.input[1:]):
        return "its weights or its initial state are not constant"
    if any(name and np.any(facts.constants[name]) for name in node.input[5:7]):
        return "its initial state is not zero"
    if any(node.input[i] for i in (4, 7) if len(node.input) > i):
        return "it has lengths of its own or peepholes"
    if attribute(node, "layout", 0) or attribute(node, "clip") or attribute(node, "activations"):
        usual = [b"Sigmoid", b"Tanh", b"Tanh"][: 2 if node.op_type == "GRU" else 3]
        directions = 2 if attribute(node, "direction", b"") == b"bidirectional" else 1
        given = [name.capitalize() for name in attribute(node, "activations") or usual * directions]
        if attribute(node, "layout", 0) or attribute(node, "clip") or given != usual * directions:
            return "its layout, its clip or its functions are not the usual ones"
    return None


# Every function of one value is a table of 256 entries.
_LOOKUP = Rule("lookup", OWN, _constant_parameters)
_UNARY = (
    "Abs Atan Ceil Cos Elu Erf Exp Floor HardSwish LeakyRelu Log Neg Reciprocal Round Selu Sign Sin Softplus "
    "Softsign Sqrt ThresholdedRelu"
).split()

# What takes values to other places and says where by constants.
_MOVE = Rule("shape", INPUT, _constant_parameters)

RULES: Dict[str, Rule] = {
    "Conv": Rule("conv", OWN, _conv),
    "Gemm": Rule("dense", OWN, _gemm),
    "MatMul": Rule("dense", OWN, _matmul),
    "ConvTranspose": Rule("real", OWN, _conv_transpose),
    "GRU": Rule("real", OWN, _recurrent),
    "LSTM": Rule("real", OWN, _recurrent),
    "LogSoftmax": Rule("real", OWN),
    "LayerNormalization": Rule("real", OWN, _constant_parameters),
    "InstanceNormalization": Rule("real", OWN, _constant_parameters),
    "LpNormalization": Rule("real", OWN, _l2),
    "Add": Rule("binary", OWN, _broadcast),
    "Sub": Rule("binary", OWN, _broadcast),
    "Mul": Rule("binary", OWN, _broadcast),
    "Div": Rule("binary", OWN, _broadcast),
    "Max": Rule("binary", OWN, _broadcast),
    "Min": Rule("binary", OWN, _broadcast),
    "PRelu": Rule("shape", OWN, _prelu),
    **dict.fromkeys("Equal Greater GreaterOrEqual Less LessOrEqual".split(), Rule("compare", OWN, _broadcast)),
    **dict.fromkeys("ArgMax ArgMin".split(), Rule("compare", OWN)),
    **dict.fromkeys("ReduceMean ReduceSum ReduceL1 ReduceL2 ReduceSumSquare".split(), Rule("real", OWN, _reduce)),
    **dict.fromkeys("ReduceMax ReduceMin".split(), Rule("real", INPUT, _reduce)),
    "Concat": Rule("shape", OWN),
    "ScatterND": Rule("shape", OWN, _scatter),
    "Resize": Rule("shape", INPUT, _resize),
    "Upsample": Rule("shape", INPUT, _resize),
    "Pad": Rule("shape", INPUT, _pad),
    **dict.fromkeys("Slice Gather GatherND ReverseSequence Expand Tile".split(), _MOVE),
    **dict.fromkeys("DepthToSpace SpaceToDepth".split(), Rule("shape", INPUT)),
    "MaxPool": Rule("max_pool", INPUT, _pool),
    "GlobalMaxPool": Rule("max_pool", INPUT, _pool),
    "AveragePool": Rule("average_pool", OWN, _pool),
    "GlobalAveragePool": Rule("average_pool", OWN, _pool),
    "Relu": Rule("clamp", OWN),
    "Clip": Rule("clamp", OWN, _constant_parameters),
    "Identity": Rule("move", INPUT),
    "Reshape": Rule("move", INPUT, _constant_parameters),
    "Flatten": Rule("move", INPUT),
    "Squeeze": Rule("move", INPUT, _constant_parameters),
    "Unsqueeze": Rule("move", INPUT, _constant_parameters),
    "Transpose": Rule("move", INPUT),
    # Values lie in [0, 1]: nothing finer than 2^-7 holds them.
    "Softmax": Rule("softmax", -7),
    "Sigmoid": Rule("lookup", -7),
    "HardSigmoid": Rule("lookup", -7),
    "Tanh": Rule("lookup", -7),
    **dict.fromkeys(_UNARY, _LOOKUP),
}

# Operators that a lookup table may hold together: each value of the result depends on one value of one tensor.
ELEMENTWISE = frozenset(
    [name for name, rule in RULES.items() if rule.kind in ("lookup", "clamp")]
    + "Add Cast Sub Mul Div Pow Min Max Where".split()
)
# What may stand between them, of bool.
TESTS = frozenset("And Equal Greater GreaterOrEqual Less LessOrEqual Not Or Xor".split())

# Operators whose constant operands are int8 tensors with an exponent of their own.
WITH_CONSTANTS = frozenset("Add Sub Mul Div Max Min PRelu Equal Greater GreaterOrEqual Less LessOrEqual".split())
# Of these, the ones whose constant may be a single value: a function of one tensor that is no table.
WITH_SINGLE_CONSTANTS = WITH_CONSTANTS - frozenset("Add Sub Mul Div Max Min".split())
