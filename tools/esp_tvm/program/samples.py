"""Samples from files, as the buffers of a program's inputs hold them.

A file may hold what the ONNX model takes, which is converted by the model's own rule, or what the port takes: an array
of the port's own integer type holds its bytes, in the port's order of axes (or in the model's, where only that fits).
"""

from __future__ import annotations

import os
from functools import partial
from typing import Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from ..data import Mapped, holds, load_samples, only_sample, stored_form
from .form import Port
from .ports import in_port_order, to_onnx, with_port_type


def load_port_samples(path: str | os.PathLike, ports: Sequence[Port]) -> Dict[str, Sequence[np.ndarray]]:
    """{input name: [N, *port.shape] of the port's dtype} of all samples in `path`; errors as in `load_samples`."""
    return load_both(path, ports)[0]


def load_both(path: str | os.PathLike, ports: Sequence[Port]) -> Tuple[Dict, Dict]:
    """(samples as `load_port_samples` gives them, the same as the ONNX model takes them, not rounded where the file
    holds what the model takes)."""
    if all(_is_as_in_onnx(port) for port in ports):
        samples = load_samples(path, [(port.name, port.shape, port.dtype) for port in ports])
        return samples, samples
    stored = stored_form(path, [(port.name, port.shape, port.dtype) for port in ports])
    wanted, makers, backs = [], {}, {}
    for port in ports:
        dtype, shape = stored[port.name]
        own_type = dtype == port.dtype != port.onnx_dtype
        orders = [(port.onnx_shape, True), (port.shape, False)][:: -1 if own_type else 1]
        chosen, in_onnx_order = next((one for one in orders if holds(shape, one[0])), orders[0])
        wanted.append((port.name, chosen, port.dtype if own_type else port.onnx_dtype))
        makers[port.name] = partial(_converted, port, in_onnx_order, own_type)
        backs[port.name] = partial(_back, port, in_onnx_order, own_type)
    loaded = load_samples(path, wanted)
    return (
        {port.name: Mapped(loaded[port.name], makers[port.name], port.shape, port.dtype) for port in ports},
        {port.name: Mapped(loaded[port.name], backs[port.name], port.onnx_shape, port.onnx_dtype) for port in ports},
    )


def load_port_sample(path: str | os.PathLike, ports: Sequence[Port]) -> Dict[str, np.ndarray]:
    """{input name: array of the port's shape and dtype} of the one sample in `path` (of more than one: refused)."""
    return only_sample(path, load_port_samples(path, ports))


def as_onnx(ports: Sequence[Port], samples: Mapping[str, Sequence[np.ndarray]]) -> Dict[str, Sequence[np.ndarray]]:
    """Samples of a program's inputs as the ONNX model takes them."""
    return {
        port.name: samples[port.name]
        if _is_as_in_onnx(port)
        else Mapped(samples[port.name], partial(to_onnx, port), port.onnx_shape, port.onnx_dtype)
        for port in ports
    }


def rounding(ports: Sequence[Port]) -> Dict[str, float]:
    """By how much a sample is off that was rounded to a port's integers, by input name: half a step of them."""
    return {
        port.name: 2.0 ** (port.exponent - 1)
        for port in ports
        if port.exponent is not None and port.dtype != port.onnx_dtype == "float32"
    }


def _is_as_in_onnx(port: Port) -> bool:
    return port.dtype == port.onnx_dtype and not port.axes


def _converted(port: Port, in_onnx_order: bool, own_type: bool, values: np.ndarray) -> np.ndarray:
    steps: List[Callable] = [in_port_order] * in_onnx_order + [with_port_type] * (not own_type)
    for step in steps:
        values = step(port, values)
    return values


def _back(port: Port, in_onnx_order: bool, own_type: bool, values: np.ndarray) -> np.ndarray:
    """What the file holds of one sample, as the ONNX model takes it."""
    if own_type:
        return to_onnx(port, _converted(port, in_onnx_order, own_type, values))
    return values if in_onnx_order or not port.axes else values.transpose(np.argsort(port.axes))


__all__ = ["as_onnx", "load_both", "load_port_sample", "load_port_samples", "rounding"]
