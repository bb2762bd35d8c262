"""Which calls run together in strips of rows, and how tall these are: the fastest way that fits the memory.

The calls stay in their order, so the program is cut into pieces: a piece is one call, or several in a loop. The
memory that a piece needs depends on this piece alone: on the tensors that stay in memory while it runs, on its own
windows or tensors, and on its scratch memory. So the best pieces are a shortest path along the program's calls: the
least estimated time with no piece above a limit. The least memory is the smallest limit with a path whose time is
within a budget.

These costs are estimates; the places are found afterwards (memory.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Set, Tuple, Union

import numpy as np

from ...estimate.work import in_sixes
from ...program import Call, Item, Loop, Program, Tensor
from ..kernels.esp32s3 import LANES, Esp32s3Variant
from ..kernels.variants import VARIANTS, Conv2d6x2, Variant
from .cores import PLAIN, estimate
from .memory import Block, arena_bytes, floor_at, plan_memory, scratch_bytes, scratch_bytes_of_sums
from .strips import MAX_INPUTS, Scheduler, height_of, lead, make_loop, reach_of, row_bytes

# The numbers of rows that the leading call may compute in a strip, and the most calls in a loop.
ROWS = (1, 2, 3, 4, 6, 8, 12, 16)
LONGEST = 48
# Estimated instructions: to start a kernel (VECTOR_CALL: one for the vector unit), to move a byte of a row that a later
# strip still reads, and for an output value of a kernel without multiply-accumulates.
CALL, VECTOR_CALL = 600, 900
MOVED_BYTE = 0.6
VALUE = 6
# How many times as long convolutions take by kernels that need no scratch memory (`make bench`).
LEAN = 1.3
# There are always gaps between blocks, so pieces that need nearly all memory are avoided where that costs little time.
# SLACKS: the part of the limit from which a piece is avoided, a value for each attempt; NEARLY_FULL: how much time a
# piece that needs the whole limit seems to take more, as a part of the time of the program.
SLACKS = (0.85, 0.7, 0.55, 0.9, 0.8, 0.75, 0.65, 0.6)
NEARLY_FULL = 0.003
# How much more time the program may take for the least memory, as a part of its time.
SLOWDOWN = 0.045


@dataclass(frozen=True)
class Piece:
    """Calls number first to last, together in strips of `rows` rows if that is not 0.

    first_leads: the rows are those of the first call's output, else of the last one's
    fast: by the fastest kernels, which need scratch memory; else by those that need the least
    memory: bytes of arena while they run; time: instructions that the strips and slower kernels add
    """

    first: int
    last: int
    rows: int
    first_leads: bool
    fast: bool
    memory: int
    time: float


def run_in_strips(program: Program, limit: int, slowdown: float = SLOWDOWN) -> Program:
    """Put calls into loops so that the arena has at most `limit` bytes; as few as possible where it cannot.

    slowdown: the part of the estimated time by which it may grow where the limit cannot be reached
    """
    calls = list(program.calls())
    variants = [call.variant for call in calls]
    # Where strips do not help, the program stays as it is.
    found: List[Tuple[int, List[Item], list]] = [(arena_bytes(program), list(calls), [(None, v) for v in variants])]
    pieces, target = _Pieces(program, set()), limit
    for slack in SLACKS:
        pieces, loops = _loops(program, pieces, target, slowdown, slack)
        program.items = _items(calls, loops)
        size = arena_bytes(program)
        found.append((size, program.items, [(call.strips, call.variant) for call in calls]))
        if size <= limit:
            break
        program.items = list(calls)
        for call, variant in zip(calls, variants):
            call.strips, call.variant = None, variant
        # There may be gaps between blocks: aim lower by the bytes that are too many, and by a thirty-second at least.
        target = max(min(target - (size - limit), target * 31 // 32), 0)
    _, program.items, decided = min(found, key=lambda one: one[0])
    for call, (strips, variant) in zip(calls, decided):
        call.strips, call.variant = strips, variant
    return program


def _items(calls: List[Call], loops: Dict[int, Loop]) -> List[Item]:
    """The calls in order, those that run together in loops; loops: by the number of their first call."""
    items: List[Item] = []
    for number, call in enumerate(calls):
        if number in loops:
            items.append(loops[number])
        elif call.strips is None:
            items.append(call)
    return items


def _loops(
    program: Program, pieces: _Pieces, limit: int, slowdown: float, slack: float
) -> Tuple[_Pieces, Dict[int, Loop]]:
    """(pieces without calls whose kernels cannot compute strips, the best loops by the number of their first call)."""
    variants = [call.variant for call in pieces.calls]
    while True:
        loops = _made_loops(program, pieces.calls, _best(pieces, limit, slowdown, slack))
        if isinstance(loops, dict):
            return pieces, loops
        for call, variant in zip(pieces.calls, variants):
            call.strips, call.variant = None, variant
        pieces = _Pieces(program, pieces.unsuited | {loops})


def _best(pieces: _Pieces, limit: int, slowdown: float, slack: float) -> List[Piece]:
    """The fastest pieces within the limit; else those with the least memory within the slowdown."""
    found = pieces.path(limit, slack)
    if found is not None:
        return found
    budget = slowdown * pieces.time
    sizes = sorted({piece.memory for group in pieces.ending for piece in group})
    low, high, best = 0, len(sizes) - 1, pieces.path(sizes[-1], slack)
    while low <= high:
        middle = (low + high) // 2
        path = pieces.path(sizes[middle], slack)
        if path is not None and sum(piece.time for piece in path) <= budget:
            best, high = path, middle - 1
        else:
            low = middle + 1
    return best


def _made_loops(program: Program, calls: List[Call], pieces: List[Piece]) -> Union[Dict[int, Loop], Call]:
    """The loops by the number of their first call; or a call whose kernels cannot compute its strips."""
    readers, loops = program.readers(), {}
    for piece in pieces:
        inner = calls[piece.first : piece.last + 1]
        if piece.fast:
            for call in inner:
                call.variant = fastest(call) or call.variant
        if not piece.rows:
            continue
        whole = {x for x in _made(inner) if _is_whole(x, inner, readers)}
        loops[piece.first] = make_loop(inner, piece.rows, whole, piece.first_leads)
    for loop in loops.values():
        for call in loop.calls:
            if not _choose(call):
                for one in (one for each in loops.values() for one in each.calls):
                    one.strips = None
                return call
    return loops


def fastest(call: Call) -> Optional[Variant]:
    """The fastest kernel for a call where it needs more scratch memory than the one that it has; else None."""
    if call.variant is None or isinstance(call.variant, Esp32s3Variant):
        return None
    first = next((one for one in VARIANTS.get(call.operator, ()) if one.fits(call)), call.variant)
    if first is call.variant or (call.followers and not first.fuses_add):
        return None
    return first if first.scratch(call) > call.variant.scratch(call) else None


def _choose(call: Call) -> bool:
    """Give a call a kernel that can compute all its strips: the one it has, or one of the same kind."""
    if fits_strips(call, call.variant):
        return True
    if isinstance(call.variant, Esp32s3Variant):
        return False
    for variant in [*VARIANTS.get(call.operator, ()), *([] if call.followers else [None])]:
        if (not call.followers or variant.fuses_add) and fits_strips(call, variant):
            call.variant = variant
            return True
    return False


def fits_strips(call: Call, variant: Optional[Variant]) -> bool:
    """Whether a kernel can compute every strip of a call in a loop."""
    parts = call.strips.parts
    if isinstance(variant, Esp32s3Variant):
        return all(variant.fits_range(one, *call.input_range) for one in parts)
    return variant is None or all(variant.fits(one) for one in parts)


def _made(calls: List[Call]) -> List[Tensor]:
    return [call.writes[0] for call in calls]


def _is_whole(tensor: Tensor, calls: List[Call], readers: Dict[Tensor, List[Call]]) -> bool:
    """Whether others than these calls read a tensor that one of them makes, or it is an output of the model."""
    inside = set(calls)
    return tensor.place is not None or not readers.get(tensor) or any(one not in inside for one in readers[tensor])


def _time(call: Call) -> float:
    """Instructions that a call takes."""
    if call.kind in PLAIN:
        return estimate(call)
    return 0 if call.is_fallback else VALUE * sum(x.elements for x in call.writes)


class _Pieces:
    """All pieces of a program. ending: for each call those that end with it"""

    def __init__(self, program: Program, unsuited: Set[Call]):
        self.calls, self.unsuited = list(program.calls()), unsuited
        self.readers = program.readers()
        plan = plan_memory(program)
        self.number = {call: number for number, call in enumerate(self.calls)}
        self.suited = [call not in unsuited and self._is_suited(call) for call in self.calls]
        self.birth: Dict[Tensor, int] = {}
        self.death: Dict[Tensor, int] = {}
        self.owner = {tensor: _owner(tensor, plan.views) for call in self.calls for tensor in call.writes}
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
        # Bytes of sums that stay from strip to strip.
        self.sums = [_aligned(scratch_bytes_of_sums(call)) for call in self.calls]
        # How many more bytes the fastest kernels need, and how many more instructions the others take.
        self.scratch = [_aligned(v.scratch(c)) - scratch_bytes(c) if v else 0 for c, v in zip(self.calls, faster)]
        self.slower = [(LEAN - 1) * _time(c) if v else 0.0 for c, v in zip(self.calls, faster)]
        self.ending = [list(self._single(number, plan.blocks)) for number in range(len(self.calls))]
        for last in range(len(self.calls)):
            if self.suited[last]:
                # One row cannot be cut in two for two cores.
                least, height = (2 if program.cores > 1 else 1), height_of(self.calls[last])
                for rows in (one for one in ROWS if least <= one <= height // 2):
                    self.ending[last] += self._ending(last, rows)

        if program.cores == 1:
            for first in range(len(self.calls)):
                if self.suited[first]:
                    for rows in (one for one in ROWS if one <= height_of(self.calls[first]) // 2):
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
            across[birth + 1 : self.death[tensor] + 1] += _aligned(tensor.bytes)
        return across

    def _single(self, number: int, blocks: List[Block]) -> Iterator[Piece]:
        memory, more, slower = floor_at(blocks, number), self.scratch[number], self.slower[number]
        yield Piece(number, number, 0, False, False, memory, slower)
        if slower:
            yield Piece(number, number, 0, False, True, memory + more, 0.0)

    def _ending(self, last: int, rows: int) -> Iterator[Piece]:
        """Loops that end with a call, from the shortest to the longest."""
        scheduler = Scheduler(self.calls[last], rows)
        usage: Dict[int, int] = {}
        fast_usage: Dict[int, int] = {}
        lasting, time, whole, slower = 0, 0.0, 0, 0.0
        for first in range(last, max(last - LONGEST, -1), -1):
            call = self.calls[first]
            if not self.suited[first]:
                return
            output = call.writes[0]
            scheduler.put_before(call)
            usage[first] = _aligned(scratch_bytes(call))
            lasting += self.sums[first]
            fast_usage[first] = usage[first] + self.scratch[first]
            slower += self.slower[first]
            if _is_whole(output, scheduler.calls, self.readers):
                whole += _aligned(output.bytes) if output in self.birth else 0
            else:
                window = scheduler.window(output)
                size = _aligned(window.rows * row_bytes(output))
                if window.keeps:
                    lasting += size
                    time += MOVED_BYTE * row_bytes(output) * float(np.maximum(window.kept, 0).sum())
                else:
                    for number in range(first, max(self.number[one] for one in self.readers[output]) + 1):
                        usage[number] += size
                        fast_usage[number] += size
            start = VECTOR_CALL if isinstance(call.variant, Esp32s3Variant) else CALL
            time += scheduler.active(call) * start + _waste(call, scheduler)
            if first < last:
                memory = int(self.across[first]) + whole + lasting - self._shared(scheduler, first, last)
                yield Piece(first, last, rows, False, False, memory + max(usage.values()), time + slower)
                if slower:
                    yield Piece(first, last, rows, False, True, memory + max(fast_usage.values()), time)

    def _starting(self, first: int, rows: int) -> Iterator[Piece]:
        """Loops that start with a call, which leads, from the shortest to the longest."""
        scheduler = Scheduler(self.calls[first], rows, True)
        usage, fast_usage, open_tensors = [], [], {}
        lasting, time, slower = 0, 0.0, 0.0
        for last in range(first, min(first + LONGEST, len(self.calls))):
            call = self.calls[last]
            if not self.suited[last]:
                return
            scheduler.put_behind(call)
            usage.append(_aligned(scratch_bytes(call)))
            lasting += self.sums[last]
            fast_usage.append(usage[-1] + self.scratch[last])
            slower += self.slower[last]
            start = VECTOR_CALL if isinstance(call.variant, Esp32s3Variant) else CALL
            time += scheduler.active(call) * start + _waste(call, scheduler)
            open_tensors[call.writes[0]] = last
            for tensor, made in list(open_tensors.items()):
                if _is_whole(tensor, scheduler.calls, self.readers):
                    continue
                del open_tensors[tensor]
                window = scheduler.window(tensor)
                size = _aligned(window.rows * row_bytes(tensor))
                if window.keeps:
                    lasting += size
                    time += MOVED_BYTE * row_bytes(tensor) * float(np.maximum(window.kept, 0).sum())
                    continue
                for number in range(made, max(self.number[one] for one in self.readers[tensor]) + 1):
                    usage[number - first] += size
                    fast_usage[number - first] += size
            if first < last:
                whole = sum(_aligned(x.bytes) for x in open_tensors if x in self.birth)
                memory = int(self.across[first]) + whole + lasting - self._shared(scheduler, first, last)
                yield Piece(first, last, rows, True, False, memory + max(usage), time + slower)
                if slower:
                    yield Piece(first, last, rows, True, True, memory + max(fast_usage), time)

    def _shared(self, scheduler: Scheduler, first: int, last: int) -> int:
        """Bytes that the last output shares with the first input, where nothing needs this input afterwards."""
        source = scheduler.calls[0].reads[0]
        owner, output = self.owner.get(source.root, source.root), scheduler.calls[-1].writes[0]
        if output not in self.birth or owner not in self.birth or self.death[owner] > last:
            return 0
        distance = lead(scheduler, scheduler.calls[-1], source.root)
        return output.bytes + owner.bytes - max(output.bytes, distance + owner.bytes)

    def path(self, limit: int, slack: float) -> Optional[List[Piece]]:
        """The pieces, in order, that take the least time with no more memory than `limit`; None: there are none."""
        best: List[Tuple[float, Optional[Piece]]] = [(0.0, None)]
        full = NEARLY_FULL * self.time
        for group in self.ending:
            found = [
                (best[p.first][0] + p.time + full * max(p.memory / max(limit, 1) - slack, 0) / (1 - slack), p)
                for p in group
                if p.memory <= limit
            ]
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


def _aligned(size: int) -> int:
    return (size + 15) // 16 * 16


def _waste(call: Call, scheduler: Scheduler) -> float:
    """Instructions that the last pixels of a strip take more, where a kernel is fastest with several at a time."""
    if not isinstance(call.variant, Conv2d6x2):
        return 0.0
    _, height, width, _ = call.writes[0].shape
    pixels = np.diff(scheduler.ends[call.writes[0]]) * width
    more = sum(map(in_sixes, pixels)) - in_sixes(height * width)
    return estimate(call) * more / max(height * width, 1)
