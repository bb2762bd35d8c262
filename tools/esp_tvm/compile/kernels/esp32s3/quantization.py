"""Float to int8 and back, also from int16, and softmax, by the ESP32-S3's floating-point unit (esp_dl_esp32s3.h)."""

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

    dtype, most = "int8", 120

    def fits(self, call):
        # The largest value times its scale is a float.
        return call.inputs[0].dtype == self.dtype and -_LARGEST_EXPONENT <= call.attributes["exponent"] <= self.most


class DequantizeS16Fpu(DequantizeFpu):
    """The same from int16."""

    operator = "dequantize_s16"
    replaces = "esp_dl_dequantize_s16"
    kernel = "esp_dl_dequantize_s16_esp32s3"
    dtype, most = "int16", 112


class SoftmaxFpu(Variant):
    """From int8 to int8: powers times the reciprocal of their sum, a division where its rounding stays open."""

    operator = "softmax"
    kernel = "esp_dl_softmax_s8_esp32s3"
    plain_parameters = True

    def fits(self, call):
        exponent = call.attributes["output_exponent"]
        return exponent is not None and call.output.dtype == "int8" and -20 <= exponent <= 0
