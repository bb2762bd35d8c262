"""The operators on int16 activations: the same patterns and rules, if an input or the output is int16.

Each is its int8 operator with other types; pure int8 is left to that one.
"""

from __future__ import annotations

import numpy as np

from . import base
from .base import Parsed, Refusal
from .conv import Conv2d, Conv2dAdd, DepthwiseConv2d, window_fields
from .dense import Dense
from .elementwise import Add, Mul, Requantize
from .pooling import AveragePool2d, MaxPool2d
from .quantization import Dequantize, Quantize
from .recurrent import Gru, Lstm, Rnn
from .softmax import Softmax
from .tvm_later import relay

BOTH = ("int8", "int16")


class Wide:
    """Turns an int8 operator into an int16 one; must precede that operator among the base classes."""

    dtypes = BOTH
    # The name of the rule's argument that is the width of the result.
    width = "output"

    def parse(self, root) -> Parsed:
        parsed = super().parse(root)
        if not any(operand.dtype == "int16" for operand in [*parsed.inputs, parsed.output]):
            raise Refusal("")
        if parsed.output.dtype in BOTH:
            parsed.attributes[self.width] = parsed.output.dtype
        return parsed

    def fields(self, call, c):
        return {**super().fields(call, c), **self.types(call)}

    def types(self, call) -> dict:
        """The fields that tell which tensors are int16."""
        return {"input_s16": _s16(call.inputs[0]), "output_s16": _s16(call.output)}


def _s16(tensor) -> bool:
    return tensor.dtype == "int16"


class Conv2dS16(Wide, Conv2d):
    name = "conv2d_s16"


class Conv2dAddS16(Wide, Conv2dAdd):
    name = "conv2d_add_s16"

    def fields(self, call, c):
        fields = Conv2dAdd.fields(self, call, c)
        return {**fields, "conv2d": {**fields["conv2d"], **self.types(call)}, "addend_s16": _s16(call.inputs[1])}


class DepthwiseConv2dS16(Wide, DepthwiseConv2d):
    name = "depthwise_conv2d_s16"
    depthwise = True


class DenseS16(Wide, Dense):
    name = "dense_s16"


class _WidePair(Wide):
    def types(self, call):
        a, b = call.inputs
        return {"a_s16": _s16(a), "b_s16": _s16(b), "output_s16": _s16(call.output)}


class AddS16(_WidePair, Add):
    name = "add_s16"
    # |x| <= 2^15 shifted by this much, twice, still fits int32 with the half that rounding adds.
    MAX_SHIFT = 14


class MulS16(_WidePair, Mul):
    name = "mul_s16"


class RequantizeS16(Wide, Requantize):
    name = "requantize_s16"


class AveragePool2dS16(Wide, AveragePool2d):
    name = "average_pool2d_s16"

    def more(self, attrs, x, output, attributes):
        shift = output.exponent - x.exponent
        count = int(np.prod(attributes["kernel"]))
        if abs(shift) > 20 or count > 2**16 - 1:
            raise Refusal(f"the sum of {count} int16 values, scaled by 2^{-shift}, does not fit its integers")
        return {"count_include_pad": bool(getattr(attrs, "count_include_pad", False)), "shift": shift}

    def reference(self, call, x):
        a = call.attributes
        total = relay.cast(self._sum(call, base.widen(x)), "int64")
        divisor = self._counts(call).astype(np.int64) << max(a["shift"], 0)
        scaled = relay.multiply(total, relay.const(2 << max(-a["shift"], 0), "int64"))
        numerator = relay.add(scaled, relay.const(divisor, "int64"))
        y = relay.floor_divide(numerator, relay.const(2 * divisor, "int64"))
        low, high = base.bounds_of(a["output"])
        y = relay.clip(relay.cast(relay.clip(y, low, high), "int32"), *a["clamp"])
        return relay.cast(y, a["output"])


class MaxPool2dS16(Wide, MaxPool2d):
    name = "max_pool2d_s16"

    def more(self, attrs, x, output, attributes):
        if x.dtype != output.dtype:
            raise Refusal("its input and its output have different widths; a maximum keeps them")
        return super().more(attrs, x, output, attributes)

    def fields(self, call, c):
        a = call.attributes
        return {**window_fields(call, a["kernel"]), "min": a["clamp"][0], "max": a["clamp"][1]}


class SoftmaxS16(Wide, Softmax):
    """Float at the end of the graph; an int8 result is left to the int8 operator."""

    name = "softmax_s16"

    def patterns(self):
        return super().patterns()[1:]

    def parse(self, root):
        parsed = super().parse(root)
        del parsed.attributes["output_exponent"]
        return parsed

    @staticmethod
    def _table(exponent: int, step: int) -> np.ndarray:
        """float32[256]: exp(-i * step * 2^exponent), 0 for less than 2^-60: no product of two is subnormal."""
        with np.errstate(under="ignore"):
            values = np.exp(-np.arange(256, dtype=np.float64) * step * 2.0**exponent)
        return np.where(values < 2.0**-60, 0.0, values).astype(np.float32)

    def reference(self, call, x):
        x = base.widen(x)
        rank, exponent = len(call.output.shape), call.attributes["exponent"]
        distance = relay.subtract(relay.max(x, axis=rank - 1, keepdims=True), x)
        coarse = relay.take(relay.const(self._table(exponent, 256)), relay.right_shift(distance, relay.const(8)))
        fine = relay.take(relay.const(self._table(exponent, 1)), relay.bitwise_and(distance, relay.const(255)))
        return self.shares(call, relay.multiply(coarse, fine))

    def emit(self, call, c, inputs, output):
        exponent, columns = call.attributes["exponent"], call.output.shape[-1]
        parameters = c.struct(
            "esp_dl_softmax_s16_t",
            rows=call.output.elements // columns,
            columns=columns,
            coarse=c.constant("coarse", self._table(exponent, 256), "exp(-256 i * 2^e)"),
            fine=c.constant("fine", self._table(exponent, 1), "exp(-i * 2^e)"),
        )
        c.call("esp_dl_softmax_s16_f32", inputs[0], parameters, output)


class _WideRecurrent(Wide):
    width = "width"

    def types(self, call, written):
        given = iter(call.inputs[1:])
        constants = self._constants(call.attributes)
        states = [next(given) if constant is None else None for constant in constants]
        names = ("start_s16", "start_cell_s16")
        return {
            "input_s16": _s16(call.inputs[0]),
            **{f"{name}_s16": wide for name, wide in written.items()},
            **{name: state is not None and _s16(state) for name, state in zip(names, states)},
        }


class RnnS16(_WideRecurrent, Rnn):
    name = "rnn_s16"


class GruS16(_WideRecurrent, Gru):
    name = "gru_s16"


class LstmS16(_WideRecurrent, Lstm):
    name = "lstm_s16"


class QuantizeS16(Wide, Quantize):
    name = "quantize_s16"

    def emit(self, call, c, inputs, output):
        exponent = call.attributes["exponent"]
        c.call("esp_dl_quantize_s16", inputs[0], call.output.elements, exponent, output)


class DequantizeS16(Wide, Dequantize):
    name = "dequantize_s16"

    def emit(self, call, c, inputs, output):
        exponent = call.attributes["exponent"]
        c.call("esp_dl_dequantize_s16", inputs[0], call.output.elements, exponent, output)
