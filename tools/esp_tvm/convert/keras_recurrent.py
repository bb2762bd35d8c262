"""LSTM, GRU and SimpleRNN of Keras 3 as one ONNX operator each; runs beside framework.py, where Keras 3 is.

Keras 3 writes them as loops, which tf2onnx cannot tell from others. While its model is traced, each layer of a plain
form is a single call that tf2onnx hands to `to_onnx`; layers of other forms stay loops.
"""

import contextlib

import numpy as np

# ONNX's order of the gates in Keras's: LSTM i f c o -> i o f c; GRU z r h.
_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (0, 1, 2), "SimpleRNN": (0,)}
_OPERATORS = {"LSTM": "LSTM", "GRU": "GRU", "SimpleRNN": "RNN"}


@contextlib.contextmanager
def single_calls(tf, keras):
    """Within this context the layers are single calls.

    Yields {token of the call: (layer, its weights for ONNX, shape of its output)}, filled while tracing.
    """
    found = {}
    kinds = [getattr(keras.layers, name) for name in _ORDER]
    originals = [kind.call for kind in kinds]

    def patched(original):
        def call(self, sequences, initial_state=None, mask=None, training=False):
            if initial_state is not None or mask is not None or not is_plain(self):
                return original(self, sequences, initial_state=initial_state, mask=mask, training=training)
            made = tf.numpy_function(lambda x: x, [sequences], tf.float32, stateful=False)
            made.set_shape(self.compute_output_shape(sequences.shape))
            with tf.init_scope():  # outside of the trace, where weights have values
                found[made.op.get_attr("token")] = self, weights(self), made.shape.as_list()
            return made

        return call

    try:
        for kind, original in zip(kinds, originals):
            kind.call = patched(original)
        yield found
    finally:
        for kind, original in zip(kinds, originals):
            kind.call = original


def is_plain(layer):
    """Whether the ONNX operator computes the same: usual functions, no state but its own, no reversed sequence."""
    if hasattr(layer, "recurrent_activation"):
        usual = (layer.activation.__name__, layer.recurrent_activation.__name__) == ("tanh", "sigmoid")
    else:
        usual = layer.activation.__name__ in ("tanh", "relu")
    odd = layer.stateful or layer.return_state or (layer.go_backwards and layer.return_sequences)
    return usual and not odd and layer.compute_dtype == "float32"


def weights(layer):
    """(W [1, gates * units, inputs], R [1, gates * units, units], B [1, 2 * gates * units]) of ONNX."""
    order, units = _ORDER[type(layer).__name__], layer.units

    def turned(array):
        blocks = np.split(np.asarray(array, np.float32), len(order), axis=-1)
        return np.concatenate([blocks[place] for place in order], axis=-1)

    bias = np.zeros((2, len(order) * units), np.float32)
    if layer.use_bias:
        given = np.asarray(layer.cell.bias, np.float32).reshape(-1, len(order) * units)
        bias[: len(given)] = turned(given)
    kernels = (turned(layer.cell.kernel).T[None], turned(layer.cell.recurrent_kernel).T[None])
    return (*kernels, bias.reshape(1, -1))


def to_onnx(found):
    """tf2onnx's handler for the calls of `single_calls`."""

    def handler(ctx, node, name, args):
        layer, arrays, shape = found[node.get_attr_value("token")]
        kind, x, output = _OPERATORS[type(layer).__name__], node.input[0], node.output[0]
        dtype = ctx.get_dtype(output)
        ctx.remove_node(node.name)
        steps_first = ctx.make_node("Transpose", [x], attr={"perm": [1, 0, 2]}, name=f"{name}_steps").output[0]
        constants = [ctx.make_const(f"{name}_{i}", array).output[0] for i, array in enumerate(arrays)]
        attr = {"hidden_size": layer.units, "direction": "reverse" if layer.go_backwards else "forward"}
        if kind == "GRU":
            attr["linear_before_reset"] = int(layer.reset_after)
        if kind == "RNN":
            attr["activations"] = [layer.activation.__name__.capitalize()]
        outputs = 3 if kind == "LSTM" else 2
        made = ctx.make_node(kind, [steps_first, *constants], attr=attr, output_count=outputs, name=f"{name}_{kind}")
        last = {"outputs": [output], "shapes": [shape], "dtypes": [dtype]}
        axis = ctx.make_const(f"{name}_axis", np.array([1 if layer.return_sequences else 0], np.int64)).output[0]
        if not layer.return_sequences:
            ctx.make_node("Squeeze", [made.output[1], axis], name=f"{name}_last", **last)
            return
        alone = ctx.make_node("Squeeze", [made.output[0], axis], name=f"{name}_alone").output[0]
        ctx.make_node("Transpose", [alone], attr={"perm": [1, 0, 2]}, name=f"{name}_batch", **last)

    return handler
