"""What two cores compute: in words, for the export step and the report."""

from __future__ import annotations

from typing import List

from ..naming import shown
from .form import Call, Loop, Program


def _nodes(call: Call) -> str:
    return f"{call.index}. {call.title} {shown(', '.join(call.all_nodes), 50)}"


def busier_core_macs(program: Program) -> float:
    """The part of all multiply-accumulates that the busier core computes, kernel by kernel: 0.5 if all were halved."""
    total = program.macs
    other = sum((1 - call.split.slower) * call.macs for call in program.calls() if call.split is not None)
    return (total - other) / total if total else 1.0


def cores_lines(program: Program) -> List[str]:
    """Which kernels are split and how, which are not and why."""
    split = [call for call in program.calls() if call.split is not None]
    whole = [call for call in program.calls() if call.split is None and call.not_split]
    lines = [
        f"both cores: {len(split)} of {len(split) + len(whole)} kernels with weights are split; "
        f"the busier core computes {100 * busier_core_macs(program):.0f} % of the MAC "
        "(counted, not measured on a board)"
    ]
    strips = {call for item in program.items if isinstance(item, Loop) for call in item.calls}
    for call in split:
        lines.append(f"both cores: {_nodes(call)}: {call.split.text}{' of a strip' if call in strips else ''}")
    lines += [f"one core: {_nodes(call)}: {call.not_split}" for call in whole]
    return lines
