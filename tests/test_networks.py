"""Small networks of the kinds that people bring, with random weights: every byte as both references say."""

from __future__ import annotations

from collections import Counter
from typing import Callable, Dict, List, Optional, Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("tvm")

from pipeline_harness import Kernels, Result, disagreements, run_model  # noqa: E402

from esp_tvm.compile.importing.import_onnx import import_onnx  # noqa: E402
from esp_tvm.compile.partition import partition  # noqa: E402
from esp_tvm.data import load_samples  # noqa: E402
from esp_tvm.model import inputs_of, load_model  # noqa: E402
from esp_tvm.quantize import quantize_model  # noqa: E402
from esp_tvm.quantize.passes import Passes  # noqa: E402


class Builder:
    """A float model, node by node; methods return the name of the tensor they make."""

    def __init__(self, seed: int):
        self.random = np.random.RandomState(seed)
        self.nodes: List[onnx.NodeProto] = []
        self.constants: List[onnx.TensorProto] = []

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weights(self, *shape: int, inputs: Optional[int] = None) -> str:
        """Normal weights that keep the size of what they multiply; inputs: how many values a sum has."""
        size = inputs or int(np.prod(shape[1:]))
        return self.constant((self.random.standard_normal(shape) / np.sqrt(size)).astype(np.float32))

    def small(self, *shape: int) -> str:
        return self.constant((self.random.standard_normal(shape) * 0.1).astype(np.float32))

    def node(self, kind: str, inputs: Sequence[str], **attributes) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], f"{kind}_{len(self.nodes)}", **attributes))
        return name

    def model(self, inputs: Dict[str, Sequence[int]], output: str, opset: int = 13) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [output], ["y"], "end"))
        ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
        graph = helper.make_graph(
            self.nodes, "network", ports, [helper.make_empty_tensor_value_info("y")], self.constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 8
        return onnx.shape_inference.infer_shapes(model, data_prop=True)


def mobilenet_v2() -> onnx.ModelProto:
    """Inverted residuals with relu6, one with a sum, global average, dense, softmax."""
    b = Builder(1)

    def conv(x, inputs, outputs, kernel, stride=1, group=1, relu6=True):
        pads = [kernel // 2] * 4
        w = b.weights(outputs, inputs // group, kernel, kernel)
        y = b.node("Conv", [x, w, b.small(outputs)], strides=[stride] * 2, pads=pads, group=group)
        return b.node("Clip", [y, b.constant(np.float32(0)), b.constant(np.float32(6))]) if relu6 else y

    def block(x, inputs, outputs, stride, expansion=4):
        wide = inputs * expansion
        y = conv(x, inputs, wide, 1)
        y = conv(y, wide, wide, 3, stride, group=wide)
        y = conv(y, wide, outputs, 1, relu6=False)
        return b.node("Add", [x, y]) if stride == 1 and inputs == outputs else y

    x = conv("x", 3, 8, 3, 2)
    x = block(x, 8, 8, 1)
    x = block(x, 8, 12, 2)
    x = block(x, 12, 12, 1)
    x = b.node("Flatten", [b.node("GlobalAveragePool", [conv(x, 12, 32, 1)])])
    x = b.node("Gemm", [x, b.weights(10, 32), b.small(10)], transB=1)
    return b.model({"x": [1, 3, 24, 24]}, b.node("Softmax", [x], axis=-1))


def gru() -> onnx.ModelProto:
    """A GRU over 16 steps as PyTorch exports it, and a dense layer on its last state."""
    b = Builder(2)
    hidden, inputs = 24, 10
    x = b.node("Transpose", ["x"], perm=[1, 0, 2])
    w = b.weights(1, 3 * hidden, inputs, inputs=inputs)
    r = b.weights(1, 3 * hidden, hidden, inputs=hidden)
    b.nodes.append(
        helper.make_node(
            "GRU", [x, w, r, b.small(1, 6 * hidden)], ["all", "last"], "gru", hidden_size=hidden, linear_before_reset=1
        )
    )
    x = b.node("Squeeze", ["last", b.constant(np.int64([0]))])
    return b.model({"x": [1, 16, inputs]}, b.node("Gemm", [x, b.weights(5, hidden), b.small(5)], transB=1))


def attention() -> onnx.ModelProto:
    """One layer of a transformer: attention of two heads and a feed-forward layer, normalized and with residuals."""
    b = Builder(3)
    steps, width, heads = 8, 16, 2

    def dense(x, outputs, inputs):
        # The bias first, as PyTorch writes it.
        return b.node("Add", [b.small(outputs), b.node("MatMul", [x, b.weights(inputs, outputs, inputs=inputs)])])

    def split(x, perm):
        x = b.node("Reshape", [x, b.constant(np.int64([1, steps, heads, width // heads]))])
        return b.node("Transpose", [x], perm=perm)

    def norm(x):
        gamma = b.constant((1 + 0.1 * b.random.standard_normal(width)).astype(np.float32))
        return b.node("LayerNormalization", [x, gamma, b.small(width)], axis=-1)

    q, k, v = (split(dense("x", width, width), perm) for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
    scores = b.node("Mul", [b.node("MatMul", [q, k]), b.constant(np.float32((width // heads) ** -0.5))])
    mixed = b.node("Transpose", [b.node("MatMul", [b.node("Softmax", [scores], axis=-1), v])], perm=[0, 2, 1, 3])
    mixed = b.node("Reshape", [mixed, b.constant(np.int64([1, steps, width]))])
    x = norm(b.node("Add", ["x", dense(mixed, width, width)]))
    y = dense(b.node("Relu", [dense(x, 2 * width, width)]), width, 2 * width)
    return b.model({"x": [1, steps, width]}, norm(b.node("Add", [x, y])), opset=17)


def unet() -> onnx.ModelProto:
    """Down and up again: transposed convolution and resize, each with a concatenation over the gap."""
    b = Builder(4)

    def conv(x, inputs, outputs, stride=1):
        y = b.node("Conv", [x, b.weights(outputs, inputs, 3, 3), b.small(outputs)], pads=[1] * 4, strides=[stride] * 2)
        return b.node("Relu", [y])

    top = conv("x", 3, 8)
    middle = conv(b.node("MaxPool", [top], kernel_shape=[2, 2], strides=[2, 2]), 8, 12)
    bottom = conv(middle, 12, 16, stride=2)
    weights = b.weights(16, 12, 2, 2, inputs=16)
    up = b.node("ConvTranspose", [bottom, weights, b.small(12)], kernel_shape=[2, 2], strides=[2, 2])
    joined = conv(b.node("Concat", [up, middle], axis=1), 24, 8)
    scales = b.constant(np.float32([1, 1, 2, 2]))
    up = b.node("Resize", [joined, "", scales], mode="linear")
    joined = conv(b.node("Concat", [up, top], axis=1), 16, 8)
    return b.model({"x": [1, 3, 16, 16]}, b.node("Conv", [joined, b.weights(2, 8, 1, 1), b.small(2)]))


def squeeze_excite() -> onnx.ModelProto:
    """Channels weighted by what the whole plane says, with a hard sigmoid and a swish, in a residual block."""
    b = Builder(5)
    x = b.node("Conv", ["x", b.weights(8, 3, 3, 3), b.small(8)], pads=[1] * 4)
    x = b.node("Mul", [x, b.node("Sigmoid", [x])])
    squeezed = b.node("ReduceMean", [x], axes=[2, 3], keepdims=1)
    squeezed = b.node("Relu", [b.node("Conv", [squeezed, b.weights(4, 8, 1, 1), b.small(4)])])
    excited = b.node("HardSigmoid", [b.node("Conv", [squeezed, b.weights(8, 4, 1, 1), b.small(8)])])
    y = b.node("Add", [b.node("Mul", [x, excited]), x])
    return b.model({"x": [1, 3, 10, 12]}, b.node("Conv", [y, b.weights(4, 8, 1, 1), b.small(4)]))


def spelled_out() -> onnx.ModelProto:
    """Normalizations as exporters write them: RMS, layer and L2 in single steps, group normalization in three parts."""
    b = Builder(4)
    two, epsilon = b.constant(np.float32(2)), b.constant(np.float32(1e-5))

    def mean_square(x):
        return b.node("Add", [b.node("ReduceMean", [b.node("Pow", [x, two])], axes=[-1]), epsilon])

    x = b.node("Mul", ["x", b.node("Reciprocal", [b.node("Sqrt", [mean_square("x")])])])
    x = b.node("Mul", [x, b.constant((1 + 0.1 * b.random.standard_normal(16)).astype(np.float32))])
    x = b.node("MatMul", [x, b.weights(16, 12, inputs=16)])
    d = b.node("Sub", [x, b.node("ReduceMean", [x], axes=[-1])])
    x = b.node("Div", [d, b.node("Sqrt", [mean_square(d)])])
    x = b.node("Add", [b.node("Mul", [x, b.small(12)]), b.small(12)])
    x = b.node("Reshape", [x, b.constant(np.int64([1, 3, 32]))])
    x = b.node("InstanceNormalization", [x, b.constant(np.ones(3, np.float32)), b.constant(np.zeros(3, np.float32))])
    x = b.node("Reshape", [x, b.constant(np.int64([1, 6, 4, 4]))])
    x = b.node("Add", [b.node("Mul", [x, b.weights(6, 1, 1)]), b.small(6, 1, 1)])
    x = b.node("Conv", [x, b.weights(5, 6, 3, 3), b.small(5)])
    x = b.node("Gemm", [b.node("Flatten", [x]), b.weights(20, 10), b.small(10)])
    size = b.node("Clip", [b.node("ReduceL2", [x], axes=[1], keepdims=1), b.constant(np.float32(1e-12))])
    return b.model({"x": [1, 8, 16]}, b.node("Div", [x, b.node("Expand", [size, b.constant(np.int64([1, 10]))])]))


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    return Kernels(sanitize=True)


def run(make: Callable[[], onnx.ModelProto], kernels: Kernels) -> Result:
    model = make()
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    samples = np.random.RandomState(5).standard_normal((4, *shape)).astype(np.float32)
    return run_model(model, {"x": samples}, kernels)


NETWORKS = [
    (mobilenet_v2, {"conv2d": 6, "conv2d_add": 2, "depthwise_conv2d": 3, "dense": 1, "softmax": 1}, 15.0),
    # The transposed convolution by the kernel of convolutions.
    (unet, {"conv2d": 7, "depth_to_space": 1, "concat": 2, "resize_linear": 1, "max_pool2d": 1}, 20.0),
    (squeeze_excite, {"conv2d": 4, "lookup": 2, "average_pool2d": 1, "mul_broadcast": 1, "add": 1}, 20.0),
    (gru, {"gru": 1, "dense": 1}, 25.0),
    (attention, {"dense": 6, "matmul": 2, "softmax": 1, "normalize": 2, "add": 2}, 20.0),
    (spelled_out, {"normalize": 4, "dense": 2, "channelwise": 1, "conv2d": 1}, 20.0),
]


@pytest.mark.parametrize("make, wanted, decibels", NETWORKS, ids=[make.__name__ for make, _, _ in NETWORKS])
def test_network_is_exact_and_runs_on_kernels(make, wanted, decibels, kernels):
    result = run(make, kernels)
    assert result.comparison.equal
    assert disagreements(result.network, result.compiled.program.calls()) == []
    assert not result.compiled.program.fallbacks
    found = Counter(result.kernels)
    assert {name: found[name] for name in wanted} == wanted
    real, ours = result.floats["y"].astype(np.float64), result.ours["y"]
    noise = np.sum((ours - real) ** 2) / np.sum((real - real.mean()) ** 2)
    assert -10 * np.log10(noise) > decibels


@pytest.mark.parametrize("name", ["resnet8", "kws"])
def test_quantizer_and_compiler_see_the_same_nodes_in_the_shared_networks(name, shared_models):
    """Each with the fewest samples that the passes take: which nodes form a layer does not depend on them."""
    folder = shared_models / name
    model = load_model(folder / "model.onnx")
    samples = {name: rows[:4] for name, rows in load_samples(folder / "calib.npy", inputs_of(model)).items()}
    result = quantize_model(model, samples, Passes(method="minmax", equalize=False, fit=False))
    calls = partition(import_onnx(result.model)).calls.values()
    assert disagreements(result.network, calls) == []
