"""Transposed convolutions as convolutions and a move: the same bytes, with the kernels of convolutions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from small_models import model_of, random

pytest.importorskip("tvm")

from onnx import helper  # noqa: E402
from pipeline_harness import Kernels, Program, compare_with_references, write_program  # noqa: E402

from esp_tvm import arithmetic  # noqa: E402
from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.compile.planning import choose, transposed  # noqa: E402
from esp_tvm.compile.planning.transposed import as_two, axes_of  # noqa: E402
from esp_tvm.program import Call, Tensor  # noqa: E402
from esp_tvm.quantize import Passes, quantize_model  # noqa: E402

PLAIN = Passes(method="minmax", equalize=False, centre=False, fit=False)


@pytest.mark.parametrize("kernel, stride", itertools.product(range(1, 6), range(1, 4)))
def test_two_calls_compute_the_same(kernel, stride):
    numbers, compared = np.random.RandomState(10 * kernel + stride), 0
    for pad, more, line in itertools.product(range(kernel // 2 + 1), range(stride), (False, True)):
        attributes = {
            "weights": numbers.randint(-128, 128, (3, 1 if line else kernel, kernel, 4)).astype(np.int8),
            "bias": numbers.randint(-999, 999, 3).astype(np.int32),
            "shift": np.array([9, 8, 10], np.int32),
            "strides": (1 if line else stride, stride),
            "padding": (0, pad, 0, pad) if line else (pad,) * 4,
            "output_padding": (0 if line else more, more),
            "dilation": (1, 1),
            "groups": 1,
            "clamp": (-100, 120),
        }
        x = numbers.randint(-128, 128, (2, 1 if line else 4, 6, 4)).astype(np.int8)
        y = arithmetic.conv_transpose2d(x, **attributes)
        tensors = [Tensor("x", x.shape, "int8", -4)], [Tensor("y", y.shape, "int8", -4)]
        call = Call("call", "conv_transpose2d", *tensors, attributes)
        axes = axes_of(call)
        if axes is None:
            assert y.shape[2] % stride or kernel < stride
            continue
        for one in as_two(call, axes):
            x = arithmetic.rule(one.operator)(x, **one.attributes)
            assert x.shape == one.output.shape
        assert np.array_equal(x, y), (pad, more, line)
        compared += 1
    assert compared or kernel < stride


def decoder(kernel: int, pads: int):
    """Down to half the size, back to the whole, and joined with what was there before."""
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["s"], "stem", pads=[1] * 4),
        helper.make_node("Conv", ["s", "b"], ["c"], "down", strides=[2, 2], pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("ConvTranspose", ["r", "d", "e"], ["u"], "up", strides=[2, 2], pads=[pads] * 4),
        helper.make_node("Relu", ["u"], ["v"], "relu2"),
        helper.make_node("Concat", ["s", "v"], ["j"], "join", axis=1),
        helper.make_node("Conv", ["j", "f"], ["y"], "last", pads=[1] * 4),
    ]
    constants = {
        "a": random(8, 3, 3, 3, scale=0.3),
        "b": random(16, 8, 3, 3, scale=0.2),
        "d": random(16, 8, kernel, kernel, scale=0.2),
        "e": random(8, scale=0.1),
        "f": random(2, 16, 3, 3, scale=0.3),
    }
    model = model_of(nodes, {"x": [1, 3, 12, 12]}, {"y": [1, 2, 12, 12]}, constants)
    samples = {"x": random(4, 1, 3, 12, 12)}
    return quantize_model(model, samples, PLAIN).model, samples


def kinds_of(compiled) -> list:
    """The kernels of the transposed convolution."""
    return [call.operator for call in compiled.program.kernels if any('"up"' in node for node in call.nodes)]


@pytest.mark.parametrize("kernel, pads, kinds", [(2, 0, "conv2d depth_to_space"), (4, 1, "conv_transpose2d")])
def test_in_plain_c_only_where_no_weight_becomes_zero(kernel, pads, kinds, tmp_path, monkeypatch):
    made, samples = decoder(kernel, pads)
    compiled = compile_model(made)
    assert kinds_of(compiled) == kinds.split()
    indices = [call.index for call in compiled.program.calls()]
    assert indices == sorted(set(indices))
    comparison = compare_with_references(
        Program(write_program(compiled, tmp_path), Kernels(sanitize=True)), compiled, samples
    )
    assert comparison.equal, comparison
    monkeypatch.setattr(choose, "as_convolutions", lambda program, chip, room: program)
    assert compiled.program.arena_bytes <= compile_model(made).program.arena_bytes


def test_the_vector_unit_multiplies_zeros_too():
    assert kinds_of(compile_model(decoder(4, 1)[0], chip="esp32s3")) == ["conv2d", "depth_to_space"]


def test_the_arena_does_not_grow(monkeypatch):
    """Unless there is room for it."""
    made, _ = decoder(2, 0)
    monkeypatch.setattr(transposed, "arena_bytes", lambda program: 5000 + len(program.items))
    assert kinds_of(compile_model(made)) == ["conv_transpose2d"]
    assert kinds_of(compile_model(made, strips=6000)) == ["conv2d", "depth_to_space"]
