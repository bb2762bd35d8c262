"""Float to int8 and back, and softmax, by the floating-point unit of the ESP32-S3 (esp_dl_esp32s3.h)."""

from __future__ import annotations

from ..portable import QuantizeNhwc
from ..variants import Variant

# Its scale is a power of two that is a normal float, and so is the reciprocal.
_LARGEST_EXPONENT = 126


class QuantizeNhwcFpu(QuantizeNhwc):
    """The same with the change of layout behind it. Only fused."""

    kernel = "esp_dl_quantize_s8_nhwc_esp32s3"


class QuantizeFpu(Variant):
    """A value after the other, ten to eleven instructions each."""

    operator = "quantize"
    kernel = "esp_dl_quantize_s8_esp32s3"
    plain_parameters = True
    with_nhwc = QuantizeNhwcFpu()

    def fits(self, call):
        return call.output.dtype == "int8" and abs(call.attributes["exponent"]) <= _LARGEST_EXPONENT


class DequantizeFpu(Variant):
    """Five instructions a value."""

    operator = "dequantize"
    kernel = "esp_dl_dequantize_s8_esp32s3"
    plain_parameters = True

    def fits(self, call):
        # The largest value times its scale is a float.
        return call.inputs[0].dtype == "int8" and -_LARGEST_EXPONENT <= call.attributes["exponent"] <= 120


class SoftmaxFpu(Variant):
    """From int8 to int8: powers times the reciprocal of their sum, a division where its rounding stays open."""

    operator = "softmax"
    kernel = "esp_dl_softmax_s8_esp32s3"
    plain_parameters = True

    def fits(self, call):
        exponent = call.attributes["output_exponent"]
        return exponent is not None and call.output.dtype == "int8" and -20 <= exponent <= 0
