"""The pieces that a program can be cut into: a call, or several in a loop, with what they need and cost (loops.py)."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Dict, Iterable, Iterator, List, Optional, Set, Tuple

import numpy as np

from ...program import Call, Program, Tensor
from ..kernels.esp32s3 import LANES, Esp32s3Variant
from .blocks import Block, aligned, floor_at
from .kernel_times import MOVED_BYTE, Choice, KernelTimes, rows_of
from .memory import plan_memory, scratch_bytes, scratch_bytes_of_sums
from .piece_table import Batch, Faster, Piece, Table
from .reaches import MAX_INPUTS, Reaches, height_of, reach_of, row_bytes
from .strips import Runs, Scheduler, Stretch

# The numbers of rows that the leading call may compute in a strip, and the most calls in a loop.
ROWS = (1, 2, 3, 4, 6, 8, 12, 16)
LONGEST = 48


def is_whole(tensor: Tensor, calls: List[Call], readers: Dict[Tensor, List[Call]]) -> bool:
    """Whether others than these calls read a tensor that one of them makes, or it is an output of the model."""
    inside = set(calls)
    return tensor.place is not None or not readers.get(tensor) or any(one not in inside for one in readers[tensor])


class Usage:
    """Bytes that tensors hold in every strip while calls run together; calls are put before or behind them one by one.

    Of each call those of windows, and all: these, those of outputs that lie in memory whole, less those of tensors made
    before that nobody needs any more.
    """

    def __init__(self, runs: Runs, first_leads: bool):
        self._runs = runs
        # [kinds, calls + 2, strips]: also before the first call and behind the last one in a strip.
        self._bytes = np.zeros((2, LONGEST + 2, runs.strips), np.int64)
        self._first = 0 if first_leads else LONGEST
        self._end = self._first + 2

    def put_before(self) -> None:
        """A call in front."""
        self._first -= 1
        self._bytes[:, self._first] = self._bytes[:, self._first + 1]

    def put_behind(self) -> None:
        """A call behind."""
        self._bytes[:, self._end] = self._bytes[:, self._end - 1]
        self._end += 1

    def add_window(self, held: Iterable[Stretch]) -> None:
        """What a window holds."""
        for one in held:
            self._bytes[:, self._rows(one)] += one.high - one.low

    def add_whole(self, held: Iterable[Stretch]) -> None:
        """What another tensor holds."""
        for one in held:
            self._bytes[1, self._rows(one)] += one.high - one.low

    def take_whole(self, held: Iterable[Stretch]) -> None:
        """The same of one that no longer holds it."""
        for one in held:
            self._bytes[1, self._rows(one)] -= one.high - one.low

    def _rows(self, held: Stretch) -> slice:
        return slice(self._first + 1 + held.first, self._first + 1 + held.end)

    def most(self) -> np.ndarray:
        """[kinds, calls, loops] the most bytes at a time while each call runs."""
        return self._runs.most(self._bytes[:, self._first + 1 : self._end - 1])


class _Loops:
    """The calls of pieces that become longer, call by call, and what they need: one loop for each number of rows.

    alive: [loops] those that do not take too much memory yet
    """

    def __init__(self, scheduler: Scheduler, first_leads: bool):
        self.scheduler, self._first_leads = scheduler, first_leads
        self.usage = Usage(scheduler.runs, first_leads)
        self.alive = np.ones(len(scheduler.rows), bool)
        self.time = np.zeros(len(scheduler.rows))
        self._needs: List[int] = []
        self._sums = 0
        # By calls in the order in which they were put: of each loop its kernels.
        self._choices: List[List[List[Choice]]] = []
        self._faster: Optional[Faster] = None

    def put(self, call: Call, needs: int, sums: int, times: KernelTimes) -> None:
        """A call in front of the others, or behind them. needs: bytes of its kernel; sums: that stay all the time"""
        if self._first_leads:
            self.scheduler.put_behind(call)
            self.usage.put_behind()
        else:
            self.scheduler.put_before(call)
            self.usage.put_before()
        self._needs.append(needs)
        self._sums += sums
        rows, runs = self.scheduler.rows_of(call), self.scheduler.runs
        choices = [
            times.choices_in_strips(call, rows[first:end]) if alive else []
            for first, end, alive in zip(runs.firsts.tolist(), runs.lasts.tolist(), self.alive.tolist())
        ]
        self._choices.append(choices)
        self.time += [all_[0].time if all_ else 0.0 for all_ in choices]
        if any(len(all_) > 1 for all_ in choices):
            self._add_faster(len(self._needs) - 1, choices)

    def _add_faster(self, call: int, choices: List[List[Choice]]) -> None:
        """call: its place in the order in which calls were put"""
        found = [
            (call, loop, one.scratch, leaner.time - one.time)
            for loop, all_ in enumerate(choices)
            for leaner, one in zip(all_, all_[1:])
        ]
        new = [np.array(one) for one in zip(*found)]
        if self._faster is not None:
            old = (self._faster.call, self._faster.piece, self._faster.scratch, self._faster.saved)
            new = [np.concatenate(both if self._first_leads else both[::-1]) for both in zip(old, new)]
        self._faster = Faster(*new)

    def add_window(self, tensor: Tensor) -> None:
        """Add the window of a tensor, and the time of moving its rows."""
        self.usage.add_window(self.scheduler.stretches(tensor))
        kept = np.maximum(self.scheduler.ends[tensor][:-1] - self.scheduler.starts(tensor), 0)
        self.time += MOVED_BYTE * row_bytes(tensor) * self.scheduler.runs.total(kept)

    def batch(self, first: int, last: int, across: int, most: Optional[int]) -> Optional[Batch]:
        """Those that do not take too much yet as pieces; None: there are none, nor are there with more calls.

        across: bytes of tensors made before; most: bytes that windows and scratch memory may take
        """
        order = slice(None, None, 1 if self._first_leads else -1)
        needs = np.array(self._needs[order])[:, None]
        windows, beside = self.usage.most() + np.array([self._sums, self._sums + across])[:, None, None]
        fixed = (windows + needs).max(axis=0)
        if most is not None:
            self.alive &= fixed <= most
        if not self.alive.any():
            return None
        found = Batch(
            first,
            last,
            self._first_leads,
            self.scheduler.rows,
            (beside + needs).max(axis=0),
            self.time.copy(),
            fixed,
            beside,
            windows,
            self._choices[order],
            self._faster if self._first_leads else _from_the_end(self._faster, last - first),
        )
        return found if self.alive.all() else _of_some(found, self.alive)


def _from_the_end(faster: Optional[Faster], last: int) -> Optional[Faster]:
    """With the calls in their order where the last one was put first."""
    return None if faster is None else replace(faster, call=last - faster.call)


def _of_some(batch: Batch, chosen: np.ndarray) -> Batch:
    """The pieces of a batch that are chosen."""
    faster = batch.faster
    if faster is not None:
        here = chosen[faster.piece]
        number = (np.cumsum(chosen) - 1)[faster.piece[here]]
        faster = Faster(faster.call[here], number, faster.scratch[here], faster.saved[here])
    pieces = np.flatnonzero(chosen).tolist()
    arrays = {name: getattr(batch, name)[..., chosen] for name in Batch.ARRAYS}
    choices = [[loops[number] for number in pieces] for loops in batch.choices]
    return replace(batch, **arrays, choices=choices, faster=faster)


class _Freed:
    """Tensors made before loops that nobody needs any more while they run."""

    def __init__(self, loops: _Loops):
        self._loops = loops
        # Tensor -> (calls, what of it is not needed) when it was freed.
        self._known: Dict[Tensor, Tuple[int, List[Stretch]]] = {}

    def free(self, tensor: Tensor) -> None:
        """The loops read it, and nobody behind them."""
        unused = [replace(one, low=0, high=one.low) for one in self._loops.scheduler.stretches(tensor)]
        self._known[tensor] = (len(self._loops.scheduler.calls), unused)
        self._loops.usage.take_whole(unused)

    def keep_again(self, tensor: Tensor) -> None:
        """After a call was put in front that reads or makes it, if it was freed before."""
        if tensor not in self._known:
            return
        calls, unused = self._known.pop(tensor)
        # Calls in front are as the row before the first one.
        more = len(self._loops.scheduler.calls) - calls
        moved = [replace(one, first=one.first + more if one.first >= 0 else -1, end=one.end + more) for one in unused]
        self._loops.usage.add_whole(moved)


class Pieces:
    """All pieces of a program.

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
        batches = [self._single(number, plan.blocks) for number in range(len(self.calls))]
        self._time = sum(float(one.time[0]) for one in batches)
        for number in range(len(self.calls)):
            if self.suited[number]:
                batches += self._ending(number)
                batches += self._starting(number) if program.cores == 1 else []
        self._batches, self._table = batches, Table(batches, len(self.calls))

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

    def _single(self, number: int, blocks: List[Block]) -> Batch:
        memory, call, fixed = floor_at(blocks, number), self.calls[number], self.needs[number]
        choices = self.times.choices(call, rows_of(call))
        faster = [(0, 0, one.scratch, leaner.time - one.time) for leaner, one in zip(choices, choices[1:])]
        return Batch(
            number,
            number,
            False,
            *(np.array([one]) for one in (0, memory, choices[0].time, fixed, [memory - fixed], [0])),
            [[choices]],
            Faster(*(np.array(one) for one in zip(*faster))) if faster else None,
        )

    def _last_reader(self, tensor: Tensor) -> int:
        readers = self.readers.get(tensor)
        return len(self.calls) if tensor.place is not None or not readers else max(map(self.number.get, readers))

    def _ending(self, last: int) -> Iterator[Batch]:
        """Loops that end with a call, which leads, from the shortest to the longest."""
        # One row cannot be cut in two for two cores.
        loops = self._loops(last, 2 if self._program.cores > 1 else 1, False)
        if loops is None:
            return
        freed = _Freed(loops)
        for first in range(last, max(last - LONGEST, -1), -1):
            call = self.calls[first]
            if not self.suited[first] or not self._reaches.can_be_together(call, loops.scheduler.calls):
                return
            loops.put(call, self.needs[first], self.sums[first], self.times)
            output = call.writes[0]
            freed.keep_again(output)
            if self.until[output] <= last:
                loops.add_window(output)
            elif output in self.birth:
                loops.usage.add_whole(loops.scheduler.stretches(output, others_read=True))
            for tensor in self._roots_of(call):
                if self.owner.get(tensor, tensor) is tensor and self.death.get(tensor, len(self.calls)) <= last:
                    freed.keep_again(tensor)
                    freed.free(tensor)
            if first < last:
                batch = loops.batch(first, last, int(self.across[first]), self.most)
                if batch is None:
                    return
                yield batch

    def _starting(self, first: int) -> Iterator[Batch]:
        """Loops that start with a call, which leads, from the shortest to the longest."""
        loops = self._loops(first, 1, True)
        if loops is None:
            return
        freed = _Freed(loops)
        opened: List[Tensor] = []  # outputs that lie in memory whole
        waiting: Dict[Tensor, None] = {}  # tensors made before that somebody still needs
        adding_up: List[Call] = []
        for last in range(first, min(first + LONGEST, len(self.calls))):
            call = self.calls[last]
            if not self.suited[last] or not all(self._reaches.can_be_together(one, [call]) for one in adding_up):
                return
            adding_up += [call] if self._reaches.sums_rows(call) else []
            loops.put(call, self.needs[last], self.sums[last], self.times)
            for tensor in [x for x in opened if self.until[x] <= last]:
                opened.remove(tensor)
                if tensor in self.birth:
                    loops.usage.take_whole(loops.scheduler.stretches(tensor, others_read=True))
                loops.add_window(tensor)
            output = call.writes[0]
            opened.append(output)
            if output in self.birth:
                loops.usage.add_whole(loops.scheduler.stretches(output, others_read=True))
            for tensor in self._roots_of(call):
                if self.owner.get(tensor, tensor) is tensor and self.birth.get(tensor, first) < first:
                    waiting[tensor] = None
            for tensor in [x for x in waiting if self.death[x] <= last]:
                del waiting[tensor]
                freed.free(tensor)
            if first < last:
                batch = loops.batch(first, last, int(self.across[first]), self.most)
                if batch is None:
                    return
                yield batch

    def _loops(self, leader: int, least: int, first_leads: bool) -> Optional[_Loops]:
        """Without calls yet; None: no number of rows suits the leader. least: rows in a strip"""
        call = self.calls[leader]
        rows = [one for one in ROWS if least <= one <= self._reaches.height_of(call) // 2]
        return _Loops(Scheduler(call, rows, first_leads, self._reaches), first_leads) if rows else None

    def _roots_of(self, call: Call) -> List[Tensor]:
        """The tensors that own the bytes that a call reads, each once."""
        return list(dict.fromkeys(one.tensor for one in self._reaches.readings(call)))

    def without(self, call: Call) -> Pieces:
        """These without the loops that a call is in, and without corrections; none is made anew."""
        found, number = copy(self), self.number[call]
        found.unsuited, found._corrections = self.unsuited | {call}, []
        found.suited = [*self.suited[:number], False, *self.suited[number + 1 :]]
        found._batches = [x for x in self._batches if x.first == x.last or not x.first <= number <= x.last]
        found._table = Table(found._batches, len(self.calls))
        return found

    def complete(self) -> Pieces:
        """These with the loops that were left out."""
        if self.most is None:
            return self
        found = Pieces(self._program, self.unsuited)
        for piece, more in self._corrections:
            found.correct(piece, more)
        return found

    def all(self) -> List[Piece]:
        """Every piece, by its last call."""
        return list(self._table.pieces())

    def correct(self, piece: Piece, more: int) -> None:
        """Note that a piece needs so many bytes more."""
        self._corrections.append((piece, more))
        self._table.correct(piece, more)

    def path(self, limit: int, slack: float) -> Optional[List[Piece]]:
        """`Table.path`."""
        return self._table.path(limit, slack, self._time)

    def path_beside(self, limit: int, room: int) -> Optional[List[Piece]]:
        """`Table.path_beside`."""
        return self._table.path_beside(limit, room)

    def sizes(self) -> np.ndarray:
        """`Table.sizes`."""
        return self._table.sizes()

    @staticmethod
    def time_of(path: List[Piece], limit: int) -> float:
        """Instructions of pieces by the fastest kernels within a limit."""
        saved = sum(all_[0].time - one.time for p in path for all_, one in zip(p.choices, p.kernels(limit)))
        return sum(piece.time for piece in path) - saved


def _owner(tensor: Tensor, views: Dict[Tensor, Tensor]) -> Tensor:
    while tensor in views:
        tensor = views[tensor]
    return tensor
