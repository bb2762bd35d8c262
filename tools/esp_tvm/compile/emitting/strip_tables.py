"""The tables of a loop in main: what every call of it does in every strip, in elements.

Strips that do the same share a row of the table, a phase: most loops have a first, a middle and a last phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Tuple

from ...program import Call, Loop, Tensor
from ..planning.reaches import read_row, row_bytes, row_elements, sums_rows
from ..planning.strips import Schedule


@dataclass(frozen=True)
class Entry:
    """An esp_dl_strip_t."""

    kind: int
    kept_from: int
    kept: int
    output: int
    size: int
    input: Tuple[int, ...]

    @property
    def text(self) -> str:
        """Its initializer; what is 0 is left out."""
        fields = [f".{name} = {getattr(self, name)}" for name in ("kind", "kept_from", "kept", "output", "size")]
        inputs = ", ".join(map(str, self.input))
        shown = [fields[0]] + [field for field in fields[1:] if not field.endswith(" = 0")]
        if any(self.input):
            shown.append(f".input = {{{inputs}}}")
        return "{" + ", ".join(shown) + "}"


@dataclass
class Table:
    """phases: for every strip the number of its row in `rows`; rows: an entry for each call"""

    phases: List[int]
    rows: List[Tuple[Entry, ...]]

    def column(self, number: int) -> List[Entry]:
        """The entries of one call."""
        return [row[number] for row in self.rows]


def table_of(loop: Loop) -> Table:
    """The table of a loop that is scheduled."""
    schedule, phases, known = loop.schedule, [], {}
    for strip in range(schedule.count):
        row = tuple(_entry(call, strip, schedule) for call in loop.calls)
        phases.append(known.setdefault(row, len(known)))
    return Table(phases, list(known))


def _entry(call: Call, number: int, schedule: Schedule) -> Entry:
    strip, output = call.strips.strips[number], call.writes[0]
    wide, window = row_elements(output), schedule.windows.get(output)
    rows = strip.end - strip.first
    if sums_rows(call):
        rows = int(rows > 0 and strip.end == call.reads[0].shape[1])
    kept_from, kept, to = 0, 0, rows
    if window is not None:
        kept = max(int(window.kept[number]), 0)
        kept_from = int(window.starts[number] - (window.starts[number - 1] if number else 0)) if kept else 0
        to = strip.first - int(window.starts[number])
        if kept_from == 0:
            kept = 0  # they lie there already
    size = rows * row_bytes(output)
    reads = tuple(_input(call, place, tensor, number, schedule) for place, tensor in enumerate(call.reads))
    return Entry(call.strips.kinds[number], kept_from * wide, kept * wide, to * wide, size, reads)


def _input(call: Call, place: int, tensor: Tensor, number: int, schedule: Schedule) -> int:
    strips = call.strips.strips

    def first(strip: int) -> int:
        return strips[strip].inputs[place][0]

    window = schedule.windows.get(tensor.root)
    if window is not None:
        rows = 0 if strips[number].is_empty else first(number) - int(window.starts[number])
    else:
        rows = first(number + 1) - first(number) if number + 1 < schedule.count else 0
    return rows * read_row(call, place)


def running(loop: Loop) -> Dict[Tuple[Call, int], Tensor]:
    """(call, place among its reads; -1: what it writes) -> a whole tensor that it goes through strip by strip."""
    found: Dict[Tuple[Call, int], Tensor] = {}
    windows = loop.schedule.windows
    for call in loop.calls:
        found.update({(call, place): x for place, x in enumerate(call.reads) if x.root not in windows})
        if call.writes[0] not in windows:
            found[call, -1] = call.writes[0]
    return found
