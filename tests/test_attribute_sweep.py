"""A small part of `make sweep`, what it has found among it; and that it sees what is computed otherwise."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tvm")

import attribute_sweep as sweep  # noqa: E402

from esp_tvm.evaluate import NumpyEvaluator  # noqa: E402

CASES = sweep.cases()
# What TVM read otherwise than ONNX Runtime, or not at all, until it was put right.
FOUND = (
    "MaxPool-17 [1, 4, 7, 6] kernel_shape=[3, 2] pads=[1, 0, 1, 1] storage_order=1",
    "ConvTranspose-17 [1, 4, 9] group=1 strides=[2] auto_pad=VALID output_shape=[18]",
    "Unsqueeze-17 [2, 3, 4] 1:[-1, 0]",
    "Where-17 [3, 8] 0:bool",
    "ScatterND-17 [4, 5]x[2, 5] reduction=none",
    "ScatterElements-17 [2, 2, 2]x[1, 1, 1] axis=1 reduction=none",
    "GatherElements-17 [2, 3, 4] axis=2 1:[[[-1], [-2]]]",
)


@pytest.mark.parametrize("name", FOUND)
def test_what_it_found_is_right(name):
    (case,) = (case for case in CASES if case.id.startswith(name))
    assert sweep.run_case(case) == sweep.Outcome("right")


@pytest.mark.parametrize("case", CASES[7::97], ids=lambda case: case.id)
def test_nothing_is_silently_wrong(case):
    outcome = sweep.run_case(case)
    assert outcome.way in ("right", "refused", "unknown"), outcome


def test_a_difference_is_seen(monkeypatch):
    original = NumpyEvaluator.run

    def off_by_a_half(evaluator, sample):
        found = original(evaluator, sample)
        found.outputs = {name: values + np.float32(0.5) for name, values in found.outputs.items()}
        return found

    case = next(case for case in CASES if case.operator == "LeakyRelu")
    assert sweep.run_case(case).way == "right"
    monkeypatch.setattr(NumpyEvaluator, "run", off_by_a_half)
    assert sweep.run_case(case).way == "wrong"


def test_every_case_is_a_case_of_its_own():
    assert len(CASES) > 900 and len({case.operator for case in CASES}) > 70
