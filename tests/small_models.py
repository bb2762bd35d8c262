"""Small ONNX models made on the spot."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HOSTILE_NAMES = [
    'x"; */ int main(){',
    "../../etc/passwd",
    "line\nbreak\r\t\x00nul",
    "/* %s %n \\",
    "n" * 10_000,
    "ünï/cödé 名前 🙂",
    " ",
    "$(touch /tmp/pwned) `id` ; rm",
]


def model_of(nodes, inputs, outputs, constants=(), opset=13, ir_version=8, check=True, element=TensorProto.FLOAT):
    """A model of `nodes`; inputs, outputs: {name: shape}; constants: {name: array}."""

    def values(ports):
        return [helper.make_tensor_value_info(name, element, shape) for name, shape in ports.items()]

    initializers = [numpy_helper.from_array(np.asarray(a), name) for name, a in dict(constants).items()]
    graph = helper.make_graph(nodes, "graph", values(inputs), values(outputs), initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = ir_version
    if check:
        onnx.checker.check_model(model)
    return model


def random(*shape, scale=1.0, seed=0):
    """Standard normal float32 values times `scale`."""
    return (np.random.RandomState(seed + int(np.prod(shape))).standard_normal(shape) * scale).astype(np.float32)


def small_cnn(rename=lambda name: name, batch=1, opset=13):
    """Conv, batch norm, relu, depthwise, residual add, pooling, dense, softmax; names through `rename`."""
    r = rename
    constants = {
        r("w1"): random(8, 3, 3, 3, scale=0.3),
        r("b1"): random(8),
        r("bn_scale"): np.abs(random(8)) + 0.5,
        r("bn_bias"): random(8, seed=1),
        r("bn_mean"): random(8, seed=2),
        r("bn_var"): np.abs(random(8, seed=3)) + 0.5,
        r("w2"): random(8, 1, 3, 3, scale=0.4),
        r("w3"): random(8, 5, scale=0.4, seed=4),
        r("b3"): random(5),
        r("flat"): np.array([-1, 8], np.int64),
    }
    make = helper.make_node
    nodes = [
        make("Conv", [r("x"), r("w1"), r("b1")], [r("c1")], r("conv1"), pads=[1, 1, 1, 1]),
        make(
            "BatchNormalization",
            [r("c1"), r("bn_scale"), r("bn_bias"), r("bn_mean"), r("bn_var")],
            [r("n1")],
            r("norm"),
        ),
        make("Relu", [r("n1")], [r("r1")], r("relu1")),
        make("Conv", [r("r1"), r("w2")], [r("c2")], r("conv2"), pads=[1, 1, 1, 1], group=8),
        make("Relu", [r("c2")], [r("r2")], r("relu2")),
        make("Add", [r("r1"), r("r2")], [r("a")], r("add")),
        make("MaxPool", [r("a")], [r("m")], r("max"), kernel_shape=[2, 2], strides=[2, 2]),
        make("GlobalAveragePool", [r("m")], [r("g")], r("mean")),
        make("Reshape", [r("g"), r("flat")], [r("f")], r("reshape")),
        make("MatMul", [r("f"), r("w3")], [r("d")], r("matmul")),
        make("Add", [r("d"), r("b3")], [r("logits")], r("bias")),
        make("Softmax", [r("logits")], [r("y")], r("softmax"), axis=1),
    ]
    return model_of(nodes, {r("x"): [batch, 3, 8, 8]}, {r("y"): [batch, 5]}, constants, opset)


def hostile(name):
    """A rename for `small_cnn` that makes every name a hostile one."""
    return lambda plain: f"{name}{plain}"
