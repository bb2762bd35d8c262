"""What two cores compute: in words, for the export step and the report."""

from __future__ import annotations

from typing import List

from ..compile.compiled import CompiledModel
from ..naming import shown
from ..operators import OPERATORS


def _macs(compiled: CompiledModel, index: int) -> int:
    call = compiled.partitioned.calls[compiled.lowered.steps[index].symbol]
    return OPERATORS[call.operator].macs(call)


def _nodes(compiled: CompiledModel, index: int) -> str:
    call = compiled.partitioned.calls[compiled.lowered.steps[index].symbol]
    return f"{index}. {call.operator} {shown(', '.join(call.nodes), 50)}"


def busier_core_macs(compiled: CompiledModel) -> float:
    """The part of all multiply-accumulates that the busier core computes, kernel by kernel: 0.5 if all were halved."""
    total = sum(OPERATORS[call.operator].macs(call) for call in compiled.calls)
    other = sum((1 - split.slower) * _macs(compiled, index) for index, split in compiled.choices.splits.items())
    return (total - other) / total if total else 1.0


def cores_lines(compiled: CompiledModel) -> List[str]:
    """Which kernels are split and how, which are not and why."""
    splits, whole = compiled.choices.splits, compiled.choices.whole
    lines = [
        f"both cores: {len(splits)} of {len(splits) + len(whole)} kernels with weights are split; "
        f"the busier core computes {100 * busier_core_macs(compiled):.0f} % of the MAC "
        "(counted, not measured on a board)"
    ]
    lines += [f"both cores: {_nodes(compiled, index)}: {split.text}" for index, split in sorted(splits.items())]
    lines += [f"one core: {_nodes(compiled, index)}: {why}" for index, why in sorted(whole.items())]
    return lines
