"""What a profile on the board measured: the time of every step beside the estimate, heap, stack."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Dict, List, Optional, Sequence, Tuple

from ..estimate.memories import CLOCKS
from ..naming import shown
from ..program.form import Call, Program, nodes_text
from ..terminal import Part, Table
from ..trace.log import Run

CYCLES, INSTRUCTIONS = "cycles", "instructions"


@dataclass
class Profile:
    """times: step -> median over the runs, in `unit`; mhz: the clock of the cycles, None where there are none

    memory: what the board said last, see `trace.log.MEMORY`
    """

    program: Program
    unit: str
    runs: int
    times: Dict[int, float]
    mhz: Optional[int]
    memory: Dict[str, int]

    def milliseconds(self, time: float) -> Optional[float]:
        """Of a time in cycles."""
        return time / self.mhz / 1000 if self.mhz else None

    def parts(self) -> List[Part]:
        """A table of all steps, the slowest share first to be seen, then the sum and the memory."""
        calls = [call for call in self.program.calls() if call.index in self.times]
        whole = sum(self.times.values())
        compared = [self._pair(call) for call in calls]
        rows = [
            (call.index, call.title, shown(nodes_text(call), 44), *self._cells(self.times[call.index], pair, whole))
            for call, pair in zip(calls, compared)
        ]
        known = [pair for pair in compared if pair is not None]
        total = (sum(one for one, _ in known), sum(other for _, other in known)) if len(known) == len(calls) else None
        rows.append(("", "together", "", *self._cells(whole, total, whole)))
        beside = "ms, estimate" if self.mhz else "estimate"
        head = ["step", "kernel", "ONNX nodes", self.unit, "%", *(["ms"] if self.mhz else []), beside, "ratio"]
        table = Table(head, rows, "rllrr" + "r" * (len(head) - 5))
        return [table, *self.memory_lines()]

    def _cells(self, time: float, pair: Optional[Tuple[float, float]], whole: float) -> List[str]:
        own = [f"{time:.0f}", f"{100 * time / whole:.1f}" if whole else ""]
        own += [f"{time / self.mhz / 1000:.3f}"] if self.mhz else []
        if pair is None:
            return [*own, "", ""]
        measured_time, estimate = pair
        form = f"{estimate:.3f}" if self.mhz else f"{estimate:.0f}"
        return [*own, form, f"{measured_time / estimate:.2f}" if estimate else ""]

    def _pair(self, call: Call) -> Optional[Tuple[float, float]]:
        """(measured, estimated) in milliseconds, or in instructions where the log counts them; None: no estimate."""
        estimate, time = call.estimate, self.times[call.index]
        if estimate is None or estimate.instructions is None:
            return None
        if self.mhz:
            return time / self.mhz / 1000, estimate.microseconds / 1000
        return (time, float(estimate.instructions)) if self.unit == INSTRUCTIONS else None

    def memory_lines(self) -> List[str]:
        """What the board said of its memory."""
        told, lines = self.memory, []
        if "heap" in told:
            lines.append(f"heap: {told['heap']} bytes free, {told.get('least_heap', told['heap'])} at the least")
        if "stack" in told:
            lines.append(f"stack of the task that runs the model: {told['stack']} bytes were never used")
        if "arena" in told:
            lines.append(f"arena: {told['arena']} bytes")
        return lines


def measured(program: Program, runs: Sequence[Run]) -> Optional[Profile]:
    """The profile that the runs of a log are, None where there are none."""
    runs = [run for run in runs if run.times]
    if not runs:
        return None
    steps = sorted({step for run in runs for step in run.times})
    known = {call.index for call in program.calls()}
    times = {step: median(run.times[step] for run in runs if step in run.times) for step in steps if step in known}
    unit = next((run.unit for run in runs if run.unit), "")
    memory = next((run.memory for run in reversed(runs) if run.memory), {})
    return Profile(program, unit, len(runs), times, clock_of(program, unit, memory), memory)


def clock_of(program: Program, unit: str, memory: Dict[str, int]) -> Optional[int]:
    """MHz of a chip's cycles: as the board said, else as the project sets it; None where the unit is another."""
    if unit != CYCLES:
        return None
    clock = CLOCKS.get(program.target_chip)
    return memory.get("mhz") or (clock.mhz if clock is not None else None)


__all__ = ["Profile", "clock_of", "measured"]
