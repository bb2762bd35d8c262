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
from typing import Dict, List, Optional, Sequence, Set, Tuple, Union

import numpy as np

from ...program import Call, Loop, Tensor
from .reaches import Reaches, Reading, row_bytes
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


class Runs:
    """The strips of several loops, one loop behind the other in an array, so that NumPy computes all at once.

    Arrays have a number before every strip of a loop and one after its last one. Of two numbers beside each other, as
    between the first and the last of an array, those between two loops mean nothing.

    counts: strips of each loop
    firsts, lasts: [loops] the places of the numbers before the first strip and after the last one
    loop, number: [places] of the loop, and of the strip in it; apart: less or more by this, numbers of one loop are
        less than all of the loop before it, or more
    """

    _FAR = 1 << 40

    def __init__(self, counts: Sequence[int]):
        self.counts = np.array(counts)
        self.firsts = np.cumsum(self.counts + 1) - self.counts - 1
        self.lasts = self.firsts + self.counts
        self.loop = np.repeat(np.arange(len(counts)), self.counts + 1)
        self.number = np.arange(len(self.loop)) - self.firsts[self.loop]
        self.apart = self.loop * self._FAR
        self._edges = np.stack([self.firsts, self.lasts], axis=1).reshape(-1)[:-1]

    @property
    def strips(self) -> int:
        """How many numbers say something of strips, with those between loops."""
        return len(self.loop) - 1

    def most(self, values: np.ndarray) -> np.ndarray:
        """[..., loops] the most of [..., strips]."""
        return np.maximum.reduceat(values, self._edges, axis=-1)[..., ::2]

    def total(self, values: np.ndarray) -> np.ndarray:
        """[loops] the sums of [strips]."""
        return np.add.reduceat(values, self._edges)[::2]

    def never_less(self, values: np.ndarray) -> np.ndarray:
        """[strips] the most so far in the loop."""
        apart = self.apart[:-1]
        return np.maximum.accumulate(values + apart) - apart


@dataclass
class Stretch:
    """What a tensor holds while some calls run: bytes `low` to `high` - 1 of it, of each strip or of all.

    first, end: from which call on and up to which one; -1 is before the first call, `len(calls)` behind the last one
    """

    first: int
    end: int
    low: Union[np.ndarray, int]
    high: Union[np.ndarray, int]


class Scheduler:
    """Makes the schedule of calls that run together. One of them leads: it computes `rows` rows in every strip.

    If the last one leads, those before it (`put_before`, one by one) compute what it needs. If the first one leads,
    those behind it (`put_behind`) compute what they can from the rows that exist. Windows reach over several rows, so
    the others have rows to compute before the last one's first strip, or behind the first one's last one: not all in
    one strip, which would make windows tall, but as few in each as in all others. So there are more strips in front
    or behind (DELAY).

    It makes several loops of the same calls at once, one for each number of rows; `make_loop` makes one.
    """

    # Strips more than those of the leader, at most. What is left then is computed in one.
    DELAY = 24

    def __init__(self, leader: Call, rows: Sequence[int], first_leads: bool = False, reaches: Optional[Reaches] = None):
        self._reaches = reaches or Reaches()
        self._first_leads = first_leads
        self.rows, self.height = np.array(rows), self._reaches.height_of(leader)
        self.runs = Runs([-(-self.height // one) + self.DELAY for one in rows])
        self.calls: List[Call] = []
        # Tensor -> [places] rows that calls behind it need; (reading call, what it reads, first row per strip that it
        # still reads); [places] rows that exist before and after each strip; the call that makes it.
        self.needed: Dict[Tensor, np.ndarray] = {}
        self.reads: Dict[Tensor, List[Tuple[Call, Reading, np.ndarray]]] = {}
        self.ends: Dict[Tensor, np.ndarray] = {}
        self._makers: Dict[Tensor, Call] = {}
        # Call -> its place in the order in which they were put.
        self._order: Dict[Call, int] = {}
        # Call -> [places] rows that it has computed, or added up; [strips] (first, end) rows of each tensor it reads.
        self._rows: Dict[Call, Tuple[np.ndarray, List[Tuple[np.ndarray, np.ndarray]]]] = {}
        self._slopes: Dict[int, np.ndarray] = {}
        begun = self.runs.number - (0 if first_leads else self.DELAY)
        self._leaders = np.clip(begun * self.rows[self.runs.loop], 0, self.height)

    def number_of(self, call: Call) -> int:
        """Its place among the calls."""
        return self._order[call] if self._first_leads else len(self.calls) - 1 - self._order[call]

    def _slope(self, call: Call) -> np.ndarray:
        """[places] the rows that a call should have computed at most, where it begins with the first strip."""
        height = self._reaches.height_of(call)
        if height not in self._slopes:
            most = np.maximum(-(-self.rows * height // self.height), 1)
            self._slopes[height] = most[self.runs.loop] * self.runs.number + self.runs.apart
        return self._slopes[height]

    def _sink_ends(self, height: int) -> np.ndarray:
        return -(-height * self.runs.number // self.runs.counts[self.runs.loop])

    def put_before(self, call: Call) -> None:
        """Add a call in front of the others; they, or calls behind the loop, read its output."""
        output = call.writes[0]
        ends = self._leaders if not self.calls else self.needed.get(output)
        self._order[call] = len(self.calls)
        self.calls.insert(0, call)
        # Nobody behind them waits for single rows.
        if ends is None or (self._reaches.sums_rows(call) and len(self.calls) > 1):
            ends = self._sink_ends(self._reaches.height_of(call))
        # It begins early enough: ends[i] >= ends[i + 1] - most.
        slope = self._slope(call)
        self._record(call, np.maximum.accumulate((ends - slope)[::-1])[::-1] + slope)

    def put_behind(self, call: Call) -> None:
        """Add a call behind the others; it computes a row as soon as the rows that it reads exist."""
        self._order[call] = len(self.calls)
        self.calls.append(call)
        height, ends = self._reaches.height_of(call), None
        for one in self._reaches.readings(call):
            there = self.ends.get(one.tensor)
            if there is not None:
                able = np.where(there == one.height, height, one.reach.output_rows(there, height))
                ends = able if ends is None else np.minimum(ends, able)
        if len(self.calls) == 1:
            ends = self._leaders
        if ends is None:
            ends = self._sink_ends(height)
        # It falls behind where it could compute many at once: ends[i] <= ends[i - 1] + most.
        slope = self._slope(call)
        self._record(call, np.minimum.accumulate(ends - slope) + slope)

    def trim(self) -> int:
        """Take away the strips of the only loop at the beginning and the end in which no call has rows; how many are
        left."""
        used = np.any([ends[:-1] != ends[1:] for ends, _ in self._rows.values()], axis=0).nonzero()[0]
        first, end = int(used[0]), int(used[-1]) + 1
        self.runs = Runs([end - first])
        self._rows = {
            call: (ends[first : end + 1], [(begin[first:end], last[first:end]) for begin, last in given])
            for call, (ends, given) in self._rows.items()
        }
        self.ends = {tensor: ends[first : end + 1] for tensor, ends in self.ends.items()}
        self.reads = {
            tensor: [(call, reading, rows[first:end]) for call, reading, rows in reads]
            for tensor, reads in self.reads.items()
        }
        return end - first

    def rows_of(self, call: Call) -> np.ndarray:
        """[strips] the rows of a call."""
        ends = self._rows[call][0]
        return ends[1:] - ends[:-1]

    def strips(self, call: Call) -> List[Strip]:
        """What a call does in each strip of the only loop."""
        ends, given = self._rows[call]
        inputs = [zip(begin.tolist(), last.tolist()) for begin, last in given]
        return [Strip(*one) for one in zip(ends[:-1].tolist(), ends[1:].tolist(), zip(*inputs))]

    def _record(self, call: Call, ends: np.ndarray) -> None:
        """ends: [places] rows that it has computed, or added up, before and after each strip"""
        output, height = call.writes[0], self._reaches.height_of(call)
        # Rows made of padding alone could exist before the first strip, and rows that nobody reads need not exist; but
        # a trace shows every row of every layer, so each is computed in a strip.
        ends[self.runs.firsts], ends[self.runs.lasts] = 0, height
        self._makers[output] = call
        self.ends[output] = (ends == height).astype(ends.dtype) if self._reaches.sums_rows(call) else ends
        first, end, given = ends[:-1], ends[1:], []
        is_done, rests = first == height, first == end
        for one in self._reaches.readings(call):
            begin, last = one.reach.input_rows(first, end, one.height)
            given.append((begin, last))
            still_read = np.where(is_done, one.height, begin)
            self.reads.setdefault(one.tensor, []).append((call, one, still_read))
            needed = np.zeros_like(ends)
            needed[1:] = self.runs.never_less(np.where(rests, 0, last))
            needed[self.runs.firsts] = 0
            known = self.needed.get(one.tensor)
            self.needed[one.tensor] = needed if known is None else np.maximum(known, needed)
        self._rows[call] = (ends, given)

    def starts(self, tensor: Tensor) -> np.ndarray:
        """[strips] the row at the start of the window of a tensor that only calls of the loop read."""
        starts = self.ends[tensor][:-1]
        for _, _, first in self.reads[tensor]:
            starts = np.minimum(starts, first)
        return starts

    def window(self, tensor: Tensor) -> Window:
        """The window of such a tensor in the only loop."""
        ends, starts = self.ends[tensor], self.starts(tensor)
        return Window(int((ends[1:] - starts).max()), starts, ends)

    def stretches(self, tensor: Tensor, others_read: bool = False) -> List[Stretch]:
        """What a tensor that the loop makes or reads holds, in the order of the calls.

        others_read: later on, too
        """
        size, behind = tensor.bytes, len(self.calls) + 1
        borders, maker, ends = {-1, behind}, behind, None
        before = after = size
        if tensor in self.ends:
            maker, ends = self.number_of(self._makers[tensor]), self.ends[tensor] * row_bytes(tensor)
            before, after = ends[:-1], ends[1:]
            borders.update((maker, maker + 1))
        # Up to which call the first row counts that this reads now, and from then on the one of the next strip.
        reads = []
        for call, one, first in () if others_read else self.reads[tensor]:
            now, later = first * one.width, np.empty_like(first)
            later[:-1] = now[1:]
            # The rows of a channel of a planar image lie apart: they are needed until the end.
            later[self.runs.lasts - 1] = size
            reads.append((self.number_of(call) + 1, now, later))
            borders.add(reads[-1][0])
        found, order = [], sorted(borders)
        for begin, end in zip(order, order[1:]):
            high = before if begin < maker else after
            low = 0 if others_read else size
            for border, now, later in reads:
                low = np.minimum(low, now if begin < border else later)
            if begin == maker:
                # All new rows are written, also those that nobody reads, as between the windows of a stride.
                low = np.minimum(low, before)
            found.append(Stretch(begin, end, low if others_read else np.minimum(low, high), high))
        return found

    def held(self, tensor: Tensor, window: Optional[Window] = None, others_read: bool = False, outer: int = 0) -> Held:
        """The same in the only loop, from the start of its window, where it has one.

        outer: for so many calls more in front and behind, 0 or 1
        """
        low, high = np.empty((2, len(self.calls) + 2, self.runs.strips), np.int64)
        for one in self.stretches(tensor, others_read):
            low[one.first + 1 : one.end + 1], high[one.first + 1 : one.end + 1] = one.low, one.high
        inner = slice(1 - outer, len(self.calls) + 1 + outer)
        start = window.starts * row_bytes(tensor) if window is not None else 0
        return Held(low[inner] - start, high[inner] - start)

    def overlap(self, call: Call, windows: Dict[Tensor, Window]) -> Overlap:
        """How the output of a call may lie over its input."""
        source, output, strips = call.reads[0].root, call.writes[0], call.strips
        now = self.number_of(call) + 1
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
    scheduler = Scheduler(calls[0 if first_leads else -1], [rows], first_leads)
    for call in calls if first_leads else reversed(calls):
        (scheduler.put_behind if first_leads else scheduler.put_before)(call)
    count = scheduler.trim()
    inner = [call.writes[0] for call in calls]
    windows = {x: scheduler.window(x) for x in inner if x not in whole and x in scheduler.reads}
    rest = [x for x in inner if x not in windows]
    for call in calls:
        call.strips = strips_of(call, scheduler.strips(call))
    held = {x: scheduler.held(x, window) for x, window in windows.items()}
    held.update((x, scheduler.held(x, others_read=True)) for x in rest)
    held.update((x, scheduler.held(x)) for x in scheduler.reads if x not in inner)
    overlaps = {call: scheduler.overlap(call, windows) for call in calls if len(call.reads) == 1}
    return Loop(calls, rows, first_leads, Schedule(count, windows, rest, held, overlaps))
