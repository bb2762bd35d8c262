"""A program as records of metadata.json and arrays of reference.npz; store.py makes files of them."""

from __future__ import annotations

import io
import math
from typing import Any, Dict, Optional, Sequence

import numpy as np

from . import schema
from .form import Call, CallTime, Loop, Port, Program, Scratch, Tensor
from .split import Split


class Writer:
    """Gives every tensor its number and every array of an attribute its name."""

    def __init__(self, program: Program):
        self.program = program
        self.ids: Dict[Tensor, int] = {}
        self.arrays: Dict[str, np.ndarray] = {}
        self._names: Dict[int, str] = {}
        for port in [*program.inputs, *program.outputs]:
            self.ids[port] = len(self.ids)
        for call in program.calls():
            for one in (call, *call.followers):
                for tensor in (*one.inputs, *one.outputs):
                    self._number(tensor)

    def _number(self, tensor: Tensor) -> None:
        if tensor not in self.ids:
            if tensor.source is not None:
                self._number(tensor.source)
            self.ids[tensor] = len(self.ids)

    def record(self, target_chip: str, offsets: Sequence[int], versions: Dict[str, str]) -> Dict[str, Any]:
        """The content of metadata.json, without the hashes of the files beside it."""
        program = self.program
        ports = [*program.inputs, *program.outputs]
        return {
            "version": schema.VERSION,
            "target_chip": target_chip,
            "model_hash": program.model_hash,
            "versions": dict(sorted(versions.items())),
            "board": program.board,
            "exported": None if program.exported is None else dict(vars(program.exported)),
            "kernels_for": program.kernels_for,
            "cores": program.cores,
            "arena_bytes": program.arena_bytes,
            "psram_arena_bytes": program.psram_arena_bytes,
            "arena_limit": program.arena_limit,
            "constant_bytes": program.constant_bytes,
            "fallback_constant_bytes": program.fallback_constant_bytes,
            "macs": program.macs,
            "inputs": [self._tensor(port) for port in program.inputs],
            "outputs": [self._tensor(port) for port in program.outputs],
            "states": [
                {"input": program.inputs.index(state.before), "output": program.outputs.index(state.after)}
                for state in program.states
            ],
            "nodes": list(program.nodes),
            "refusals": [{"node": int(node), "reason": why} for node, why in sorted(program.refusals.items())],
            "items": [
                {"rows": item.rows, "first_leads": item.first_leads, "loop": [self._call(call) for call in item.calls]}
                if isinstance(item, Loop)
                else self._call(item)
                for item in program.items
            ],
            "verification": program.verification,
            "tensors": [self._tensor(tensor) for tensor in list(self.ids)[len(ports) :]],
            "constants": [
                {
                    "name": constant.name,
                    "c_type": constant.c_type,
                    "dtype": constant.array.dtype.name,
                    "shape": list(constant.array.shape),
                    "offset": offset,
                    "comment": constant.comment,
                }
                for constant, offset in zip(program.constants, offsets)
            ],
        }

    def _tensor(self, tensor: Tensor) -> Dict[str, Any]:
        place = tensor.place
        record = {
            "id": self.ids[tensor],
            "name": tensor.name,
            "dtype": tensor.dtype,
            "shape": [int(size) for size in tensor.shape],
            "exponent": None if tensor.exponent is None else int(tensor.exponent),
            "source": None if tensor.source is None else self.ids[tensor.source],
            "place": None
            if place is None
            else {name: getattr(place, name) for name in ("kind", "offset", "index", "rows", "kept", "memory")},
            "order": list(tensor.order),
        }
        return {**record, **_of_port(tensor)} if isinstance(tensor, Port) else record

    def _call(self, call: Call, prefix: str = "") -> Dict[str, Any]:
        name = prefix or str(call.index)
        return {
            "index": call.index,
            "symbol": call.symbol,
            "operator": call.operator,
            "kernel": call.kernel,
            "is_view": call.is_view,
            "nodes": list(call.nodes),
            "node_indices": [int(index) for index in call.node_indices],
            "output_node": call.output_node,
            "inputs": [self.ids[tensor] for tensor in call.inputs],
            "outputs": [self.ids[tensor] for tensor in call.outputs],
            "attributes": {key: self._attribute(f"{name}.{key}", call.attributes[key]) for key in call.attributes},
            "input_range": [int(bound) for bound in call.input_range],
            "followers": [self._call(one, f"{name}+{number}") for number, one in enumerate(call.followers, 1)],
            "scratch": _scratch(call.scratch),
            "overlap_distance": call.overlap_distance,
            "slowest": round(float(call.slowest), 2),
            "split": _split(call.split),
            "not_split": call.not_split,
            "constants": [constant.name for constant in call.constants],
            "constant_bytes": sum(constant.array.nbytes for constant in call.constants),
            "macs": int(call.macs),
            "estimate": _estimate(call.estimate),
            "reason": call.reason,
            "relay": list(call.relay),
            "operations": int(call.operations),
        }

    def _attribute(self, name: str, value: Any) -> Any:
        """A number, text or list as JSON has it; what is NumPy's, and what JSON has no text for, as an array."""
        if isinstance(value, (list, tuple)):
            return [self._attribute(f"{name}.{number}", item) for number, item in enumerate(value)]
        if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
            return value
        # Calls of one function have the same arrays: each is written once.
        known = self._names.setdefault(id(value), name)
        array = np.asarray(value)
        if array.dtype == object:
            raise TypeError(f"{name} is of a type that the project has no form for: {type(value).__name__}")
        self.arrays[known] = array
        return {"array": known}

    def archive(self) -> bytes:
        """reference.npz: not compressed, since compressors differ from one computer to another."""
        buffer = io.BytesIO()
        np.savez(buffer, **self.arrays)
        return buffer.getvalue()


def _of_port(port: Port) -> Dict[str, Any]:
    """What a port's record has besides a tensor's."""
    pixels = port.pixels
    return {
        "c_name": port.c_name,
        "inside": port.inside,
        "zero_point": int(port.zero_point),
        "onnx_dtype": port.onnx_dtype,
        "onnx_shape": [int(size) for size in port.onnx_shape or ()],
        "axes": list(port.axes),
        "pixels": None
        if pixels is None
        else {
            "scale": str(pixels.scale),
            "mean": list(map(str, pixels.mean)),
            "std": list(map(str, pixels.std)),
            "axis": pixels.axis,
        },
        "alignment": port.alignment,
    }


def _scratch(scratch: Optional[Scratch]) -> Optional[Dict[str, int]]:
    return None if scratch is None else {"bytes": scratch.bytes, "offset": scratch.offset}


def _estimate(time: Optional[CallTime]) -> Optional[Dict[str, Any]]:
    if time is None:
        return None
    parts = {name: round(getattr(time, name), 1) for name in ("compute", "weights", "activations")}
    return {"instructions": time.instructions, **parts}


def _split(split: Optional[Split]) -> Optional[Dict[str, Any]]:
    if split is None:
        return None
    return {"axis": split.axis, "size": int(split.size), "cut": int(split.cut), "saved": int(split.saved)}
