"""Channels in another order between layers: the values are the model's, at other places."""

from __future__ import annotations

import numpy as np
import pytest

from esp_tvm.compile.kernels.portable import Conv2d6x2
from esp_tvm.compile.planning.channel_order import sort_channels
from esp_tvm.program import Call, Program, Tensor
from esp_tvm.program.evaluate import apply_rule, in_model_order


def weighted(operator: str, x: Tensor, y: Tensor, shift, random: np.random.RandomState) -> Call:
    """A convolution of 1x1, or a depthwise one of 3x3."""
    outputs, depthwise = y.shape[-1], operator == "depthwise_conv2d"
    shape = (3, 3, outputs) if depthwise else (outputs, 1, 1, x.shape[-1])
    attributes = {
        "weights": random.randint(-50, 50, shape).astype(np.int8),
        "bias": random.randint(-500, 500, outputs).astype(np.int32),
        "shift": np.asarray(shift),
        "clamp": (-128, 127),
        "strides": (1, 1),
        "padding": (int(depthwise),) * 4,
        "dilation": (1, 1),
    }
    return Call("", operator, [x], [y], {**attributes, **({} if depthwise else {"groups": 1})})


def mobile(channels: int = 48) -> Program:
    """1x1, depthwise 3x3, 1x1 and, of the same tensor, an addition; the last one leaves its channels alone."""
    random = np.random.RandomState(1)
    x, *inner, y = (Tensor(name, (1, 5, 6, channels), "int8") for name in "xabcdy")
    shifts = [random.randint(5, 9, channels) for _ in range(4)]
    shifts[1][::3] = np.arange(channels // 3) % 12
    calls = [
        weighted("conv2d", x, inner[0], shifts[0], random),
        weighted("depthwise_conv2d", inner[0], inner[1], shifts[1], random),
        weighted("conv2d", inner[1], inner[2], shifts[2], random),
        Call("", "lookup", [inner[2]], [inner[3]], {"table": np.arange(256).astype(np.int8)}),
        weighted("conv2d", inner[3], y, shifts[3], random),
        Call("", "softmax", [y], [Tensor("z", y.shape, "float32")], {"exponent": -4, "output_exponent": None}),
    ]
    return Program(inputs=[], outputs=[], items=calls)


def values(program: Program, x: np.ndarray) -> dict:
    """{name of a tensor: its value in the model's order}"""
    found = {"x": x}
    for call in program.items[:-1]:
        (found[call.output.name],) = apply_rule(call, [found[tensor.name] for tensor in call.inputs])
    tensors = {call.output.name: call.output for call in program.items}
    return {name: in_model_order(tensors[name], value) for name, value in found.items() if name in tensors}


@pytest.mark.parametrize("chip", ["esp32s3", "esp32c3"])
def test_values_are_those_of_the_model_in_its_order(chip):
    x = np.random.RandomState(2).randint(-128, 128, (1, 5, 6, 48)).astype(np.int8)
    right, program = values(mobile(), x), mobile()
    sort_channels(program, chip)
    found = values(program, x)
    assert all(np.array_equal(found[name], right[name]) for name in right)
    a, b, c, d, y = (call.output for call in program.items[:5])
    assert a.order and a.order == b.order and c.order and c.order == d.order
    # Softmax reads it.
    assert not y.order


def test_few_shifts_lie_side_by_side():
    program = mobile()
    sort_channels(program, "esp32s3")
    depthwise = program.items[1].attributes["shift"]
    assert max(len(np.unique(depthwise[i : i + 16])) for i in (0, 16, 32)) <= 7


def test_large_weights_lie_side_by_side():
    """Two filters are cut into pieces together: channels with large and small weights in turn are sorted apart."""
    program = mobile()
    first = program.items[0]
    first.attributes["weights"] = np.where(np.arange(48)[:, None] % 2, 127, 1).repeat(48, 1).astype(np.int8)
    first.attributes["weights"] = first.attributes["weights"].reshape(48, 1, 1, 48)
    before = Conv2d6x2().pieces(first)
    sort_channels(program, "esp32c3")
    assert list(first.output.order) == [*range(0, 48, 2), *range(1, 48, 2)]
    # 12 pairs of large ones: two products fit a lane. Of small ones all do.
    assert before == 24 * 24 and Conv2d6x2().pieces(first) == 12 * 24 + 12


@pytest.mark.parametrize("other", ["transpose", "concat"])
def test_channels_that_something_else_reads_stay(other):
    program = mobile()
    read = program.items[0].output
    program.items.insert(1, Call("", other, [read], [Tensor("t", (1, 48, 5, 6), "int8")], {}))
    sort_channels(program, "esp32s3")
    assert not read.order and not program.items[2].output.order and program.items[3].output.order
