"""Strips: the rows that each call of a loop computes, strip by strip, and those of its tensors that must lie in memory.

The calls of a `Loop` run together: in every strip the last call computes the next `rows` rows of its output, and each
call before it as many rows as those behind it then need. Or the first call leads, and each call after it computes
as many rows as it can, in some strips none: where there are strides, this takes less memory. Nothing is computed twice.
Of a tensor that only calls of the loop read, a window of rows lies in memory: those that are still read, and the new
ones behind them. At the beginning of a strip, rows that are still read move to their window's start, in the order in
which the windows lie in memory; so the kernels find an image of fewer rows, and need not be made for strips. What a
window does not hold at a time (`Held`) others may hold: its end until the new rows are computed, and its start once the
rows there have been read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Dict, List, Optional, Set, Tuple

import numpy as np

from ...program import Call, Loop, Tensor
from .reaches import Reaches, is_planar, row_bytes
from .strip_parts import Strip, strips_of


@dataclass
class Window:
    """Rows of a tensor in memory. rows: the most at a time

    starts: [strips] the row at the window's start; ends: [strips + 1] rows that exist before and after each strip
    """

    rows: int
    starts: np.ndarray
    ends: np.ndarray

    @property
    def keeps(self) -> bool:
        """Whether rows of one strip are read in a later one."""
        return bool(np.any(self.kept > 0))

    @property
    def kept(self) -> np.ndarray:
        """[strips] rows of earlier strips that are still read."""
        return self.ends[:-1] - self.starts


@dataclass
class Held:
    """Which bytes of its memory a tensor holds while a loop runs.

    low, high: [calls, strips] the bytes from `low` to `high - 1` from its start; none where both are equal
    """

    low: np.ndarray
    high: np.ndarray

    @cached_property
    def _edges(self) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """[calls] the ends of what it holds in any strip (top, bottom), and whether it holds anything."""
        none = self.low == self.high
        top = np.where(none, 0, self.high).max(axis=1)
        return top, np.where(none, self.high.max(), self.low).min(axis=1), ~none.all(axis=1)

    @property
    def bytes(self) -> np.ndarray:
        """[calls, strips] how many they are."""
        return self.high - self.low

    def before(self, other: Held, first: int, last: int) -> int:
        """By how many bytes it has to start before another tensor, while calls number first to last run.

        All that it holds lies then before what the other one holds.
        """
        part = slice(first, last + 1)
        both = (self.high[part] > self.low[part]) & (other.high[part] > other.low[part])
        return int((self.high[part] - other.low[part])[both].max()) if both.any() else 0

    def before_all(self, first: int, last: int) -> int:
        """The same, before a tensor that holds all its bytes."""
        return int(self._edges[0][first : last + 1].max())

    def behind_all(self, size: int, first: int, last: int) -> int:
        """By how many bytes a tensor that holds all its `size` bytes has to start before this one."""
        _, bottom, some = (part[first : last + 1] for part in self._edges)
        return size - int(bottom[some].min()) if some.any() else 0


@dataclass
class Overlap:
    """How far before its input the output of a call in a loop has to start where it lies over that.

    least: bytes so that nothing is overwritten but what the call itself reads last
    offsets: [kinds of strips] bytes that are added to the distance that the kernel needs: rows that lie before those
        which it writes, less those before the ones that it reads
    """

    least: int
    offsets: List[int]


@dataclass
class Schedule:
    """count: strips

    windows: of the tensors that only calls of the loop read; whole: the other outputs, which lie in memory whole
    held: of these, and of the tensors that the loop reads and others made, as if nobody read these afterwards
    overlaps: of calls with one input
    apart: `Held.before` of two tensors while calls number first to last run, as far as it was needed
    """

    count: int
    windows: Dict[Tensor, Window]
    whole: List[Tensor]
    held: Dict[Tensor, Held]
    overlaps: Dict[Call, Overlap]
    apart: Dict[Tuple[Tensor, Tensor, int, int], int] = field(default_factory=dict)

    def before(self, one: Tensor, other: Tensor, first: int, last: int) -> int:
        """By how many bytes a tensor has to start before another one (`Held.before`)."""
        key = (one, other, first, last)
        if key not in self.apart:
            self.apart[key] = self.held[one].before(self.held[other], first, last)
        return self.apart[key]

    def overlapping(self, call: Call, first: int, last: int, number: int, distances: List[int]) -> int:
        """The same for the output of a call, number `number`, and its input.

        distances: [kinds of strips] by how many bytes the kernel has to write before what it reads
        """
        overlap, output, source = self.overlaps[call], call.writes[0], call.reads[0].root
        found = [overlap.least, *(sum(both) for both in zip(overlap.offsets, distances))]
        for begin, end in ((first, number - 1), (number + 1, last)):
            if begin <= end:
                found.append(self.before(output, source, begin, end))
        return max(found)


def _sink_ends(height: int, count: int) -> np.ndarray:
    return -(-height * np.arange(count + 1) // count)


class Scheduler:
    """Makes the schedule of calls that run together. One of them leads: it computes `rows` rows in every strip.

    If the last one leads, those before it (`put_before`, one by one) compute what it needs. If the first one leads,
    those behind it (`put_behind`) compute what they can from the rows that exist. Windows reach over several rows, so
    the others have rows to compute before the last one's first strip, or behind the first one's last one: not all in
    one strip, which would make windows tall, but as few in each as in all others. So there are more strips in front
    or behind (DELAY).
    """

    # Strips more than those of the leader, at most. What is left then is computed in one.
    DELAY = 24

    def __init__(self, leader: Call, rows: int, first_leads: bool = False, reaches: Optional[Reaches] = None):
        self._reaches = reaches or Reaches()
        height = self._reaches.height_of(leader)
        steps = np.minimum(np.arange(-(-height // rows) + 1) * rows, height)
        self.count = len(steps) - 1 + self.DELAY
        self.rows, self.height = rows, height
        self.calls: List[Call] = []
        # Tensor -> [count + 1] rows that calls behind it need; (reading call, place among its reads, first row per
        # strip that it still reads); [count + 1] rows that exist before and after each strip.
        self.needed: Dict[Tensor, np.ndarray] = {}
        self.reads: Dict[Tensor, List[Tuple[Call, int, np.ndarray]]] = {}
        self.ends: Dict[Tensor, np.ndarray] = {}
        # Call -> [count + 1] rows that it has computed, or added up; [count] (first, end) rows of each tensor it reads.
        self._rows: Dict[Call, Tuple[np.ndarray, List[Tuple[np.ndarray, np.ndarray]]]] = {}
        self._leaders = np.pad(steps, (0, self.DELAY) if first_leads else (self.DELAY, 0), mode="edge")

    def _most(self, call: Call) -> int:
        """The most rows that a call should compute in a strip."""
        return max(-(-self.rows * self._reaches.height_of(call) // self.height), 1)

    def put_before(self, call: Call) -> None:
        """Add a call in front of the others; they, or calls behind the loop, read its output."""
        output = call.writes[0]
        ends = self._leaders if not self.calls else self.needed.get(output)
        self.calls.insert(0, call)
        # Nobody behind them waits for single rows.
        if ends is None or (self._reaches.sums_rows(call) and len(self.calls) > 1):
            ends = _sink_ends(self._reaches.height_of(call), self.count)
        # It begins early enough: ends[i] >= ends[i + 1] - most.
        slope = self._most(call) * np.arange(len(ends))
        self._record(call, np.maximum.accumulate((ends - slope)[::-1])[::-1] + slope)

    def put_behind(self, call: Call) -> None:
        """Add a call behind the others; it computes a row as soon as the rows that it reads exist."""
        self.calls.append(call)
        height, ends = self._reaches.height_of(call), None
        for place, tensor in enumerate(self._reaches.reads_of(call)):
            if tensor.root in self.ends:
                there = self.ends[tensor.root]
                able = self._reaches.of(call, place).output_rows(there, height)
                able = np.where(there == tensor.shape[1], height, able)
                ends = able if ends is None else np.minimum(ends, able)
        if len(self.calls) == 1:
            ends = self._leaders
        if ends is None:
            ends = _sink_ends(height, self.count)
        # It falls behind where it could compute many at once: ends[i] <= ends[i - 1] + most.
        slope = self._most(call) * np.arange(len(ends))
        self._record(call, np.minimum.accumulate(ends - slope) + slope)

    def trim(self) -> None:
        """Take away the strips at the beginning and the end in which no call has rows."""
        used = np.any([ends[:-1] != ends[1:] for ends, _ in self._rows.values()], axis=0).nonzero()[0]
        first, end = int(used[0]), int(used[-1]) + 1
        self.count = end - first
        self._rows = {
            call: (ends[first : end + 1], [(begin[first:end], last[first:end]) for begin, last in given])
            for call, (ends, given) in self._rows.items()
        }
        self.ends = {tensor: ends[first : end + 1] for tensor, ends in self.ends.items()}
        self.reads = {
            tensor: [(call, place, rows[first:end]) for call, place, rows in reads]
            for tensor, reads in self.reads.items()
        }

    def rows_of(self, call: Call) -> np.ndarray:
        """The rows of each strip in which a call has some."""
        rows = np.diff(self._rows[call][0])
        return rows[rows > 0]

    def strips(self, call: Call) -> List[Strip]:
        """What a call does in each strip."""
        ends, given = self._rows[call]
        inputs = [zip(begin.tolist(), last.tolist()) for begin, last in given]
        return [Strip(*one) for one in zip(ends[:-1].tolist(), ends[1:].tolist(), zip(*inputs))]

    def _record(self, call: Call, ends: np.ndarray) -> None:
        """ends: [count + 1] rows that it has computed, or added up, before and after each strip"""
        output, height = call.writes[0], self._reaches.height_of(call)
        ends = ends.copy()
        # Rows made of padding alone could exist before the first strip, and rows that nobody reads need not exist; but
        # a trace shows every row of every layer, so each is computed in a strip.
        ends[0], ends[-1] = 0, height
        self.ends[output] = (ends == height).astype(ends.dtype) if self._reaches.sums_rows(call) else ends
        first, end = ends[:-1], ends[1:]
        given = []
        for place, tensor in enumerate(self._reaches.reads_of(call)):
            height_in = self._reaches.read_height(call, place)
            begin, last = self._reaches.of(call, place).input_rows(first, end, height_in)
            given.append((begin, last))
            last = np.maximum.accumulate(np.where(end > first, last, 0))
            self._reads(call, place, tensor.root, np.where(first == height, height_in, begin), last)
        self._rows[call] = (ends, given)

    def _reads(self, call: Call, place: int, tensor: Tensor, first: np.ndarray, end: np.ndarray) -> None:
        self.reads.setdefault(tensor, []).append((call, place, first))
        ends = np.concatenate([[0], end])
        known = self.needed.get(tensor)
        self.needed[tensor] = ends if known is None else np.maximum(known, ends)

    def window(self, tensor: Tensor) -> Window:
        """The window of a tensor that only calls of the loop read."""
        ends = self.ends[tensor]
        starts = np.minimum.reduce([first for _, _, first in self.reads[tensor]])
        starts = np.minimum(starts, ends[:-1])
        return Window(int((ends[1:] - starts).max()), starts, ends)

    def held(self, tensor: Tensor, window: Optional[Window] = None, others_read: bool = False, outer: int = 0) -> Held:
        """What a tensor that the loop makes or reads holds.

        window: where it has one; others_read: later on, too; outer: for so many calls more in front and behind
        """
        high = np.full((len(self.calls) + 2 * outer, self.count), tensor.bytes, np.int64)
        maker, ends = 0, None  # row of the call that makes it
        if tensor in self.ends:
            maker = outer + next(number for number, call in enumerate(self.calls) if call.writes[0] is tensor)
            ends = self.ends[tensor] * row_bytes(tensor)
            high[:maker], high[maker:] = ends[:-1], ends[1:]
        low = np.zeros_like(high)
        if not others_read:
            low += tensor.bytes
            for call, place, first in self.reads[tensor]:
                # The rows of a channel of a planar image lie apart: they are needed until the end.
                row = 0 if is_planar(call, place) else row_bytes(self._reaches.reads_of(call)[place])
                begin, behind = np.append(first * row, tensor.bytes), outer + self.calls.index(call) + 1
                for part, rows in ((low[:behind], begin[:-1]), (low[behind:], begin[1:])):
                    np.minimum(part, rows, out=part)
            if ends is not None:
                # All new rows are written, also those that nobody reads, as between the windows of a stride.
                np.minimum(low[maker], ends[:-1], out=low[maker], where=ends[:-1] < ends[1:])
        np.minimum(low, high, out=low)
        start = window.starts * row_bytes(tensor) if window is not None else 0
        return Held(low - start, high - start)

    def overlap(self, call: Call, windows: Dict[Tensor, Window]) -> Overlap:
        """How the output of a call may lie over its input."""
        source, output, strips = call.reads[0].root, call.writes[0], call.strips
        now = self.calls.index(call) + 1
        # Others read what the loop makes where that has no window.
        read = self.held(source, windows.get(source), source in self.ends and source not in windows, outer=1)
        made = self.held(output, windows.get(output), output not in windows, outer=1)
        active = np.array([kind >= 0 for kind in strips.kinds])
        # Rows of the output that are there already; nothing at all in a strip in which the call rests.
        written = np.where(active, made.high[now - 1], made.high[now])
        kept = written > made.low[now]
        least = [(written - read.low[now])[kept & (read.high[now] > read.low[now])]]
        least.append((made.high[now] - read.low[now + 1])[active & (read.high[now + 1] > read.low[now + 1])])
        start = windows[source].starts * row_bytes(source) if source in windows else 0
        begin = np.array([one.inputs[0][0] for one in strips.strips]) * row_bytes(call.reads[0]) - start
        kinds = np.array(strips.kinds)
        offsets = [int((written - begin)[kinds == kind].max()) for kind in range(len(strips.parts))]
        return Overlap(max((int(one.max()) for one in least if len(one)), default=-output.bytes), offsets)


def make_loop(calls: List[Call], rows: int, whole: Set[Tensor], first_leads: bool = False) -> Loop:
    """Calls as a loop, scheduled.

    rows: of the last call's output in a strip, or of the first one's if that leads
    whole: tensors that must lie in memory whole, since others read them
    """
    scheduler = Scheduler(calls[0 if first_leads else -1], rows, first_leads)
    for call in calls if first_leads else reversed(calls):
        (scheduler.put_behind if first_leads else scheduler.put_before)(call)
    scheduler.trim()
    inner = [call.writes[0] for call in calls]
    windows = {x: scheduler.window(x) for x in inner if x not in whole and x in scheduler.reads}
    rest = [x for x in inner if x not in windows]
    for call in calls:
        call.strips = strips_of(call, scheduler.strips(call))
    held = {x: scheduler.held(x, window) for x, window in windows.items()}
    held.update((x, scheduler.held(x, others_read=True)) for x in rest)
    held.update((x, scheduler.held(x)) for x in scheduler.reads if x not in inner)
    overlaps = {call: scheduler.overlap(call, windows) for call in calls if len(call.reads) == 1}
    return Loop(calls, rows, first_leads, Schedule(scheduler.count, windows, rest, held, overlaps))
