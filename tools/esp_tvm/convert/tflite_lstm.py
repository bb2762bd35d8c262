"""The LSTM of TFLite, which Keras's LSTM becomes and tf2onnx 1.16 does not know; runs beside framework.py, in the
environment that has TensorFlow.

UNIDIRECTIONAL_SEQUENCE_LSTM has 24 inputs: x, four weights and four recurrent weights (gates i, f, c, o), three
peepholes, four biases, a projection and its bias, the states h and c, four layer normalizations; -1 for none.
The states are variables: the interpreter goes on with them in the next call, unless they are reset. Here they start at
zero in every call, as in the Keras model.
"""

from pathlib import Path

import numpy as np

_MORE = {"peepholes": (9, 10, 11), "a projection": (16, 17), "layer normalization": (20, 21, 22, 23)}
# What is left of the inputs, in their order.
_NEEDED = (0, *range(1, 9), *range(12, 16), 18, 19)
# The converter of Keras's LSTM writes this clip of the cell, which the Keras model does not have.
_USUAL_CLIP = 10.0
_NAME = "UNIDIRECTIONAL_SEQUENCE_LSTM"


class LstmError(Exception):
    """One line for the user: why an LSTM cannot be converted."""


def with_zero_states(path, folder):
    """(the model with zeros in place of the variables of its LSTMs, whether it has any); as it is without."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(path)
    wanted, found = getattr(schema.BuiltinOperator, _NAME), False
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            if max(code.builtinCode, code.deprecatedBuiltinCode) != wanted:
                continue
            found = True
            given = [*map(int, operator.inputs), *[-1] * (24 - len(operator.inputs))]
            for what, places in _MORE.items():
                if any(given[place] >= 0 for place in places):
                    raise LstmError(f"{path}: its LSTM has {what}, which there is no kernel for; train it without")
            if any(given[place] < 0 for place in _NEEDED):
                raise LstmError(f"{path}: its LSTM has one gate for input and forgetting; train it with both")
            options = operator.builtinOptions
            if options.fusedActivationFunction != schema.ActivationFunctionType.TANH:
                raise LstmError(f"{path}: its LSTM has another activation than tanh; train it with tanh")
            if 0 < options.cellClip < _USUAL_CLIP:
                raise LstmError(f"{path}: its LSTM clips its cell at {options.cellClip:g}; train it without")
            tensors = [graph.tensors[given[place]] for place in (0, 18, 19)]
            if any(tensor.type != schema.TensorType.FLOAT32 for tensor in tensors):
                raise LstmError(
                    f"{path}: its LSTM is int8, with a state and gates that TFLite rounds in its own way; convert the "
                    "float model (the .keras file, or the .tflite without a representative dataset) and quantize that"
                )
            for tensor in tensors[1:]:
                zeros = schema.BufferT()
                zeros.data = np.zeros(4 * int(np.prod(tensor.shape)), np.uint8)
                model.buffers.append(zeros)
                tensor.buffer, tensor.isVariable = len(model.buffers) - 1, False
    if not found:
        return path, False
    written = str(Path(folder) / "zero_states.tflite")
    flatbuffer_utils.write_model(model, written)
    return written, True


def register():
    """Let tf2onnx convert it."""
    from tf2onnx.handler import tf_op

    tf_op.register_handler(_to_onnx, 0, [f"TFL_{_NAME}"], "com.google.tensorflow", {})


def _to_onnx(ctx, node, **_):
    """ONNX's LSTM: steps first, gates i, o, f, c, one direction."""
    from tf2onnx.utils import make_name

    def constant(what, value):
        return ctx.make_const(make_name(f"lstm_{what}"), value).output[0]

    values = [_value(one) for one in node.inputs[1:]]
    order = (0, 3, 1, 2)
    weights, recurrence = (np.concatenate([part[i] for i in order])[None] for part in (values[:4], values[4:8]))
    bias = np.concatenate([values[8:12][i] for i in order])
    bias = np.concatenate([bias, np.zeros_like(bias)])[None]
    steps_first = "time_major" in node.attr and bool(node.attr["time_major"].i)
    x, output = node.input[0], node.output[0]
    shape, dtype = ctx.get_shape(output), ctx.get_dtype(output)
    ctx.remove_node(node.name)
    if not steps_first:
        x = ctx.make_node("Transpose", [x], attr={"perm": [1, 0, 2]}).output[0]
    parameters = [constant(*pair) for pair in (("weights", weights), ("recurrence", recurrence), ("bias", bias))]
    size = {"hidden_size": recurrence.shape[2]}
    every = ctx.make_node("LSTM", [x, *parameters], attr=size, output_count=1, name=node.name).output[0]
    axis = constant("axis", np.array([1], np.int64))
    if steps_first:
        ctx.make_node("Squeeze", [every, axis], outputs=[output], shapes=[shape], dtypes=[dtype])
        return
    states = ctx.make_node("Squeeze", [every, axis]).output[0]
    ctx.make_node("Transpose", [states], attr={"perm": [1, 0, 2]}, outputs=[output], shapes=[shape], dtypes=[dtype])


def _value(node):
    """The float32 values of a constant, as it is or dequantized (int8 weights of a float network)."""
    if node.type == "TFL_DEQUANTIZE":
        source = node.inputs[0]
        scale = np.array(node.attr["scale"].floats or [1.0], np.float32)
        zero = np.array(node.attr["zero_point"].ints or [0], np.int64)
        values = source.get_tensor_value(as_list=False).astype(np.int64)
        along = [1] * values.ndim
        if scale.size > 1:
            along[node.attr["quantized_dimension"].i] = -1
        return ((values - zero.reshape(along if zero.size > 1 else ())) * scale.reshape(along)).astype(np.float32)
    return node.get_tensor_value(as_list=False).astype(np.float32)
