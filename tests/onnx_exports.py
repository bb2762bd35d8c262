"""Rows of the table of ONNX operators: a few nodes together, as exporters write one thing.

Part of `onnx_cases.ONNX_CASES`; import that. Each is from a model that once stopped here or fell back to float.
"""

from __future__ import annotations

from typing import List

import numpy as np
from onnx_cases import OnnxCase
from onnx_layers import _w


def _linear() -> List[OnnxCase]:
    return [
        OnnxCase(
            "Linear",
            "of three axes, the bias first, as PyTorch writes it",
            {0: (1, 5, 16)},
            {1: _w(16, 6), 2: _w(6)},
            kernel="dense",
            nodes=[("MatMul", ["x0", "c1"], "m", {}), ("Add", ["c2", "m"], "y0", {})],
        ),
        OnnxCase(
            "Attention",
            "values transposed as nn.MultiheadAttention does",
            {0: (4, 5, 6), 1: (6, 4, 8)},
            kernel="matmul",
            nodes=[("Transpose", ["x1"], "t", {"perm": [1, 0, 2]}), ("MatMul", ["x0", "t"], "y0", {})],
        ),
    ]


EXPORT_CASES: List[OnnxCase] = [*_linear()]
