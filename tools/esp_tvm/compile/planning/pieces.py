"""The pieces that a program can be cut into: a call, or several in a loop, with what they need and cost (loops.py)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Dict, Iterator, List, Optional, Set, Tuple

import numpy as np

from ...estimate.work import in_sixes
from ...program import Call, Program, Tensor
from ..kernels.esp32s3 import LANES, Esp32s3Variant
from ..kernels.mac16 import uses_mac16
from ..kernels.portable import VARIANTS, Conv2d6x2
from ..kernels.variants import Variant
from .blocks import Block, aligned, floor_at
from .cores import PLAIN, estimate
from .memory import plan_memory, scratch_bytes, scratch_bytes_of_sums
from .reaches import MAX_INPUTS, Reaches, height_of, reach_of, row_bytes
from .strips import Scheduler

# The numbers of rows that the leading call may compute in a strip, and the most calls in a loop.
ROWS = (1, 2, 3, 4, 6, 8, 12, 16)
LONGEST = 48
# Estimated instructions: to start a kernel (VECTOR_CALL: one for the vector unit), to move a byte of a row that a later
# strip still reads, and for an output value of a kernel without multiply-accumulates.
CALL, VECTOR_CALL = 600, 900
MOVED_BYTE = 0.6
VALUE = 6
# To read or write a byte of PSRAM (octal, estimate/memories.py) that does not fit inside.
OUTSIDE_BYTE = 2.6
# How many times as long convolutions take by kernels that need no scratch memory (`make bench`).
LEAN = 1.3
# How much time a piece that needs the whole limit seems to take more, as a part of the time of the program.
NEARLY_FULL = 0.003


@dataclass(frozen=True)
class Piece:
    """Calls number first to last, together in strips of `rows` rows if that is not 0.

    first_leads: the rows are those of the first call's output, else of the last one's
    fast: by the fastest kernels, which need scratch memory; else by those that need the least
    memory: bytes of arena while they run; time: instructions that the strips and slower kernels add
    fixed: those of its bytes that whole tensors do not take: windows and scratch memory
    """

    first: int
    last: int
    rows: int
    first_leads: bool
    fast: bool
    memory: int
    time: float
    fixed: int = 0


def fastest(call: Call) -> Optional[Variant]:
    """The fastest kernel for a call where it needs more scratch memory than the one that it has; else None."""
    if call.variant is None or isinstance(call.variant, Esp32s3Variant) or uses_mac16(call):
        return None
    planned = (one for one in VARIANTS.get(call.operator, ()) if not one.for_spare_memory)
    first = next((one for one in planned if one.fits(call)), call.variant)
    if first is call.variant or (call.followers and not first.fuses_add):
        return None
    return first if first.scratch(call) > call.variant.scratch(call) else None


def is_whole(tensor: Tensor, calls: List[Call], readers: Dict[Tensor, List[Call]]) -> bool:
    """Whether others than these calls read a tensor that one of them makes, or it is an output of the model."""
    inside = set(calls)
    return tensor.place is not None or not readers.get(tensor) or any(one not in inside for one in readers[tensor])


def _time(call: Call) -> float:
    """Instructions that a call takes."""
    if call.kind in PLAIN:
        return estimate(call)
    return 0 if call.is_fallback else VALUE * sum(x.elements for x in call.writes)


class Usage:
    """Bytes that calls need in every strip while they run together; calls are put before or behind them one by one."""

    def __init__(self, strips: int):
        self._bytes = np.zeros((0, strips), np.int64)
        # How much more the fastest kernels need.
        self._faster: List[int] = []
        # [strips] what is needed before the first call and behind the last one in a strip.
        self._before, self._behind = np.zeros(strips, np.int64), np.zeros(strips, np.int64)

    def put_before(self, scratch: int, faster: int, sums: int) -> None:
        """A call in front. scratch: its kernel's bytes; faster: more for a faster one; sums: that stay all the time"""
        self._bytes = np.concatenate([(self._before + scratch)[None], self._bytes])
        self._faster = [faster, *self._faster]
        self._always(sums)

    def put_behind(self, scratch: int, faster: int, sums: int) -> None:
        """The same for a call behind."""
        self._bytes = np.concatenate([self._bytes, (self._behind + scratch)[None]])
        self._faster = [*self._faster, faster]
        self._always(sums)

    def _always(self, sums: int) -> None:
        """Bytes that are needed all the time."""
        if sums:
            self._bytes += sums
            self._before, self._behind = self._before + sums, self._behind + sums

    def add(self, size: np.ndarray) -> None:
        """size: [calls + 2, strips] bytes that a tensor holds, with a row before and one behind those of the calls;
        below 0: that it no longer holds"""
        self._before, self._behind = self._before + size[0], self._behind + size[-1]
        self._bytes += size[1:-1]

    def most(self, fast: bool) -> int:
        """The most bytes at a time, of the fastest kernels or of those that need the least."""
        return int((self._bytes + np.array(self._faster)[:, None] if fast else self._bytes).max())


class _Loop:
    """The calls of a piece that becomes longer, call by call, and what they need.

    usage: bytes of windows and scratch memory; total: these, those of outputs that lie in memory whole, less those of
        tensors made before that nobody needs any more
    """

    def __init__(self, scheduler: Scheduler):
        self.scheduler = scheduler
        self.usage, self.total = Usage(scheduler.count), Usage(scheduler.count)
        self.time = self.slower = 0.0

    def put(self, before: bool, *needs: int) -> None:
        """A call in front of the others, or behind them. needs: see `Usage.put_before`"""
        for usage in (self.usage, self.total):
            (usage.put_before if before else usage.put_behind)(*needs)

    def add_window(self, tensor: Tensor) -> None:
        """Add the window of a tensor, and the time of moving its rows."""
        window = self.scheduler.window(tensor)
        size = self.scheduler.held(tensor, window, outer=1).bytes
        self.usage.add(size)
        self.total.add(size)
        self.time += MOVED_BYTE * row_bytes(tensor) * float(np.maximum(window.kept, 0).sum())

    def whole(self, tensor: Tensor) -> np.ndarray:
        """[calls + 2, strips] bytes of an output that lies in memory whole."""
        return self.scheduler.held(tensor, others_read=True, outer=1).bytes


class _Freed:
    """Bytes of tensors made before a loop that nobody needs any more while it runs."""

    def __init__(self, scheduler: Scheduler):
        self._scheduler = scheduler
        # Tensor -> (calls, [calls + 2, strips] bytes) when it was freed.
        self._known: Dict[Tensor, Tuple[int, np.ndarray]] = {}

    def free(self, tensor: Tensor) -> np.ndarray:
        """For `Usage.add`: what the loop no longer needs of a tensor that it reads, and nobody behind it."""
        low = self._scheduler.held(tensor, outer=1).low
        self._known[tensor] = (len(self._scheduler.calls), low)
        return -low

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor in self._known

    def kept_again(self, tensor: Tensor) -> np.ndarray:
        """For `Usage.add`, after a call was put in front: what it needs again since that reads or makes it."""
        calls, low = self._known.pop(tensor)
        # Calls in front are as the row before the first one.
        return np.concatenate([*[low[:1]] * (len(self._scheduler.calls) - calls), low])


class Pieces:
    """All pieces of a program. ending: for each call those that end with it

    unsuited: calls that are in no loop; most: bytes that windows and scratch memory may take; loops that need more are
        left out; None: any
    """

    def __init__(self, program: Program, unsuited: Set[Call], most: Optional[int] = None):
        self.calls, self.unsuited, self.most = list(program.calls()), unsuited, most
        self._program = program
        # Pieces of which another estimate is known.
        self._corrections: List[Tuple[Piece, int]] = []
        self.readers, self._reaches = program.readers(), Reaches()
        plan = plan_memory(program)
        self.number = {call: number for number, call in enumerate(self.calls)}
        self.suited = [call not in unsuited and self._is_suited(call) for call in self.calls]
        self.birth: Dict[Tensor, int] = {}
        self.death: Dict[Tensor, int] = {}
        self.owner = {tensor: _owner(tensor, plan.views) for call in self.calls for tensor in call.writes}
        # The last call that reads a tensor; one behind all where it is an output of the model, or nobody reads it.
        self.until = {x: self._last_reader(x) for call in self.calls for x in call.writes}
        for number, call in enumerate(self.calls):
            for tensor in call.writes:
                if tensor in plan.where and self.owner[tensor] is tensor:
                    self.birth[tensor] = self.death[tensor] = number
        for number, call in enumerate(self.calls):
            for tensor in call.reads:
                owner = self.owner.get(tensor.root, tensor.root)
                if owner in self.death:
                    self.death[owner] = number
        self.across = self._across()
        self.time = sum(map(_time, self.calls))
        faster = [fastest(call) for call in self.calls]
        # Bytes that the kernels need, and those of sums that stay from strip to strip.
        self.needs = [aligned(scratch_bytes(call)) for call in self.calls]
        self.sums = [aligned(scratch_bytes_of_sums(call)) for call in self.calls]
        # How many more bytes the fastest kernels need, and how many more instructions the others take.
        self.scratch = [aligned(v.scratch(c)) - scratch_bytes(c) if v else 0 for c, v in zip(self.calls, faster)]
        self.slower = [(LEAN - 1) * _time(c) if v else 0.0 for c, v in zip(self.calls, faster)]
        self.ending = [list(self._single(number, plan.blocks)) for number in range(len(self.calls))]
        for last in range(len(self.calls)):
            if self.suited[last]:
                # One row cannot be cut in two for two cores.
                least, height = (2 if program.cores > 1 else 1), self._reaches.height_of(self.calls[last])
                for rows in (one for one in ROWS if least <= one <= height // 2):
                    self.ending[last] += self._ending(last, rows)

        if program.cores == 1:
            for first in range(len(self.calls)):
                if self.suited[first]:
                    for rows in (one for one in ROWS if one <= self._reaches.height_of(self.calls[first]) // 2):
                        for piece in self._starting(first, rows):
                            self.ending[piece.last].append(piece)

    @staticmethod
    def _is_suited(call: Call) -> bool:
        """Whether a call can be in a loop with the kernel that it has."""
        if reach_of(call) is None or len(call.reads) > MAX_INPUTS or height_of(call) < 2:
            return False
        # Tensors of the vector unit start at multiples of 16, and so must rows.
        vector = isinstance(call.variant, Esp32s3Variant)
        return not vector or all(row_bytes(x) % LANES == 0 for x in [*call.reads, *call.writes])

    def _across(self) -> np.ndarray:
        """[call] bytes of tensors that were made before a call and are still needed by it or a later one."""
        across = np.zeros(len(self.calls) + 1, np.int64)
        for tensor, birth in self.birth.items():
            across[birth + 1 : self.death[tensor] + 1] += aligned(tensor.bytes)
        return across

    def _single(self, number: int, blocks: List[Block]) -> Iterator[Piece]:
        memory, more, slower = floor_at(blocks, number), self.scratch[number], self.slower[number]
        fixed = self.needs[number]
        yield Piece(number, number, 0, False, False, memory, slower, fixed)
        if slower:
            yield Piece(number, number, 0, False, True, memory + more, 0.0, fixed + more)

    def _last_reader(self, tensor: Tensor) -> int:
        readers = self.readers.get(tensor)
        return len(self.calls) if tensor.place is not None or not readers else max(map(self.number.get, readers))

    def _ending(self, last: int, rows: int) -> Iterator[Piece]:
        """Loops that end with a call, from the shortest to the longest."""
        scheduler = Scheduler(self.calls[last], rows, False, self._reaches)
        loop, freed = _Loop(scheduler), _Freed(scheduler)
        for first in range(last, max(last - LONGEST, -1), -1):
            call = self.calls[first]
            if not self.suited[first] or not self._reaches.can_be_together(call, scheduler.calls):
                return
            scheduler.put_before(call)
            loop.put(True, self.needs[first], self.scratch[first], self.sums[first])
            loop.slower += self.slower[first]
            output = call.writes[0]
            if output in freed:
                loop.total.add(freed.kept_again(output))
            if self.until[output] <= last:
                loop.add_window(output)
            elif output in self.birth:
                loop.total.add(loop.whole(output))
            loop.time += self._added_time(call, scheduler)
            for tensor in self._reaches.roots_of(call):
                if self.owner.get(tensor, tensor) is tensor and self.death.get(tensor, len(self.calls)) <= last:
                    if tensor in freed:
                        loop.total.add(freed.kept_again(tensor))
                    loop.total.add(freed.free(tensor))
            if first < last:
                found = list(self._loops(loop, first, last, False, rows))
                if not found:
                    return
                yield from found

    def _starting(self, first: int, rows: int) -> Iterator[Piece]:
        """Loops that start with a call, which leads, from the shortest to the longest."""
        scheduler = Scheduler(self.calls[first], rows, True, self._reaches)
        loop, freed = _Loop(scheduler), _Freed(scheduler)
        opened: List[Tensor] = []  # outputs that lie in memory whole
        waiting: Dict[Tensor, None] = {}  # tensors made before that somebody still needs
        adding_up: List[Call] = []
        for last in range(first, min(first + LONGEST, len(self.calls))):
            call = self.calls[last]
            if not self.suited[last] or not all(self._reaches.can_be_together(one, [call]) for one in adding_up):
                return
            adding_up += [call] if self._reaches.sums_rows(call) else []
            scheduler.put_behind(call)
            loop.put(False, self.needs[last], self.scratch[last], self.sums[last])
            loop.slower += self.slower[last]
            loop.time += self._added_time(call, scheduler)
            for tensor in [x for x in opened if self.until[x] <= last]:
                opened.remove(tensor)
                if tensor in self.birth:
                    loop.total.add(-loop.whole(tensor))
                loop.add_window(tensor)
            output = call.writes[0]
            opened.append(output)
            if output in self.birth:
                loop.total.add(loop.whole(output))
            for tensor in self._reaches.roots_of(call):
                if self.owner.get(tensor, tensor) is tensor and self.birth.get(tensor, first) < first:
                    waiting[tensor] = None
            for tensor in [x for x in waiting if self.death[x] <= last]:
                del waiting[tensor]
                loop.total.add(freed.free(tensor))
            if first < last:
                found = list(self._loops(loop, first, last, True, rows))
                if not found:
                    return
                yield from found

    @staticmethod
    def _added_time(call: Call, scheduler: Scheduler) -> float:
        start = VECTOR_CALL if isinstance(call.variant, Esp32s3Variant) else CALL
        return scheduler.active(call) * start + _waste(call, scheduler)

    def _loops(self, loop: _Loop, first: int, last: int, first_leads: bool, rows: int) -> Iterator[Piece]:
        """A loop by the kernels that need the least memory, and by the fastest ones if these are others; none where
        windows and scratch memory take too much, as they then also do with more calls."""
        for fast in (False, True) if loop.slower else (False,):
            fixed = loop.usage.most(fast)
            if self.most is not None and fixed > self.most:
                return
            memory = int(self.across[first]) + loop.total.most(fast)
            time = loop.time + (0.0 if fast else loop.slower)
            yield Piece(first, last, rows, first_leads, fast, memory, time, fixed)

    def complete(self) -> Pieces:
        """These with the loops that were left out."""
        if self.most is None:
            return self
        found = Pieces(self._program, self.unsuited)
        for piece, memory in self._corrections:
            found.replace(piece, memory)
        return found

    def replace(self, piece: Piece, memory: int) -> None:
        """Another estimate of the memory of a piece."""
        self._corrections.append((piece, memory))
        group = self.ending[piece.last]
        group[group.index(piece)] = replace(piece, memory=memory)

    def path(self, limit: int, slack: float) -> Optional[List[Piece]]:
        """The pieces, in order, that take the least time with no more memory than `limit`; None: there are none."""
        full = NEARLY_FULL * self.time
        return self._shortest(
            lambda p: p.memory <= limit,
            lambda p: p.time + full * max(p.memory / max(limit, 1) - slack, 0) / (1 - slack),
        )

    def path_beside(self, limit: int, room: int) -> Optional[List[Piece]]:
        """The same where whole tensors may lie in PSRAM: what must lie inside takes no more than `limit`.

        room: bytes that are inside; those for which it is not enough take time
        """
        return self._shortest(lambda p: p.fixed <= limit, lambda p: p.time + OUTSIDE_BYTE * max(p.memory - room, 0))

    def _shortest(self, fits: Callable[[Piece], bool], time: Callable[[Piece], float]) -> Optional[List[Piece]]:
        best: List[Tuple[float, Optional[Piece]]] = [(0.0, None)]
        for group in self.ending:
            found = [(best[p.first][0] + time(p), p) for p in group if fits(p)]
            # Of equal times the one with the least memory.
            best.append(min(found, key=lambda one: (one[0], one[1].memory)) if found else (np.inf, None))
        pieces: List[Piece] = []
        position = len(self.calls)
        while position:
            piece = best[position][1]
            if piece is None or best[position][0] == np.inf:
                return None
            pieces.append(piece)
            position = piece.first
        return pieces[::-1]


def _owner(tensor: Tensor, views: Dict[Tensor, Tensor]) -> Tensor:
    while tensor in views:
        tensor = views[tensor]
    return tensor


def _waste(call: Call, scheduler: Scheduler) -> float:
    """Instructions that the last pixels of a strip take more, where a kernel is fastest with several at a time."""
    if not isinstance(call.variant, Conv2d6x2):
        return 0.0
    _, height, width, _ = call.writes[0].shape
    pixels = np.diff(scheduler.ends[call.writes[0]]) * width
    more = sum(map(in_sixes, pixels)) - in_sixes(height * width)
    return estimate(call) * more / max(height * width, 1)
