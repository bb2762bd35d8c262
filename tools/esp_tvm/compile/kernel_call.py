"""The one intermediate form: a call of one kernel with everything that follows from it.

NumPy rule, Relay reference and C code of a call are all made from the same `KernelCall`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

import numpy as np


@dataclass(frozen=True)
class Tensor:
    """One activation tensor at the border of a kernel.

    name: the ONNX tensor it is ("" where the compiler made it, e.g. between two layout changes)
    shape: as it lies in memory (images NHWC)
    dtype: NumPy name, "int8", "int16", "int32", "float32", ...
    exponent: e of the real value q * 2^e; None for a tensor that is not quantized
    """

    name: str
    shape: Tuple[int, ...]
    dtype: str
    exponent: Optional[int] = None

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bytes(self) -> int:
        return self.elements * np.dtype(self.dtype).itemsize


@dataclass
class KernelCall:
    """One call of a kernel.

    symbol: the C function, "tvmgen_default_esp_main_N"
    operator: key in `operators.OPERATORS`; also the name of the rule in `esp_tvm.arithmetic`
    attributes: the keyword arguments of the rule; constants are NumPy arrays in the canonical layout of the rule
    nodes: the ONNX nodes it computes as people read them, in graph order; node_indices: their places in the graph
    output_node: index of the ONNX node that makes its output, None where the compiler inserted the call
    """

    symbol: str
    operator: str
    inputs: List[Tensor]
    output: Tensor
    attributes: Dict[str, Any] = field(default_factory=dict)
    nodes: List[str] = field(default_factory=list)
    node_indices: List[int] = field(default_factory=list)
    output_node: Optional[int] = None

    @property
    def kind(self) -> str:
        """The operator whatever the width of its tensors: `conv2d` of conv2d and of conv2d_s16."""
        return self.operator[: -len("_s16")] if self.operator.endswith("_s16") else self.operator
