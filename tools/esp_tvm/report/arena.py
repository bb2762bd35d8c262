"""What lies in the arenas, and when: whole tensors, windows of rows, scratch memory, what is computed in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Tuple

from ..naming import shown
from ..program.form import Call, Loop, Place, Program, Tensor

# Kinds of `Bar`.
TENSOR, WINDOW, SCRATCH = "tensor", "window", "scratch"
# Kinds of `Place` in the arenas.
IN_ARENA = ("arena", "window", "psram_arena")


@dataclass
class Bar:
    """A stretch of the arena that one tensor, or a call's scratch memory, holds from step `first` to `last`.

    first, last: places in the order of execution; step: the number of the call that writes it
    kind: TENSOR, WINDOW (some rows of an image, whose calls run strip by strip), SCRATCH
    rows, of_rows: of a window
    over: the label of the tensor that it takes the place of while that is read, "" where it lies apart
    second: whether it lies in the second arena, in PSRAM
    """

    offset: int
    size: int
    first: int
    last: int
    label: str
    kind: str = TENSOR
    step: int = -1
    rows: int = 0
    of_rows: int = 0
    over: str = ""
    second: bool = False

    @property
    def how(self) -> str:
        """In words, what is not to be seen: `8 of 96 rows`, `in place of x`."""
        parts = [f"{self.rows} of {self.of_rows} rows"] if self.kind == WINDOW else []
        parts += [f"in place of {self.over}"] if self.over else []
        return ", ".join(parts)


def shared_bytes(one: Bar, other: Bar) -> Tuple[int, int]:
    """(offset, size) of the bytes that both hold; size 0 where they lie apart."""
    if one.second != other.second:
        return 0, 0
    start, end = max(one.offset, other.offset), min(one.offset + one.size, other.offset + other.size)
    return start, max(end - start, 0)


def arena_bars(program: Program) -> List[Bar]:
    """Every tensor that owns bytes of an arena, and scratch memory, by the calls that need it; in order of time."""
    bars: Dict[Tensor, Bar] = {}
    more: List[Bar] = []
    spans = _spans(program)
    for step, call in enumerate(program.calls()):
        first, last = spans[call]
        read = [bars[tensor.root] for tensor in call.reads if tensor.root in bars]
        for bar in read:
            # A loop reads what others made until its last strip.
            bar.last = max(bar.last, step if bar.first >= first else last)
        for tensor in call.writes:
            place = tensor.place
            if tensor.source is None and place is not None and place.kind in IN_ARENA:
                whole = place.kind != "window" or place.kept
                span = (first, last) if whole else (step, step)
                bars[tensor] = bar = _bar(tensor, place, call, *span)
                over = next((one for one in read if shared_bytes(one, bar)[1]), None)
                bar.over = over.label if over is not None else ""
        if call.scratch is not None and call.scratch.bytes:
            label = f"scratch of step {call.index}"
            more.append(Bar(call.scratch.offset, call.scratch.bytes, step, step, label, SCRATCH, call.index))
    return sorted([*bars.values(), *more], key=lambda bar: (bar.first, bar.offset))


def _bar(tensor: Tensor, place: Place, call: Call, first: int, last: int) -> Bar:
    label = shown(tensor.name, 40) or f"step {call.index}"
    if place.kind != "window":
        second = place.kind == "psram_arena"
        return Bar(place.offset, tensor.lying, first, last, label, TENSOR, call.index, second=second)
    return Bar(place.offset, tensor.lying, first, last, label, WINDOW, call.index, place.rows, tensor.shape[1])


def _spans(program: Program) -> Dict[Call, Tuple[int, int]]:
    """The first and the last step of the loop that a call is in, or its own twice."""
    spans: Dict[Call, Tuple[int, int]] = {}
    for item in program.items:
        calls = item.calls if isinstance(item, Loop) else [item]
        spans.update(dict.fromkeys(calls, (len(spans), len(spans) + len(calls) - 1)))
    return spans


__all__ = ["IN_ARENA", "SCRATCH", "TENSOR", "WINDOW", "Bar", "arena_bars", "shared_bytes"]
