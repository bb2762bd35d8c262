"""A small .espdl file as ESP-PPQ would write it, and how a refusal of one looks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from espdl_files import EspdlBuilder, layout_of, stored

from esp_tvm.convert.convert import convert
from esp_tvm.errors import UserError


def integers(*shape, low=-128, high=128, seed=0, dtype=np.int8):
    return np.random.RandomState(seed + int(np.prod(shape))).randint(low, high, shape).astype(dtype)


def refused(path, **options):
    with pytest.raises(UserError) as error:
        convert(path, Path(path).with_suffix(".onnx"), **options)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    assert not Path(path).with_suffix(".onnx").exists()
    return str(error.value)


E_X, E_1, E_2, E_3, E_4, E_6, E_Y = -5, -4, -4, -3, -4, -7, -7
W1, B1 = integers(20, 3, 3, 3, low=-20, high=20), integers(20, low=-900, high=900, dtype=np.int32)
W2 = integers(20, 1, 3, 3, low=-60, high=60)
SLOPE = integers(20, 1, 1, low=0, high=40)
W3, B3 = integers(20, 20, 1, 1, low=-30, high=30, seed=3), integers(20, low=-900, high=900, seed=4, dtype=np.int32)
# One exponent for each output channel, as files for the ESP32-P4 have them.
E_W3 = [-7, -8, -9, -6] * 5
W4, B4 = integers(5, 40, low=-40, high=40, seed=5), integers(5, low=-900, high=900, seed=6, dtype=np.int32)


def network(activation="Relu") -> EspdlBuilder:
    """Convolution with Relu, depthwise, PRelu, requantized beside a 1x1 one, sum, concatenation, mean, dense."""
    b = EspdlBuilder()
    b.tensor("x", [1, 8, 8, 3], E_X)
    for name, shape, exponent in (
        ("a", [1, 8, 8, 20], E_1),
        ("d", [1, 4, 4, 20], E_2),
        ("p", [1, 4, 4, 20], E_2),
        ("q", [1, 4, 4, 20], E_3),
        ("r", [1, 4, 4, 20], E_3),
        ("s", [1, 4, 4, 20], E_4),
        ("c", [1, 4, 4, 40], E_4),
        ("m", [1, 1, 1, 40], E_6),
        # As older files say it: the axes in another order than the Transpose makes them.
        ("t", [1, 1, 40, 1], E_6),
        ("f", [1, 40], E_6),
        ("y", [1, 5], E_Y),
    ):
        b.tensor(name, shape, exponent)
    b.conv("x", "a", W1, [-7], B1, activation, pads=[1, 1, 1, 1])
    b.conv("a", "d", W2, [-7], group=20, pads=[1, 1, 1, 1], strides=[2, 2], layout="N16HWC16_UNALIGNED")
    b.node("PRelu", ["d", b.constant("slope", SLOPE, [-6])], "p")
    scale, zero = b.constant("scale", np.array([2.0**E_3], np.float32)), b.constant("zero", np.zeros(1, np.int8))
    b.node("RequantizeLinear", ["p", scale, zero], "q")
    b.conv("p", "r", W3, E_W3, B3)
    b.node("Add", ["q", "r"], "s")
    b.node("Concat", ["s", "p"], "c", axis=3)
    b.node("GlobalAveragePool", ["c"], "m")
    b.node("Transpose", ["m"], "t", perm=[0, 3, 1, 2])
    b.node("Flatten", ["t"], "f", axis=1)
    dense = stored(W4[:, :, None, None])
    names = ["f", b.constant("w4", dense, [-8], layout_of(W4)), b.constant("b4", B4, [E_6 - 8])]
    b.node("Gemm", names, "y", activation="Linear", alpha=1.0, beta=1.0, transB=0)
    return b
