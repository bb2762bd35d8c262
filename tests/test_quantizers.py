"""QuantizeLinear and DequantizeLinear that ONNX does not define are refused when a model is read, by node."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from qdq import QdqBuilder

from esp_tvm.errors import UserError
from esp_tvm.model import load_model


def model():
    b = QdqBuilder()
    b.bias_zero_points = True
    x = b.input("x", [1, 3, 6, 6], -4)
    b.output(b.conv(x, [4, 3, 3, 3], -2, e_w=[-8, -7, -9, -8], output="y"), [1, 4, 4, 4])
    return b.model()


def changed(place: int, number: int, change) -> onnx.ModelProto:
    """`change` done to input `place` (1: scale, 2: zero point) of quantizer `number`."""
    made = model()
    nodes = [node for node in made.graph.node if node.op_type.endswith("quantizeLinear") or "QuantizeL" in node.op_type]
    name = nodes[number].input[place]
    tensor = numpy_helper.from_array(np.asarray(change(constant(made, name))), f"{name}_changed")
    made.graph.initializer.append(tensor)
    nodes[number].input[place] = tensor.name
    return made


def constant(made: onnx.ModelProto, name: str) -> np.ndarray:
    return numpy_helper.to_array(next(tensor for tensor in made.graph.initializer if tensor.name == name))


def at_end(array: np.ndarray, value: float) -> np.ndarray:
    made = np.array(array)
    made.reshape(-1)[-1] = value
    return made


# quantizers: 0 and 1 of x, 2 of the weights, 3 of the bias, 4 and 5 of y
@pytest.mark.parametrize(
    "place, number, change, message",
    [
        (1, 0, lambda s: at_end(s, np.nan), "scale is nan, no positive number"),
        (1, 2, lambda s: at_end(s, np.inf), "scale is inf"),
        (1, 2, lambda s: at_end(s, -1.0), "scale is -1"),
        (1, 4, lambda s: at_end(s, 0.0), "scale is 0"),
        (2, 1, lambda z: z.astype(np.uint8), "type uint8, what it dequantizes of type int8"),
        (2, 2, lambda z: z.astype(np.int16), "type int16, what it dequantizes of type int8"),
        (2, 3, lambda z: z.astype(np.float32), "type float32, which nothing is quantized to"),
        (2, 3, lambda z: at_end(z, 1), "zero point is not 0, as it must be for int32"),
        (2, 0, lambda z: z.astype(np.int32), "type int32, which nothing is quantized to"),
        (2, 2, lambda z: z[:3], "4 scales but 3 zero points"),
        (1, 2, lambda s: s[:3], "3 scales but 4 zero points"),
    ],
)
def test_what_onnx_does_not_define_is_refused(place, number, change, message, tmp_path):
    onnx.save(changed(place, number, change), str(tmp_path / "m.onnx"))
    with pytest.raises(UserError, match=rf"m.onnx: node '.*' \((Q|Deq)uantizeLinear\): .*{message}"):
        load_model(tmp_path / "m.onnx")


def test_as_many_scales_as_channels(tmp_path):
    made = model()
    node = [node for node in made.graph.node if node.op_type == "DequantizeLinear"][1]
    del node.attribute[:]
    node.attribute.append(onnx.helper.make_attribute("axis", 1))
    onnx.save(made, str(tmp_path / "m.onnx"))
    with pytest.raises(UserError, match=r"4 scales for 3 channels \(axis 1\)"):
        load_model(tmp_path / "m.onnx")


def test_a_legal_one_is_taken(tmp_path):
    onnx.save(model(), str(tmp_path / "m.onnx"))
    assert len(load_model(tmp_path / "m.onnx").graph.node) == len(model().graph.node)
