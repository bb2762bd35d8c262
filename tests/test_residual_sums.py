"""Sums of a convolution and another tensor are rounded once where both are one kernel's; in other tools' files, too."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tvm")

from accuracy_models import node  # noqa: E402
from pipeline_harness import Kernels, run_model  # noqa: E402
from qdq import QdqBuilder  # noqa: E402
from small_models import model_of, random  # noqa: E402

from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.model import run_session, session  # noqa: E402
from esp_tvm.quantize import Passes, quantize_model  # noqa: E402
from esp_tvm.quantize.foreign import adopt  # noqa: E402
from esp_tvm.quantize.judge import exact_runner  # noqa: E402

SHAPE = [1, 8, 6, 6]


def given(addend: int = -4, swapped: bool = False, clip: bool = False):
    """A model that another tool quantized: x at 2^-4, requantized to 2^addend, is added to a convolution's result."""
    b = QdqBuilder(3)
    x = b.input("x", SHAPE, -4)
    y = b.conv(x, [8, 8, 3, 3], -3, e_w=-9, relu=True, pads=[1, 1, 1, 1])
    z = b.conv(y, [8, 8, 3, 3], None, e_w=[-9, -10] * 4, pads=[1, 1, 1, 1])
    other = x if addend == -4 else b.quantize(x, addend)
    total = b.node("Add", [z, other] if swapped else [other, z])
    if clip:
        total = b.node("Clip", [total, b.initializer(np.float32(0)), b.initializer(np.float32(6))])
    b.quantize(total, -2, "y")
    b.output("y", SHAPE)
    model = b.model()
    model.producer_name = "another tool"
    return model


def operators(compiled):
    return [call.operator or "TVM" for call in compiled.program.calls()]


@pytest.mark.parametrize("swapped, clip", [(False, False), (True, True)])
def test_a_file_without_a_scale_between_both_is_one_kernel(swapped, clip):
    """Also where the other tensor is an input of the model, whose channels come first."""
    model = given(swapped=swapped, clip=clip)
    adopted = adopt(model, None, Passes())
    assert adopted.notes == ["all scales are powers of two: exponents and weights are taken as they are"]
    compiled = compile_model(adopted.model)
    assert operators(compiled) == ["quantize", "conv2d", "conv2d_add", "transpose", "dequantize"]
    run, theirs = exact_runner(adopted.model), session(model)
    for seed in range(4):
        sample = {"x": np.random.RandomState(seed).standard_normal(SHAPE).astype(np.float32) * 4}
        # ONNX Runtime rounds half to even, and this rule half up.
        difference = run(sample)[0] - run_session(theirs, ["y"], sample)[0]
        assert np.abs(difference).max() <= 0.25 and np.mean(difference != 0) < 0.05


def test_what_is_added_in_finer_steps_than_the_sums_is_refused_with_the_reason():
    model = given(addend=-16)
    adopted = adopt(model, None, Passes())
    compiled = compile_model(adopted.model)
    assert "conv2d_add" not in operators(compiled)
    (call,) = [call for call in compiled.program.fallbacks if any("Conv" in name for name in call.nodes)]
    assert "steps of 2^-16, finer than those of 2^-12 of the sums of channel 0" in call.reason


def residual(more=(), ends=("y",)):
    """Two convolutions added to each other, then one of their sum to this sum; `more` nodes."""
    constants = {f"w{i}": random(8, 8 if i else 3, 3, 3, scale=0.3, seed=i) for i in range(4)}
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        node("Conv", ["x", "w0"], ["c0"], **pads),
        node("Relu", ["c0"], ["r"]),
        node("Conv", ["r", "w1"], ["c1"], **pads),
        node("Conv", ["r", "w2"], ["c2"], **pads),
        node("Add", ["c1", "c2"], ["s"]),
        node("Relu", ["s"], ["t"]),
        node("Conv", ["t", "w3"], ["c3"], **pads),
        node("Add", ["t", "c3"], ["y"]),
        *more,
    ]
    return model_of(nodes, {"x": [1, 3, 6, 6]}, dict.fromkeys(ends, SHAPE), constants)


SAMPLES = {"x": np.random.RandomState(4).standard_normal((12, 1, 3, 6, 6)).astype(np.float32)}


def quantized(model, **passes):
    return quantize_model(model, SAMPLES, Passes(fit=False, **passes))


def test_of_two_convolutions_one_computes_the_sum():
    result = run_model(residual(), {"x": SAMPLES["x"][:3]}, Kernels())
    assert result.comparison.equal
    assert sorted(name for name in result.kernels if name.startswith("conv2d")) == ["conv2d"] * 2 + ["conv2d_add"] * 2


def test_a_result_that_something_else_reads_stays_a_tensor():
    extra = [node("MaxPool", ["c3"], ["z"], kernel_shape=[1, 1])]
    calls = operators(compile_model(quantized(residual(extra, ends=("y", "z"))).model))
    assert calls.count("conv2d_add") == 1 and calls.count("add") == 1


def test_sums_that_are_coarser_than_what_is_added_are_rounded_before():
    """The products of large weights have steps that the other tensor is finer than."""
    nodes = [
        node("Conv", ["x", "small"], ["a"]),
        node("Conv", ["x", "large"], ["b"]),
        node("Add", ["a", "b"], ["y"]),
    ]
    # Of one size, so that the later one would compute the sum.
    constants = {"small": random(4, 3, 1, 1) * np.float32(1e-3), "large": random(4, 3, 1, 1) * np.float32(30)}
    model = model_of(nodes, {"x": [1, 3, 6, 6]}, {"y": [1, 4, 6, 6]}, constants)
    made = quantized(model, equalize=False)
    calls = operators(compile_model(made.model))
    assert calls.count("conv2d") == 2 and calls.count("add") == 1 and "TVM" not in calls


def test_a_constant_of_the_shape_of_the_result_is_no_other_tensor():
    """As a position that an image's patches are given: an error that named nothing."""
    constants = {"w": random(8, 3, 3, 3, scale=0.3), "places": random(1, 8, 6, 6)}
    nodes = [node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]), node("Add", ["a", "places"], ["y"])]
    made = quantized(model_of(nodes, {"x": [1, 3, 6, 6]}, {"y": SHAPE}, constants))
    calls = operators(compile_model(made.model))
    assert "conv2d" in calls and "conv2d_add" not in calls and "TVM" not in calls


@pytest.mark.parametrize("addend, kernels", [(-4, ["conv2d", "conv2d_add"]), (-16, ["add", "conv2d", "conv2d"])])
def test_a_file_that_samples_complete_is_rounded_once_where_that_is_possible(addend, kernels):
    """There was a QuantizeLinear between both, in any case: rounded twice, other than in the given model."""
    samples = {"x": np.random.RandomState(0).standard_normal((8, *SHAPE)).astype(np.float32)}
    adopted = adopt(given(addend), samples, Passes())
    found = [name for name in operators(compile_model(adopted.model)) if name in ("conv2d", "conv2d_add", "add", "TVM")]
    assert sorted(found) == kernels


def test_a_file_without_any_scale_between_is_completed_once():
    """Of two convolutions added to each other one gets a scale, the other adds it."""
    b = QdqBuilder(3)
    x = b.input("x", SHAPE, -4)
    parts = [b.conv(x, [8, 8, 3, 3], None, e_w=-9, pads=[1, 1, 1, 1]) for _ in range(2)]
    b.quantize(b.node("Add", parts), -2, "y")
    b.output("y", SHAPE)
    model = b.model()
    model.producer_name = "another tool"
    samples = {"x": np.random.RandomState(0).standard_normal((8, *SHAPE)).astype(np.float32)}
    adopted = adopt(model, samples, Passes())
    calls = operators(compile_model(adopted.model))
    assert calls.count("conv2d") == 1 and calls.count("conv2d_add") == 1 and "TVM" not in calls
