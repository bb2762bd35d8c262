"""metadata.json: what a generated project says of itself to the tools that run it and report on it."""

from __future__ import annotations

from typing import Any, Dict, List

from ..operators import OPERATORS
from ..program import Tensor
from .aot import Value
from .compiled import CompiledModel, ModelPort

VERSION = 1


def _tensor(tensor: Tensor) -> Dict[str, Any]:
    return {
        "name": tensor.name,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "exponent": tensor.exponent,
    }


def _port(port: ModelPort) -> Dict[str, Any]:
    return {
        "name": port.name,
        "c_name": port.c_name,
        "dtype": port.dtype,
        "shape": list(port.shape),
        "exponent": port.exponent,
        "inside": port.inside if port.exponent is not None else None,
    }


def describe(compiled: CompiledModel) -> Dict[str, Any]:
    """The metadata of a compiled model; `calls` are the steps of main in order, fallbacks among them.

    A call that is not `traced` needs no code: its output is its input's memory, or the call `fused_into` computes it
    too. That one then has both calls' nodes and multiply-accumulates, the kernel that does both, and in `computes` the
    index of the other. `parts` is there for a program for two cores: how the kernel is cut, or None; `whole` then says
    why.
    """
    calls: List[Dict[str, Any]] = []
    for index, step in enumerate(compiled.lowered.steps):
        call = compiled.partitioned.calls.get(step.symbol)
        entry: Dict[str, Any] = {"index": index, "symbol": step.symbol, "traced": True}
        if call is not None:
            choice = compiled.choices.steps.get(index)
            entry.update(
                kernel=choice.kernel if choice else f"esp_dl_{call.operator}_s8",
                fused_into=compiled.choices.fused.get(index),
                traced=index not in compiled.plan.skipped,
                operator=call.operator,
                nodes=call.nodes,
                inputs=[_tensor(tensor) for tensor in call.inputs],
                output=_tensor(call.output),
                macs=OPERATORS[call.operator].macs(call),
                constant_bytes=compiled.constant_bytes.get(step.symbol, 0),
            )
            if compiled.cores > 1:
                entry.update(_parts(compiled, index))
        else:
            fallback = compiled.fallbacks[index]
            entry["nodes"] = [str(compiled.imported.nodes[i]) for i in fallback.node_indices]
            entry["relay"] = fallback.operators
            entry["operations"] = fallback.operations
            entry["reason"] = compiled.reason(fallback)
        entry["memory"] = [_place(compiled, value) for value in step.results]
        calls.append(entry)
    for index, into in compiled.choices.fused.items():
        inner, outer = calls[index], calls[into]
        outer.update(
            nodes=inner["nodes"] + outer["nodes"],
            macs=inner["macs"] + outer["macs"],
            kernel=inner["kernel"],
            computes=index,
        )
        inner["macs"] = 0
    return {
        "version": VERSION,
        "model_hash": compiled.model_hash,
        "inputs": [_port(port) for port in compiled.inputs],
        "outputs": [_port(port) for port in compiled.outputs],
        "arena_bytes": compiled.arena_bytes,
        "constant_bytes": compiled.weight_bytes,
        "kernels_for": compiled.chip,
        "cores": compiled.cores,
        "arena_room": compiled.room,
        "calls": calls,
    }


def _parts(compiled: CompiledModel, index: int) -> Dict[str, Any]:
    split = compiled.choices.split_at(index)
    if split is None:
        return {"parts": None, "whole": compiled.choices.whole.get(index)}
    places = [[part.start, part.end] for part in split.parts]
    return {"parts": {"axis": split.axis, "places": places, "saved_instructions": split.saved}}


def _place(compiled: CompiledModel, value: Value) -> Dict[str, Any]:
    """Where a result lies: in the arena (offset), or in a model input or output."""
    size = compiled.lowered.bytes[value]
    block = compiled.plan.where.get(value)
    if block is not None:
        return {"offset": block.offset, "bytes": size, "first": block.first, "last": block.last}
    return {"offset": None, "bytes": size}
