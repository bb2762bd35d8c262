"""What tf2onnx 1.16 leaves out. Runs beside framework.py, in the environment that has TensorFlow."""

import numpy as np


def of_tflite():
    """Let it convert TensorFlow Lite's operators that it leaves as they are, and ONNX does not have."""
    from tf2onnx.handler import tf_op

    _keep_axes()
    for name, made in (("GELU", _gelu), ("RELU_N1_TO_1", _clip(-1)), ("RELU_0_TO_1", _clip(0))):
        tf_op.register_handler(made, 0, [f"TFL_{name}"], "com.google.tensorflow", {})


def _keep_axes():
    """FULLY_CONNECTED of more than two axes, a Dense layer on sequences as in attention: it is refused with
    `keep_num_dims`, and its bias is forgotten."""
    from tf2onnx.handler import tf_op
    from tf2onnx.tflite_handlers.tfl_math import TflFullyConnectedOp
    from tf2onnx.utils import make_name

    usual = TflFullyConnectedOp.to_tf

    def to_tf(ctx, node, **arguments):
        keeps, shape = bool(node.attr["keep_num_dims"].i), ctx.get_shape(node.output[0])
        node.set_attr("keep_num_dims", 0)
        if ctx.get_rank(node.input[0]) == 2:
            usual(ctx, node, **arguments)
            return
        if keeps and shape is not None and len(shape) != 2:
            # The usual way makes rows of the input; its result gets the axes back, behind bias and activation.
            sizes = ctx.make_const(make_name("kept_axes"), np.array(shape, np.int64))
            back = ctx.insert_new_node_on_output("Reshape", node.output[0], inputs=[node.output[0], sizes.output[0]])
            back.skip_conversion = True
            ctx.copy_shape(node.output[0], back.output[0])
            ctx.set_shape(node.output[0], [int(np.prod(shape[:-1])) if min(shape) > 0 else -1, shape[-1]])
        bias = node.input[2] if len(node.input) > 2 else ""
        if bias:
            ctx.replace_inputs(node, node.input[:2])
        usual(ctx, node, **arguments)
        if bias:
            add = ctx.insert_new_node_on_output("Add", node.output[0], inputs=[node.output[0], bias])
            add.skip_conversion = True

    tf_op.register_handler(to_tf, 0, ["TFL_FULLY_CONNECTED"], "com.google.tensorflow", {})


def _gelu(ctx, node, **_):
    """x (1 + erf(x / sqrt 2)) / 2, or with `approximate` x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2."""
    from tf2onnx.utils import make_name

    def number(value):
        return ctx.make_const(make_name("gelu"), np.array(value, np.float32)).output[0]

    def add(operator, *inputs):
        return ctx.make_node(operator, list(inputs)).output[0]

    x, approximate = node.input[0], "approximate" in node.attr and bool(node.attr["approximate"].i)
    if approximate:
        cube = add("Mul", add("Mul", x, x), x)
        inner = add("Add", x, add("Mul", cube, number(0.044715)))
        shaped = add("Tanh", add("Mul", inner, number(np.sqrt(2 / np.pi))))
    else:
        shaped = add("Erf", add("Mul", x, number(np.sqrt(0.5))))
    half = add("Mul", x, number(0.5))
    _replace(ctx, node, "Mul", [half, add("Add", shaped, number(1))])


def _clip(least):
    """RELU_N1_TO_1 and RELU_0_TO_1."""

    def to_tf(ctx, node, **_):
        from tf2onnx.utils import make_name

        bounds = [ctx.make_const(make_name("bound"), np.array(value, np.float32)).output[0] for value in (least, 1)]
        _replace(ctx, node, "Clip", [node.input[0], *bounds])

    return to_tf


def _replace(ctx, node, operator, inputs):
    """`node` as an operator of ONNX with the same output."""
    shapes, dtypes = [ctx.get_shape(node.output[0])], [ctx.get_dtype(node.output[0])]
    ctx.remove_node(node.name)
    ctx.make_node(operator, inputs, outputs=node.output, name=node.name, shapes=shapes, dtypes=dtypes)


def with_captured_constants(converted, function):
    """Constants that the traced `function` (concrete) holds, as Keras 3's Normalization its mean, are inputs of the
    `converted` model: they become its initializers."""
    from onnx import numpy_helper

    inputs = {value.name: value for value in converted.graph.input}
    for outer, inner in function.graph.captures:
        if inner.name in inputs and outer.dtype.is_numpy_compatible:
            converted.graph.input.remove(inputs[inner.name])
            converted.graph.initializer.append(numpy_helper.from_array(outer.numpy(), inner.name))
