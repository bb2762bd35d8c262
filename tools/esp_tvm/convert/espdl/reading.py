"""ESP-DL's `.espdl` files to ONNX."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, Optional, Tuple

import numpy as np
import onnx

from ...errors import UserError
from .container import model_in
from .network import Network, read_network
from .onnx_writer import to_onnx


def read_espdl(
    path: str | os.PathLike, opset: int, as_float: bool = False, wanted: Optional[str] = None
) -> Tuple[onnx.ModelProto, Network]:
    """(the model in `path` as ONNX, what the file says).

    With quantizers at the exponents of the file, or (`as_float`) the float model that its integers stand for. `wanted`:
    the name of one of the models of a pack. Inputs and outputs are float32, in the file's shapes. Raises `UserError`.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give an .espdl file")
    network = read_network(model_in(data, path, wanted), path)
    return to_onnx(network, path, as_float, opset), network


def known_values(network: Network) -> Optional[Tuple[Dict[str, np.ndarray], Dict[str, np.ndarray]]]:
    """({input: values}, {output: values}) in real numbers, that the file was written with; None where it has none."""
    if not all(name in network.tests for name in [*network.inputs, *network.outputs]):
        return None
    real = {
        name: (network.tests[name] * 2.0 ** network.tensors[name].exponent).astype(np.float32)
        if network.tests[name].dtype.kind == "i"
        else network.tests[name]
        for name in [*network.inputs, *network.outputs]
    }
    return {name: real[name] for name in network.inputs}, {name: real[name] for name in network.outputs}


__all__ = ["read_espdl", "known_values"]
