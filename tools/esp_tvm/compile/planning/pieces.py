"""The pieces that a program can be cut into: a call, or several in a loop, with what they need and cost (loops.py)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable, Dict, Iterator, List, Optional, Set, Tuple

import numpy as np

from ...program import Call, Program, Tensor
from ..kernels.esp32s3 import LANES, Esp32s3Variant
from .blocks import Block, aligned, floor_at
from .kernel_times import MOVED_BYTE, Choice, KernelTimes, rows_of
from .memory import plan_memory, scratch_bytes, scratch_bytes_of_sums
from .reaches import MAX_INPUTS, Reaches, height_of, reach_of, row_bytes
from .strips import Scheduler

# The numbers of rows that the leading call may compute in a strip, and the most calls in a loop.
ROWS = (1, 2, 3, 4, 6, 8, 12, 16)
LONGEST = 48
# To read or write a byte of PSRAM (octal, estimate/memories.py) that does not fit inside.
OUTSIDE_BYTE = 2.6
# How much time a piece that needs the whole limit seems to take more, as a part of the time of the program.
NEARLY_FULL = 0.003


@dataclass(frozen=True)
class Piece:
    """Calls number first to last, together in strips of `rows` rows if that is not 0.

    first_leads: the rows are those of the first call's output, else of the last one's
    memory: bytes of arena while they run, by the kernels that need the least; time: instructions by these
    fixed: those of its bytes that whole tensors do not take: windows and scratch memory
    choices: of each call the kernels that it may have, by rising scratch memory and falling time
    beside: [calls] bytes that are in memory beside a call's scratch memory; windows: those that whole tensors do not
        take
    more: bytes that were found to be needed besides, because of gaps between blocks
    """

    first: int
    last: int
    rows: int
    first_leads: bool
    memory: int
    time: float
    fixed: int
    choices: Tuple[List[Choice], ...] = field(compare=False)
    beside: np.ndarray = field(compare=False)
    windows: np.ndarray = field(compare=False)
    more: int = 0

    def kernels(self, limit: int, fixed: bool = False) -> List[Choice]:
        """The fastest kernel of each call with no more memory than `limit`, where the leanest ones need no more.

        fixed: whole tensors do not count
        """
        rooms = limit - (self.windows if fixed else self.more + self.beside)
        return [
            next(one for one in reversed(all_) if one is all_[0] or one.scratch <= room)
            for all_, room in zip(self.choices, rooms.tolist())
        ]

    def needs(self, limit: int) -> int:
        """Bytes of arena by these kernels."""
        scratch = [one.scratch for one in self.kernels(limit)]
        return max(self.memory, self.more + int((self.beside + scratch).max()))


class _Table:
    """The pieces that end with a call as arrays, to find the best one for a limit.

    memory, time, fixed: [pieces]; owner: [faster kernels] the piece of each; needed, fixed_needed: bytes of arena that
    this needs by it, and without whole tensors; saved: instructions less than the next leaner kernel takes
    """

    def __init__(self, pieces: List[Piece]):
        self.pieces = pieces
        self.first = np.array([one.first for one in pieces])
        self.memory = np.array([one.memory for one in pieces])
        self.time = np.array([one.time for one in pieces])
        self.fixed = np.array([one.fixed for one in pieces])
        faster = [
            (number, piece.more + int(piece.beside[call]) + one.scratch, int(piece.windows[call]) + one.scratch, saved)
            for number, piece in enumerate(pieces)
            for call, choices in enumerate(piece.choices)
            if len(choices) > 1
            for one, saved in zip(choices[1:], (a.time - b.time for a, b in zip(choices, choices[1:])))
        ]
        self._owner, self.needed, self.fixed_needed, self._saved = (
            np.array(one, kind) for one, kind in zip(zip(*faster) if faster else [()] * 4, (np.int64,) * 3 + (float,))
        )

    def times(self, limit: int, fixed: bool = False) -> np.ndarray:
        """[pieces] instructions by the fastest kernels with no more memory than `limit` (`Piece.kernels`)"""
        if not len(self._owner):
            return self.time
        fits = (self.fixed_needed if fixed else self.needed) <= limit
        return self.time - np.bincount(self._owner[fits], self._saved[fits], len(self.pieces))


def is_whole(tensor: Tensor, calls: List[Call], readers: Dict[Tensor, List[Call]]) -> bool:
    """Whether others than these calls read a tensor that one of them makes, or it is an output of the model."""
    inside = set(calls)
    return tensor.place is not None or not readers.get(tensor) or any(one not in inside for one in readers[tensor])


class Usage:
    """Bytes that calls need in every strip while they run together; calls are put before or behind them one by one."""

    def __init__(self, strips: int):
        self._bytes = np.zeros((0, strips), np.int64)
        # [strips] what is needed before the first call and behind the last one in a strip.
        self._before, self._behind = np.zeros(strips, np.int64), np.zeros(strips, np.int64)

    def put_before(self, scratch: int, sums: int) -> None:
        """A call in front. scratch: its kernel's bytes; sums: that stay all the time"""
        self._bytes = np.concatenate([(self._before + scratch)[None], self._bytes])
        self._always(sums)

    def put_behind(self, scratch: int, sums: int) -> None:
        """The same for a call behind."""
        self._bytes = np.concatenate([self._bytes, (self._behind + scratch)[None]])
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

    def most(self) -> np.ndarray:
        """[calls] the most bytes at a time while each runs."""
        return self._bytes.max(axis=1)


class _Loop:
    """The calls of a piece that becomes longer, call by call, and what they need.

    usage: bytes of windows and scratch memory; total: these, those of outputs that lie in memory whole, less those of
        tensors made before that nobody needs any more
    """

    def __init__(self, scheduler: Scheduler):
        self.scheduler = scheduler
        self.usage, self.total = Usage(scheduler.count), Usage(scheduler.count)
        self.time = 0.0
        self.choices: List[List[Choice]] = []

    def put(self, before: bool, choices: List[Choice], *needs: int) -> None:
        """A call in front of the others, or behind them. choices: its kernels; needs: see `Usage.put_before`"""
        for usage in (self.usage, self.total):
            (usage.put_before if before else usage.put_behind)(*needs)
        self.choices.insert(0 if before else len(self.choices), choices)
        self.time += choices[0].time

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
        self.times = KernelTimes(program)
        # Bytes that the kernels need, and those of sums that stay from strip to strip.
        self.needs = [aligned(scratch_bytes(call)) for call in self.calls]
        self.sums = [aligned(scratch_bytes_of_sums(call)) for call in self.calls]
        self.ending = [[self._single(number, plan.blocks)] for number in range(len(self.calls))]
        self.time = sum(one.time for (one,) in self.ending)
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
        self._tables: List[Optional[_Table]] = [None] * len(self.calls)

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

    def _single(self, number: int, blocks: List[Block]) -> Piece:
        memory, call, fixed = floor_at(blocks, number), self.calls[number], self.needs[number]
        choices = self.times.choices(call, rows_of(call))
        beside = np.array([memory - fixed])
        return Piece(
            number, number, 0, False, memory, choices[0].time, fixed, (choices,), beside, np.zeros(1, np.int64)
        )

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
            loop.put(True, self._choices(call, scheduler), self.needs[first], self.sums[first])
            output = call.writes[0]
            if output in freed:
                loop.total.add(freed.kept_again(output))
            if self.until[output] <= last:
                loop.add_window(output)
            elif output in self.birth:
                loop.total.add(loop.whole(output))
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
            loop.put(False, self._choices(call, scheduler), self.needs[last], self.sums[last])
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

    def _choices(self, call: Call, scheduler: Scheduler) -> List[Choice]:
        return self.times.choices(call, scheduler.rows_of(call))

    def _loops(self, loop: _Loop, first: int, last: int, first_leads: bool, rows: int) -> Iterator[Piece]:
        """A loop; none where windows and scratch memory take too much, as they then also do with more calls."""
        windows, needs = loop.usage.most(), np.array(self.needs[first : last + 1])
        fixed = int(windows.max())
        if self.most is not None and fixed > self.most:
            return
        total = int(self.across[first]) + loop.total.most()
        memory, choices = int(total.max()), tuple(loop.choices)
        yield Piece(first, last, rows, first_leads, memory, loop.time, fixed, choices, total - needs, windows - needs)

    def complete(self) -> Pieces:
        """These with the loops that were left out."""
        if self.most is None:
            return self
        found = Pieces(self._program, self.unsuited)
        for piece, more in self._corrections:
            found.correct(piece, more)
        return found

    def correct(self, piece: Piece, more: int) -> None:
        """Note that a piece needs so many bytes more."""
        self._corrections.append((piece, more))
        group = self.ending[piece.last]
        group[group.index(piece)] = replace(piece, memory=piece.memory + more, more=piece.more + more)
        self._tables[piece.last] = None

    def path(self, limit: int, slack: float) -> Optional[List[Piece]]:
        """The pieces, in order, that take the least time with no more memory than `limit`; None: there are none."""
        full = NEARLY_FULL * self.time / (1 - slack) / max(limit, 1)

        def time(table: _Table) -> np.ndarray:
            times = table.times(limit) + full * np.maximum(table.memory - slack * limit, 0)
            return np.where(table.memory <= limit, times, np.inf)

        return self._shortest(time)

    def path_beside(self, limit: int, room: int) -> Optional[List[Piece]]:
        """The same where whole tensors may lie in PSRAM: what must lie inside takes no more than `limit`.

        room: bytes that are inside; those for which it is not enough take time
        """

        def time(table: _Table) -> np.ndarray:
            times = table.times(limit, fixed=True) + OUTSIDE_BYTE * np.maximum(table.memory - room, 0)
            return np.where(table.fixed <= limit, times, np.inf)

        return self._shortest(time)

    def time_of(self, path: List[Piece], limit: int) -> float:
        """Instructions of pieces by the fastest kernels within a limit."""
        saved = sum(all_[0].time - one.time for p in path for all_, one in zip(p.choices, p.kernels(limit)))
        return sum(piece.time for piece in path) - saved

    def sizes(self) -> np.ndarray:
        """Every number of bytes from which another piece or another kernel fits."""
        return np.unique(np.concatenate([x for table in self._each() for x in (table.memory, table.needed)]))

    def _each(self) -> Iterator[_Table]:
        for last, group in enumerate(self.ending):
            table = self._tables[last] = self._tables[last] or _Table(group)
            yield table

    def _shortest(self, time: Callable[[_Table], np.ndarray]) -> Optional[List[Piece]]:
        best, chosen = np.zeros(len(self.calls) + 1), []
        for last, table in enumerate(self._each()):
            times = best[table.first] + time(table)
            # Of equal times the one with the least memory.
            equal = np.flatnonzero(times == times.min())
            chosen.append(table.pieces[equal[table.memory[equal].argmin()]])
            best[last + 1] = times.min()
        if best[-1] == np.inf:
            return None
        pieces: List[Piece] = []
        position = len(self.calls)
        while position:
            pieces.append(chosen[position - 1])
            position = pieces[-1].first
        return pieces[::-1]


def _owner(tensor: Tensor, views: Dict[Tensor, Tensor]) -> Tensor:
    while tensor in views:
        tensor = views[tensor]
    return tensor
