"""Whether a table of ESP-DL holds the function that its node names."""

from __future__ import annotations

from typing import Dict, Optional

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..lower import lower

# What float32 and the rounding of halves may change.
_STEP = 1


def check_table(
    table: np.ndarray, node: onnx.NodeProto, constants: Dict[str, np.ndarray], opset: int, e_x: int, e_y: int
) -> Optional[str]:
    """What is wrong with int8[256], the values at 2^e_y of `node` ("x" to "y") for -128..127 at 2^e_x; else None."""
    from ...model import run_session, session

    if table.dtype != np.int8 or table.size != 256:
        return f"its table is {table.dtype}{list(table.shape)}; tables of int8[256] are known here"
    graph = helper.make_graph(
        [node],
        "table",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [256])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    lower(model, "table")
    model.ir_version = 8
    x = (np.arange(-128, 128) * 2.0**e_x).astype(np.float32)
    values = run_session(session(model), ["y"], {"x": x})[0].astype(np.float64)
    wanted = np.clip(np.floor(values * 2.0**-e_y + 0.5), -128, 127)
    worst = int(np.abs(wanted - table.reshape(-1)).max())
    if worst <= _STEP:
        return None
    return f"the table in the file is not that of this function (up to {worst} steps off); convert the ONNX model"


__all__ = ["check_table"]
