"""Random float models of supported operators, with the attributes that people rarely write."""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Tuple[int, ...]
OPSET = 13


class Builder:
    """A graph that grows node by node; every tensor's shape is known (by ONNX's shape inference)."""

    def __init__(self, random: np.random.RandomState):
        self.random = random
        self.nodes: List[onnx.NodeProto] = []
        self.constants: List[onnx.TensorProto] = []
        self.inputs: Dict[str, Shape] = {}
        self.shapes: Dict[str, Shape] = {}

    def input(self, shape: Shape) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs[name] = self.shapes[name] = shape
        return name

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weights(self, *shape: int) -> str:
        spread = 1.0 / np.sqrt(max(1, int(np.prod(shape[1:]))))
        return self.constant((self.random.standard_normal(shape) * spread).astype(np.float32))

    def whole(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def node(self, operator: str, inputs: Sequence[str], outputs: int = 1, **attributes) -> Optional[str]:
        """Add the node; the name of its first output, or None where ONNX does not take it or it is too large."""
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, f"n{len(self.nodes)}", **attributes))
        shape = self._infer(names[0])
        if shape is None or not 0 < int(np.prod(shape)) <= 4096 or len(shape) > 5:
            self.nodes.pop()
            return None
        self.shapes[names[0]] = shape
        return names[0]

    def _infer(self, name: str) -> Optional[Shape]:
        model = self.model([name], {})
        try:
            inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except Exception:  # onnx raises RuntimeError, ValueError, InferenceError: the node is not legal
            return None
        for value in inferred.graph.output:
            dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            if value.type.tensor_type.elem_type == TensorProto.FLOAT and all(dims):
                return tuple(dims)
        return None

    def model(self, outputs: Sequence[str], shapes: Optional[Dict[str, Shape]] = None) -> onnx.ModelProto:
        shapes = self.shapes if shapes is None else shapes
        values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in self.inputs.items()]
        made = [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, shapes[n])
            if n in shapes
            else helper.make_empty_tensor_value_info(n)
            for n in outputs
        ]
        graph = helper.make_graph(self.nodes, "fuzz", values, made, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 8
        return model


Maker = Callable[[Builder, str, Shape], Optional[str]]


def _axis(b: Builder, shape: Shape) -> int:
    return int(b.random.randint(-len(shape), len(shape)))


def _pick(b: Builder, *values):
    return values[b.random.randint(len(values))]


def _window(b: Builder, shape: Shape, dilate: bool = True) -> dict:
    """Kernel, strides, dilations and pads that fit, or auto_pad."""
    n = len(shape) - 2
    kernel = [int(b.random.randint(1, min(4, size) + 1)) for size in shape[2:]]
    made = {"kernel_shape": kernel, "strides": [int(v) for v in b.random.randint(1, 4, n)]}
    kind = b.random.randint(4)
    if kind == 0:
        made["auto_pad"] = _pick(b, "SAME_UPPER", "SAME_LOWER", "VALID")
        return made
    if dilate and b.random.randint(3) == 0:
        made["dilations"] = [int(v) for v in b.random.randint(1, 3, n)]
    if kind > 1:
        made["pads"] = [int(b.random.randint(0, k)) for k in kernel * 2]
    return made


def _conv(b: Builder, x: str, shape: Shape) -> Optional[str]:
    if len(shape) not in (3, 4):
        return None
    channels = shape[1]
    groups = _pick(b, *[g for g in (1, 2, channels) if channels % g == 0])
    window = _window(b, shape)
    outputs = groups * int(b.random.randint(1, 5))
    inputs = [x, b.weights(outputs, channels // groups, *window["kernel_shape"])]
    if b.random.randint(2):
        inputs.append(b.weights(outputs))
    return b.node("Conv", inputs, group=groups, **window)


def _conv_transpose(b: Builder, x: str, shape: Shape) -> Optional[str]:
    if len(shape) not in (3, 4):
        return None
    window = {k: v for k, v in _window(b, shape, dilate=False).items() if k != "auto_pad"}
    outputs = int(b.random.randint(1, 4))
    return b.node("ConvTranspose", [x, b.weights(shape[1], outputs, *window["kernel_shape"])], **window)


def _pool(b: Builder, x: str, shape: Shape) -> Optional[str]:
    if len(shape) not in (3, 4):
        return None
    operator = _pick(b, "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool")
    if operator.startswith("Global"):
        return b.node(operator, [x])
    window = _window(b, shape, dilate=False)
    if operator != "LpPool":
        window["ceil_mode"] = int(b.random.randint(2))
    if operator == "AveragePool":
        window["count_include_pad"] = int(b.random.randint(2))
    if operator == "LpPool":
        window["p"] = int(b.random.randint(1, 4))
    return b.node(operator, [x], **window)


def _dense(b: Builder, x: str, shape: Shape) -> Optional[str]:
    outputs = int(b.random.randint(1, 9))
    if len(shape) != 2 or b.random.randint(2):
        return b.node("MatMul", [x, b.weights(shape[-1], outputs)])
    flip = int(b.random.randint(2))
    weights = b.weights(outputs, shape[1]) if flip else b.weights(shape[1], outputs)
    more = {"alpha": _pick(b, 1.0, 0.5, 1.7), "beta": _pick(b, 1.0, 0.25)}
    return b.node("Gemm", [x, weights, b.weights(outputs)], transB=flip, **more)


def _unary(b: Builder, x: str, shape: Shape) -> Optional[str]:
    operator, more = _pick(
        b,
        ("Relu", {}),
        ("LeakyRelu", {"alpha": _pick(b, 0.01, 0.3, -0.5)}),
        ("Sigmoid", {}),
        ("Tanh", {}),
        ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
        ("HardSwish", {}),
        ("Elu", {"alpha": 0.7}),
        ("Selu", {}),
        ("Celu", {"alpha": 2.0}),
        ("ThresholdedRelu", {"alpha": 0.4}),
        ("Softplus", {}),
        ("Softsign", {}),
        ("Neg", {}),
        ("Abs", {}),
        ("Erf", {}),
        ("Floor", {}),
        ("Identity", {}),
    )
    if operator == "HardSwish":
        # opset 14: spelled out
        gate = b.node("HardSigmoid", [x], alpha=1 / 6, beta=0.5)
        return gate and b.node("Mul", [x, gate])
    return b.node(operator, [x], **more)


def _clip(b: Builder, x: str, shape: Shape) -> Optional[str]:
    low = "" if b.random.randint(3) == 0 else b.constant(np.float32(_pick(b, -1.0, 0.0, -0.3)))
    return b.node("Clip", [x, low, b.constant(np.float32(_pick(b, 0.5, 1.0, 6.0)))])


def _prelu(b: Builder, x: str, shape: Shape) -> Optional[str]:
    slopes = [shape[1], *[1] * (len(shape) - 2)] if len(shape) > 1 else [1]
    return b.node("PRelu", [x, b.weights(*slopes)])


def _binary(b: Builder, x: str, shape: Shape) -> Optional[str]:
    operator = _pick(b, "Add", "Sub", "Mul", "Min", "Max", "Add", "Mul")
    others = [n for n, s in b.shapes.items() if s == shape]
    if b.random.randint(2):
        return b.node(operator, [x, others[b.random.randint(len(others))]])
    other = [size if b.random.randint(2) else 1 for size in shape]
    other = other[b.random.randint(len(shape)) :]
    pair = [x, b.constant(b.random.uniform(0.3, 1.5, other).astype(np.float32))]
    return b.node(operator, pair if b.random.randint(2) else pair[::-1])


def _softmax(b: Builder, x: str, shape: Shape) -> Optional[str]:
    return b.node(_pick(b, "Softmax", "Softmax", "LogSoftmax"), [x], axis=_axis(b, shape))


def _reduce(b: Builder, x: str, shape: Shape) -> Optional[str]:
    operator = _pick(b, "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceSum")
    axes = sorted({_axis(b, shape) % len(shape) for _ in range(b.random.randint(1, 3))})
    axes = [int(a - len(shape)) if b.random.randint(2) else int(a) for a in axes]
    keep = int(b.random.randint(2))
    if operator == "ReduceSum":
        return b.node(operator, [x, b.whole(*axes)], keepdims=keep)
    return b.node(operator, [x], axes=axes, keepdims=keep)


def _concat(b: Builder, x: str, shape: Shape) -> Optional[str]:
    axis = _axis(b, shape)
    parts = [x, *(_pick(b, *[n for n, s in b.shapes.items() if s == shape]) for _ in range(2))]
    if b.random.randint(3) == 0:
        parts.insert(int(b.random.randint(3)), b.weights(*shape))
    return b.node("Concat", parts, axis=axis)


def _where(b: Builder, x: str, shape: Shape) -> Optional[str]:
    sizes = [size if b.random.randint(2) else 1 for size in shape][b.random.randint(len(shape)) :]
    other = _pick(b, *[n for n, s in b.shapes.items() if s == shape], b.constant(np.float32(0.5)), b.weights(*sizes))
    pair = [x, other] if b.random.randint(2) else [other, x]
    return b.node("Where", [b.constant(b.random.randint(2, size=sizes) == 1), *pair])


def _slice(b: Builder, x: str, shape: Shape) -> Optional[str]:
    axis = _axis(b, shape)
    size = shape[axis]
    if b.random.randint(3) == 0:
        return b.node("Slice", [x, b.whole(-1), b.whole(-(2**31)), b.whole(axis), b.whole(-_pick(b, 1, 2))])
    start = int(b.random.randint(-size, size))
    end = _pick(b, size, 2**31 - 1, max(1, size - 1), -1)
    return b.node("Slice", [x, b.whole(start), b.whole(end), b.whole(axis), b.whole(_pick(b, 1, 1, 2))])


def _split(b: Builder, x: str, shape: Shape) -> Optional[str]:
    axis = _axis(b, shape)
    size = shape[axis]
    if size < 2:
        return None
    first = int(b.random.randint(1, size))
    return b.node("Split", [x, b.whole(first, size - first)], 2, axis=axis)


def _pad(b: Builder, x: str, shape: Shape) -> Optional[str]:
    mode = _pick(b, "constant", "constant", "edge", "reflect")
    most = [min(size - 1, 2) if mode == "reflect" else 2 for size in shape]
    pads = [
        int(b.random.randint(0, m + 1)) if i % len(shape) >= min(2, len(shape) - 1) else 0
        for i, m in enumerate(most * 2)
    ]
    more = [b.constant(np.float32(_pick(b, 0.0, 0.5, -1.0)))] if mode == "constant" and b.random.randint(2) else []
    return b.node("Pad", [x, b.whole(*pads), *more], mode=mode)


def _move(b: Builder, x: str, shape: Shape) -> Optional[str]:
    kind = b.random.randint(6)
    if kind == 0:
        return b.node("Transpose", [x], perm=[int(v) for v in b.random.permutation(len(shape))])
    if kind == 1:
        return b.node("Flatten", [x], axis=_axis(b, shape))
    if kind == 2:
        return b.node("Reshape", [x, b.whole(0, -1)]) if len(shape) > 1 else None
    if kind == 3:
        return b.node("Unsqueeze", [x, b.whole(int(b.random.randint(-len(shape) - 1, len(shape) + 1)))])
    if kind == 4:
        ones = [i for i, size in enumerate(shape) if size == 1 and i > 0]
        return b.node("Squeeze", [x, b.whole(_pick(b, *ones))]) if ones and len(shape) > 2 else None
    return b.node("Tile", [x, b.whole(*[1 if i == 0 else int(b.random.randint(1, 3)) for i in range(len(shape))])])


def _gather(b: Builder, x: str, shape: Shape) -> Optional[str]:
    axis = _axis(b, shape)
    size = shape[axis]
    kind = b.random.randint(3)
    if kind == 0:
        indices = b.random.randint(-size, size, _pick(b, (3,), (2, 2), (1,)))
        return b.node("Gather", [x, b.constant(indices.astype(np.int64))], axis=axis)
    if kind == 1:
        depth = int(b.random.randint(1, len(shape) + 1))
        rows = [[int(b.random.randint(-s, s)) for s in shape[:depth]] for _ in range(3)]
        return b.node("GatherND", [x, b.constant(np.array(rows, np.int64))])
    rows = np.array([[int(b.random.randint(-shape[0], shape[0]))]], np.int64)
    return b.node("ScatterND", [x, b.constant(rows), b.weights(1, *shape[1:])])


def _resize(b: Builder, x: str, shape: Shape) -> Optional[str]:
    if len(shape) != 4:
        return None
    scales = b.constant(np.array([1, 1, _pick(b, 1.0, 2.0, 0.5), _pick(b, 2.0, 3.0, 1.5)], np.float32))
    mode = _pick(b, "nearest", "linear")
    more = {
        "coordinate_transformation_mode": _pick(b, "half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    }
    if mode == "nearest":
        more["nearest_mode"] = _pick(b, "floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
    return b.node("Resize", [x, "", scales], mode=mode, **more)


def _depth(b: Builder, x: str, shape: Shape) -> Optional[str]:
    if len(shape) != 4:
        return None
    if shape[1] % 4 == 0 and b.random.randint(2):
        return b.node("DepthToSpace", [x], blocksize=2, mode=_pick(b, "DCR", "CRD"))
    return b.node("SpaceToDepth", [x], blocksize=2) if shape[2] % 2 == 0 and shape[3] % 2 == 0 else None


def _norm(b: Builder, x: str, shape: Shape) -> Optional[str]:
    if len(shape) < 3:
        return b.node("LpNormalization", [x], axis=_axis(b, shape), p=_pick(b, 1, 2))
    channels = shape[1]
    if b.random.randint(2):
        return b.node("InstanceNormalization", [x, b.weights(channels), b.weights(channels)], epsilon=1e-3)
    positive = b.constant(b.random.uniform(0.3, 2, channels).astype(np.float32))
    return b.node("BatchNormalization", [x, b.weights(channels), b.weights(channels), b.weights(channels), positive])


def _recurrent(b: Builder, x: str, shape: Shape) -> Optional[str]:
    """x: [steps, batch, features]."""
    if len(shape) != 3 or shape[0] > 12:
        return None
    operator, gates = _pick(b, ("LSTM", 4), ("GRU", 3), ("RNN", 1))
    direction = _pick(b, "forward", "reverse", "bidirectional")
    directions, hidden = (2 if direction == "bidirectional" else 1), int(b.random.randint(1, 6))
    inputs = [x, b.weights(directions, gates * hidden, shape[2]), b.weights(directions, gates * hidden, hidden)]
    more = {"direction": direction, "hidden_size": hidden}
    inputs.append(b.weights(directions, 2 * gates * hidden) if b.random.randint(2) else "")
    # Lengths of sequences, and states before the first step.
    steps, batch = shape[:2]
    lengths = b.random.randint(1, steps + 1, batch) if b.random.randint(2) else np.full(batch, steps)
    inputs.append(b.constant(lengths.astype(np.int32)) if b.random.randint(4) == 0 else "")
    if b.random.randint(3) == 0:
        inputs += [b.weights(directions, batch, hidden) for _ in range(2 if operator == "LSTM" else 1)]
    while not inputs[-1]:
        inputs.pop()
    if operator == "GRU":
        more["linear_before_reset"] = int(b.random.randint(2))
    if b.random.randint(4) == 0:
        more["clip"] = 0.4
    return b.node(operator, inputs, **more)


def _block(b: Builder, x: str, shape: Shape) -> Optional[str]:
    """A convolution and a relu, whose result the quantizer may center, and what it may center it through."""
    if len(shape) != 4:
        return None
    made = b.node("Conv", [x, b.weights(4, shape[1], 3, 3), b.weights(4)], pads=[1, 1, 1, 1])
    made = made and b.node("Relu", [made])
    if made is None:
        return None
    kind = b.random.randint(4)
    if kind == 0:
        other = b.node("Conv", [made, b.weights(4, 4, 3, 3), b.weights(4)], pads=[1, 1, 1, 1])
        return other and b.node("Relu", [b.node("Add", [made, other] if b.random.randint(2) else [other, made])])
    if kind == 1:
        pads = b.whole(0, 0, *(int(v) for v in b.random.randint(0, 3, 2)), 0, 0, *map(int, b.random.randint(0, 3, 2)))
        made = b.node("Pad", [made, pads], mode=_pick(b, "constant", "edge"))
    elif kind == 2:
        made = b.node("MaxPool", [made], kernel_shape=[2, 2], pads=[0, 1, 1, 0])
    return made and _conv(b, made, b.shapes[made])


def _topk(b: Builder, x: str, shape: Shape) -> Optional[str]:
    axis = _axis(b, shape)
    count = b.whole(int(b.random.randint(1, shape[axis] + 1)))
    return b.node("TopK", [x, count], 2, axis=axis, largest=int(b.random.randint(2)))


MAKERS: Tuple[Maker, ...] = (
    _conv, _conv, _conv_transpose, _pool, _pool, _dense, _dense, _unary, _unary, _clip, _prelu, _binary, _binary,
    _softmax, _reduce, _concat, _slice, _split, _pad, _move, _move, _gather, _resize, _depth, _norm, _recurrent,
    _block, _topk, _where, _where,
)  # fmt: skip


def random_model(random: np.random.RandomState, nodes: int) -> onnx.ModelProto:
    """A legal float model of about `nodes` nodes, with one input or two and one output or two."""
    b = Builder(random)
    shape = _pick(b, (1, 4, 6, 6), (1, 3, 8, 5), (1, 4, 9), (1, 12), (5, 1, 4), (1, 2, 3, 4), (1, 8, 4, 4))
    x = b.input(shape)
    if random.randint(4) == 0:
        b.input(shape)
    for _ in range(nodes * 4):
        if len(b.nodes) >= nodes:
            break
        before = len(b.nodes)
        made = MAKERS[random.randint(len(MAKERS))](b, x, b.shapes[x])
        if made is None:
            del b.nodes[before:]
        else:
            x = made
    if not b.nodes:
        x = b.node("Relu", [x])
    outputs = [x]
    if random.randint(4) == 0 and len(b.nodes) > 1:
        outputs.append(b.nodes[-2].output[0])
        outputs = [name for name in dict.fromkeys(outputs) if name in b.shapes]
    used = {name for node in b.nodes for name in node.input}
    b.inputs = {name: shape for name, shape in b.inputs.items() if name in used}
    return b.model(outputs)
