"""docs/operators.md and the table it is made from."""

from __future__ import annotations

import pytest

pytest.importorskip("tvm")

from onnx_cases import ONNX_CASES  # noqa: E402

from esp_tvm.operator_table import ROWS, markdown  # noqa: E402
from esp_tvm.operators import OPERATORS  # noqa: E402
from esp_tvm.quantize.rules import RULES  # noqa: E402

# What the compiler inserts by itself, for no operator of ONNX in particular.
_INSERTED = {"quantize", "dequantize", "transpose", "reshape", "requantize"}

# What ESP-DL v3 has, and after it what else is to run in integers.
_EXPECTED = """
Add AveragePool Clip Concat Conv ConvTranspose DepthToSpace Div Elu Equal Exp Flatten Gather Gemm GlobalAveragePool
Greater GreaterOrEqual GRU HardSigmoid HardSwish LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax
LpNormalization LSTM MatMul MaxPool Mod Mul Neg Pad Pow PRelu ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RMSNormalization ScatterND
Sigmoid Slice Softmax SpaceToDepth Split Sqrt Squeeze Sub Swish Tanh Transpose Unsqueeze
"""
_IN_INTEGERS = """
Conv ConvTranspose Gemm MatMul Add Sub Mul Div Min Max Neg Abs AveragePool MaxPool GlobalAveragePool GlobalMaxPool
ReduceMean ReduceSum ReduceMax ReduceMin Relu Clip LeakyRelu PRelu Sigmoid Tanh HardSigmoid HardSwish Swish Gelu Elu Exp
Log Sqrt Pow Softmax LogSoftmax Concat Split Slice Pad Reshape Flatten Squeeze Unsqueeze Transpose Gather Resize
DepthToSpace SpaceToDepth Upsample Cast Identity Equal Greater Less ScatterND LayerNormalization RMSNormalization LSTM
GRU
"""


@pytest.mark.parametrize("operator", sorted({*_EXPECTED.split(), *_IN_INTEGERS.split()}))
def test_every_operator_that_is_expected_has_a_case(operator):
    """test_operators.py runs the cases; what is expected in integers has one that asks for a kernel."""
    cases = [case for case in ONNX_CASES if case.operator == operator]
    assert cases
    if operator in _IN_INTEGERS.split():
        assert any(case.kernels for case in cases)


def test_document_is_up_to_date(repo):
    written = (repo / "docs" / "operators.md").read_text(encoding="utf-8")
    assert written == markdown(), "run: make operators"


def test_rows_name_kernels_that_exist():
    assert {kernel for row in ROWS for kernel in row.kernels} <= set(OPERATORS)
    plain = {name[: -len("_s16")] if name.endswith("_s16") else name for name in OPERATORS}
    assert plain <= set(OPERATORS), "every int16 kernel has its int8 one"
    assert plain - {kernel for row in ROWS for kernel in row.kernels} <= _INSERTED


def test_every_operator_that_is_quantized_has_a_row():
    assert set(RULES) <= {row.operator for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=[row.operator for row in ROWS])
def test_row_is_what_the_cases_show(row):
    """Each operator has cases, and no case runs in a kernel that its row does not name."""
    cases = [case for case in ONNX_CASES if case.operator == row.operator]
    used = {kernel for case in cases if not case.behind_relu for kernel in case.kernels}
    assert used <= set(row.kernels)
    assert cases
