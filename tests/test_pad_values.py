"""A Pad with a constant before a convolution is its padding, with any int8 value; where it is not one, it stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import numpy as np
from pipeline_harness import Kernels, Program, compare_with_references, write_program
from qdq import QdqBuilder

from esp_tvm.compile import compile_model
from esp_tvm.model import session

SHAPE = (1, 8, 9, 7)
EXPONENT = -5


@dataclass(frozen=True)
class PaddedConv:
    """A Pad (pads: top, left, bottom, right) with `value` steps before a Conv. stays: the Pad, by itself"""

    weights: Tuple[int, ...]
    pads: Sequence[int]
    value: Optional[float]
    kernel: str
    group: int = 1
    strides: Sequence[int] = (1, 1)
    dilations: Sequence[int] = (1, 1)
    own: Sequence[int] = (0, 0, 0, 0)
    quantized: bool = True
    mode: str = "constant"
    stays: bool = False


DEPTHWISE = "depthwise_conv2d"
CASES = [
    PaddedConv((12, 8, 3, 3), (1, 1, 1, 1), -128, "conv2d"),
    PaddedConv((5, 8, 3, 2), (2, 0, 0, 1), 77, "conv2d", strides=(2, 3)),
    PaddedConv((4, 8, 2, 3), (1, 3, 2, 0), -3, "conv2d", dilations=(2, 3), quantized=False),
    PaddedConv((6, 4, 3, 3), (1, 1, 1, 1), -128, "conv2d", group=2),
    PaddedConv((4, 8, 5, 5), (0, 2, 3, 1), None, "conv2d", own=(1, 1, 0, 1)),
    PaddedConv((8, 1, 3, 3), (1, 1, 1, 1), -128, DEPTHWISE, group=8),
    PaddedConv((8, 1, 3, 3), (0, 0, 1, 1), 127, DEPTHWISE, group=8, strides=(2, 2)),
    PaddedConv((8, 1, 5, 4), (2, 1, 2, 2), -128, DEPTHWISE, group=8, strides=(2, 1)),
    PaddedConv((16, 1, 3, 3), (1, 2, 1, 0), 5, DEPTHWISE, group=8),
    # The convolution's own padding is of another value, or it is not one value.
    PaddedConv((4, 8, 3, 3), (1, 1, 1, 1), -100, "conv2d", own=(0, 1, 0, 1), stays=True),
    PaddedConv((4, 8, 3, 3), (1, 1, 1, 1), None, "conv2d", mode="reflect", stays=True),
]


def model_of_cases():
    """All cases of one input; even ones share its quantization, odd ones have a relu after it."""
    b = QdqBuilder(1)
    x = b.input("x", SHAPE, EXPONENT)
    for number, case in enumerate(CASES):
        top, left, bottom, right = case.pads
        inputs = [x, b.initializer(np.array([0, 0, top, left, 0, 0, bottom, right]), "pads")]
        if case.value is not None:
            inputs.append(b.initializer(np.float32(case.value * 2.0**EXPONENT), "value"))
        padded = b.node("Pad", inputs, name=f"pad{number}", mode=case.mode)
        b.exponents[padded] = EXPONENT
        padded = b.quantize(padded, EXPONENT) if case.quantized else padded
        window = {"strides": case.strides, "dilations": case.dilations, "pads": case.own, "group": case.group}
        name, relu = f"y{number}", bool(number % 2)
        b.conv(padded, case.weights, -2, relu=relu, output=name, name=f"conv{number}", **window)
        height, width = (
            (SHAPE[2 + i] + case.pads[i] + case.pads[2 + i] + case.own[i] + case.own[2 + i]
             - (case.weights[2 + i] - 1) * case.dilations[i] - 1) // case.strides[i] + 1
            for i in (0, 1)
        )  # fmt: skip
        b.output(name, [1, case.weights[0], height, width])
    return b.model()


def test_padding_with_a_value(tmp_path):
    model = model_of_cases()
    compiled = compile_model(model)
    calls = {node.split('"')[1]: call for call in compiled.program.calls() for node in call.nodes}
    assert sum(call.operator == "pad" for call in compiled.program.calls()) == sum(case.stays for case in CASES)
    for number, case in enumerate(CASES):
        conv = calls[f"conv{number}"]
        assert conv.operator == case.kernel
        assert conv.attributes.get("pad_value", 0) == (0 if case.stays else case.value or 0)
    samples = {"x": np.random.RandomState(0).uniform(-4.2, 4.2, (3, *SHAPE)).astype(np.float32)}
    program = Program(write_program(compiled, tmp_path), Kernels())
    assert compare_with_references(program, compiled, samples).equal
    ours, run = program.run(samples), session(model)
    for index, x in enumerate(samples["x"]):
        for number, right in enumerate(run.run(None, {"x": x})):
            # ONNX Runtime rounds halves to even.
            steps = np.abs(ours[f"y{number}"][index] - right) / 2.0**-2
            assert steps.max() <= 1 and np.mean(steps > 0) < 0.02
