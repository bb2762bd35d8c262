"""Pieces of a program as arrays, and the shortest path along them within a limit of memory (loops.py)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterator, List, Optional, Tuple

import numpy as np

from .kernel_times import Choice

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


@dataclass
class Faster:
    """Kernels that are faster than the leanest ones, of calls of several pieces, by the calls of each and by rising
    scratch memory.

    call: the place of the call in its piece; piece: number of that; scratch: its bytes; saved: instructions less than
    the next leaner kernel takes
    """

    call: np.ndarray
    piece: np.ndarray
    scratch: np.ndarray
    saved: np.ndarray


@dataclass
class Batch:
    """Pieces with the same calls, one for each number of rows: `Piece` as arrays.

    rows, memory, time, fixed: [pieces]; beside, windows: [calls, pieces]; choices: [calls][pieces]
    """

    ARRAYS = ("rows", "memory", "time", "fixed", "beside", "windows")

    first: int
    last: int
    first_leads: bool
    rows: np.ndarray
    memory: np.ndarray
    time: np.ndarray
    fixed: np.ndarray
    beside: np.ndarray
    windows: np.ndarray
    choices: List[List[List[Choice]]]
    faster: Optional[Faster] = None


class Table:
    """All pieces of a program, by their last call.

    first, last, rows, first_leads, memory, time, fixed: [pieces]
    needed, fixed_needed: [faster kernels] bytes of arena that their piece needs by them, and without whole tensors
    """

    def __init__(self, batches: List[Batch], calls: int):
        self._batches = batches
        sizes = [len(one.rows) for one in batches]
        batch = np.repeat(np.arange(len(batches)), sizes)
        number = np.concatenate([np.arange(size) for size in sizes])
        first, last, leads = (
            np.array([getattr(one, name) for one in batches])[batch] for name in ("first", "last", "first_leads")
        )
        rows, memory, time, fixed = (
            np.concatenate([getattr(one, name) for one in batches]) for name in ("rows", "memory", "time", "fixed")
        )
        # By the last call; then single calls, loops whose last call leads, from the shortest one on, and the others.
        order = np.lexsort((np.where(leads, rows, -first), np.where(leads, first, rows), leads, rows > 0, last))
        self._batch, self._number = batch[order], number[order]
        self.first, self.last, self.rows, self.first_leads = first[order], last[order], rows[order], leads[order]
        self.memory, self.time, self.fixed = memory[order], time[order], fixed[order]
        self._more = np.zeros(len(order), np.int64)
        self._borders = np.searchsorted(self.last, np.arange(calls + 1)).tolist()
        self._set_faster(order, np.cumsum(sizes) - sizes)

    def _set_faster(self, order: np.ndarray, begins: np.ndarray) -> None:
        """order: [pieces] their numbers in the order of the batches; begins: [batches] number of each one's first"""
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        owner, needed, fixed_needed, saved = [place[:0]], [place[:0]], [place[:0]], [self.time[:0]]
        for begin, batch in zip(begins.tolist(), self._batches):
            one = batch.faster
            if one is not None:
                owner.append(place[begin + one.piece])
                needed.append(batch.beside[one.call, one.piece] + one.scratch)
                fixed_needed.append(batch.windows[one.call, one.piece] + one.scratch)
                saved.append(one.saved)
        self._owner, self._saved = np.concatenate(owner), np.concatenate(saved)
        self.needed, self.fixed_needed = np.concatenate(needed), np.concatenate(fixed_needed)

    def piece(self, index: int) -> Piece:
        batch, number = self._batches[self._batch[index]], int(self._number[index])
        return Piece(
            batch.first,
            batch.last,
            int(self.rows[index]),
            batch.first_leads,
            int(self.memory[index]),
            float(self.time[index]),
            int(self.fixed[index]),
            tuple(one[number] for one in batch.choices),
            batch.beside[:, number],
            batch.windows[:, number],
            int(self._more[index]),
        )

    def pieces(self) -> Iterator[Piece]:
        """All, by their last call."""
        return map(self.piece, range(len(self.first)))

    def correct(self, piece: Piece, more: int) -> None:
        """Note that a piece needs so many bytes more."""
        same = (self.first == piece.first) & (self.last == piece.last) & (self.rows == piece.rows)
        (index,) = np.flatnonzero(same & (self.first_leads == piece.first_leads))
        self.memory[index] += more
        self._more[index] += more
        self.needed[self._owner == index] += more

    def sizes(self) -> np.ndarray:
        """Every number of bytes from which another piece or another kernel fits."""
        return np.unique(np.concatenate([self.memory, self.needed]))

    def path(self, limit: int, slack: float, whole: float) -> Optional[List[Piece]]:
        """The pieces, in order, that take the least time with no more memory than `limit`; None: there are none.

        slack: the part of the limit from which a piece seems to take more time; whole: time of the program
        """
        full = NEARLY_FULL * whole / (1 - slack) / max(limit, 1)
        times = self._times(self.needed <= limit) + full * np.maximum(self.memory - slack * limit, 0)
        return self._shortest(np.where(self.memory <= limit, times, np.inf))

    def path_beside(self, limit: int, room: int) -> Optional[List[Piece]]:
        """The same where whole tensors may lie in PSRAM: what must lie inside takes no more than `limit`.

        room: bytes that are inside; those for which it is not enough take time
        """
        times = self._times(self.fixed_needed <= limit) + OUTSIDE_BYTE * np.maximum(self.memory - room, 0)
        return self._shortest(np.where(self.fixed <= limit, times, np.inf))

    def _times(self, fits: np.ndarray) -> np.ndarray:
        """[pieces] instructions by the fastest kernels of those that fit (`Piece.kernels`); fits: [faster kernels]"""
        if not len(self._owner):
            return self.time
        return self.time - np.bincount(self._owner[fits], self._saved[fits], len(self.time))

    def _shortest(self, times: np.ndarray) -> Optional[List[Piece]]:
        best = np.zeros(len(self._borders))
        for last, (begin, end) in enumerate(zip(self._borders, self._borders[1:])):
            best[last + 1] = (best[self.first[begin:end]] + times[begin:end]).min()
        if best[-1] == np.inf:
            return None
        pieces: List[Piece] = []
        position = len(best) - 1
        while position:
            begin, end = self._borders[position - 1 : position + 1]
            # Of equal times the one with the least memory.
            equal = begin + np.flatnonzero(best[self.first[begin:end]] + times[begin:end] == best[position])
            pieces.append(self.piece(equal[self.memory[equal].argmin()]))
            position = pieces[-1].first
        return pieces[::-1]
