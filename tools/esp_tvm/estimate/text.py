"""The estimate in words, for the export step and the report."""

from __future__ import annotations

from typing import List

from ..naming import shown
from ..program import Program, nodes_text
from .memories import CLOCKS
from .times import ERROR, sum_of

# How many of the slowest calls are named.
_SLOWEST = 3


def milliseconds(microseconds: float) -> str:
    """Two significant digits; all digits of whole milliseconds from 10 on."""
    value = microseconds / 1000
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def estimate_lines(program: Program) -> List[str]:
    """How long an inference takes, what it waits for, and which calls take longest; nothing for the host."""
    clock = CLOCKS.get(program.target_chip)
    total, unknown = sum_of(program)
    if clock is None or not any(call.estimate is not None for call in program.calls()):
        return []
    parts = [f"{milliseconds(total.compute)} ms of {total.instructions} instructions at {clock.mhz} MHz"]
    for what, time in (("weights", total.weights), ("activations in PSRAM", total.activations)):
        if time:
            parts.append(f"{milliseconds(time)} ms waiting for {what}")
    time = total.microseconds
    between = f"{milliseconds(time / ERROR)} to {milliseconds(time * ERROR)} ms"
    lines = [
        f"estimate, not measured on a board: {milliseconds(time)} ms for an inference ({between}): " + ", ".join(parts)
    ]
    slowest = sorted((call for call in program.calls() if call.estimate), key=lambda one: -one.estimate.microseconds)
    named = [
        f"{shown(nodes_text(call), 40)} {milliseconds(call.estimate.microseconds)} ms" for call in slowest[:_SLOWEST]
    ]
    lines.append("slowest by this estimate: " + ", ".join(named))
    if unknown:
        calls = f"{len(unknown)} call{'s' * (len(unknown) > 1)}"
        names = [shown(nodes_text(call), 40) for call in unknown[:_SLOWEST]] + ["..."] * (len(unknown) > _SLOWEST)
        lines.append(f"the estimate is without {calls} of which it knows no time: " + ", ".join(names))
    return lines
