"""Blocks of memory, and where they are placed so that together they take as little as possible.

The order in which blocks are placed is searched for, until the memory is no larger than the step that needs most.

A round of the search has two parts. First all blocks that reach as high as the best placement move ahead in the order,
by chance, and all are placed anew, also from orders that are a little worse ("squeaky wheel": who cannot be content is
served earlier). Then blocks of the best order change places, where only what these meet has to be placed anew.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ... import chips
from ...program import Tensor

ALIGNMENT = 16
# Orders that each part of a round tries; rounds for a program that is exported.
TRIALS, THOROUGH = 100, 4
# By how much of all blocks one moves ahead at most; worse orders in turn before the best one is taken up again.
_AHEAD, _PATIENCE = 0.2, 12


@dataclass(eq=False)
class Block:
    """Memory that one tensor, or several in turn, hold from step `first` to step `last` (inclusive).

    order: in which it got its offset
    distances: of a block that may overlap another one: the other -> by how many bytes it has to start before that, as
        an output before its input
    in_pixels: the same where that is a multiple of a number of bytes: the other -> (that distance, that number)
    held: while a loop runs: step -> [strips] bytes that it holds, where these are not all
    """

    size: int
    first: int
    last: int
    tensors: List[Tensor] = field(default_factory=list)
    offset: int = 0
    order: int = 0
    distances: Dict[Block, int] = field(default_factory=dict)
    in_pixels: Dict[Block, Tuple[int, int]] = field(default_factory=dict)
    held: Dict[int, np.ndarray] = field(default_factory=dict)

    def before(self, other: Block) -> int:
        """By how many bytes it has to start before another one if it lies before that."""
        return min(self.distances.get(other, self.size), self.size)

    def shared(self, other: Block) -> int:
        """By how many bytes both together may be smaller than one behind the other, where it has a distance."""
        # They need at least the larger one, or the distance and the other one.
        return self.size + other.size - max(self.size, self.distances[other] + other.size)

    def meets(self, other: Block) -> bool:
        """Whether both are alive at some step."""
        return self.first <= other.last and other.first <= self.last

    def conflicts(self, other: Block) -> bool:
        """Whether both are alive at some step and their memory overlaps more than their kernel allows."""
        if not self.meets(other):
            return False
        apart = other.offset - self.offset
        if apart >= self.before(other) or -apart >= other.before(self):
            return False
        return not self.overlaps_by_pixels(other, apart)

    def overlaps_by_pixels(self, other: Block, apart: int) -> bool:
        """Whether both may overlap where the other one starts `apart` bytes behind this one: by whole pixels."""
        return self._leads_by_pixels(other, apart) or other._leads_by_pixels(self, -apart)

    def _leads_by_pixels(self, other: Block, apart: int) -> bool:
        least, pixel = self.in_pixels.get(other, (0, 0))
        return pixel > 0 and apart >= least and apart % pixel == 0

    def distances_to(self, other: Block) -> List[int]:
        """The least distances by which it may start before another one, at multiples of ALIGNMENT."""
        found = [aligned(self.before(other))]
        if other in self.in_pixels:
            least, pixel = self.in_pixels[other]
            step = pixel * ALIGNMENT // math.gcd(pixel, ALIGNMENT)
            found.append(-(-least // step) * step)
        return found


def aligned(size: int) -> int:
    return chips.aligned(size, ALIGNMENT)


def floor_at(blocks: List[Block], step: int) -> int:
    """Bytes that the blocks which are alive at a step take at least."""
    alive = {block: None for block in blocks if block.first <= step <= block.last}
    total = sum(block.size for block in alive)
    for block in alive:
        if step not in block.held:
            for other in block.distances:
                if other in alive and step not in other.held:
                    total -= block.shared(other)
    saved = [block.size - block.held[step] for block in alive if step in block.held]
    return total - int(sum(saved).min()) if saved else total


def floor_bytes(blocks: List[Block]) -> int:
    """A bound that no placement can beat: the most that blocks which may not overlap take at one step."""
    return max((floor_at(blocks, step) for step in {block.first for block in blocks}), default=0)


def place(
    blocks: List[Block],
    trials: int = TRIALS,
    rounds: int = 1,
    enough: int = 0,
    known: Optional[Sequence[Block]] = None,
) -> int:
    """Set the offsets, and the order (`Block.order`) in which blocks got them; returns the size of the arena.

    Blocks are put one after the other at the lowest offset that is free. The order decides: `known` from an earlier
    search, largest first, by time, against time, the tightest steps first, and orders made of the best one yet. More
    rounds find no more bytes than fewer do.
    enough: bytes that nobody needs to get below
    """
    search = _Search(blocks, max(enough, floor_bytes(blocks)))
    search.start(known)
    for number in range(rounds if len(blocks) > 1 else 0):
        search.serve_the_discontent(trials, number)
        search.change_places(trials)
    for order, block in enumerate(search.best.order if search.best else ()):
        block.order, block.offset = order, search.best.offsets[block]
    return search.best.size if search.best else 0


class _Search:
    """For an order of blocks that takes little memory.

    goal: bytes below which nothing is looked for
    """

    def __init__(self, blocks: List[Block], goal: int) -> None:
        self.blocks, self.goal = blocks, goal
        self.meeting = _meeting(blocks)
        self.generator = random.Random(1)
        self.best: Optional[_Placed] = None
        self.starts: List[_Placed] = []

    @property
    def done(self) -> bool:
        return self.best is not None and self.best.size <= self.goal

    def start(self, known: Optional[Sequence[Block]]) -> None:
        """Orders that suit many programs, until one reaches the goal."""
        blocks, latest = self.blocks, self.blocks[::-1]
        first = [list(known)] if known else []
        for order in [
            *first,
            sorted(blocks, key=lambda b: (-b.size, b.first)),
            sorted(blocks, key=lambda b: (-b.size, -b.first)),
            sorted(blocks, key=lambda b: -b.first),
            sorted(blocks, key=lambda b: b.first),
            # Windows of a loop against the order of its calls: new rows of one come to lie where those of another were.
            sorted(latest, key=lambda b: -b.first),
            sorted(blocks, key=lambda b: (-b.size * (b.last - b.first + 1), b.first)),
            self._tightest_first(),
        ]:
            if self.done:
                return
            placed = _first_fit(order, self.meeting, None)
            assert placed is not None
            self.starts.append(placed)
            self.best = placed if self.best is None or placed.size < self.best.size else self.best
        self.starts.sort(key=lambda one: one.size)

    def _tightest_first(self) -> List[Block]:
        """By the most that is alive at a step of a block."""
        steps = sorted({block.first for block in self.blocks})
        alive = {step: floor_at(self.blocks, step) for step in steps}
        most = {b: max(alive[step] for step in steps if b.first <= step <= b.last) for b in self.blocks}
        return sorted(self.blocks, key=lambda b: (-most[b], -b.size, b.first))

    def serve_the_discontent(self, trials: int, number: int) -> None:
        """Move blocks ahead that reach as high as the best placement. The first round begins with that, others with
        other starts."""
        placed, worse = self.starts[number % len(self.starts)] if number and self.starts else self.best, 0
        for _ in range(trials):
            if self.done:
                return
            rank: Dict[Block, float] = {}
            for index, block in enumerate(placed.order):
                high = placed.offsets[block] + block.size >= self.best.size
                rank[block] = index - (self.generator.random() * len(self.blocks) * _AHEAD if high else 0)
            placed = _first_fit(sorted(placed.order, key=rank.__getitem__), self.meeting, None)
            worse = 0 if placed.size < self.best.size else worse + 1
            if placed.size <= self.best.size:
                self.best = placed
            elif worse >= _PATIENCE:
                placed, worse = self.best, 0

    def change_places(self, trials: int) -> None:
        """Move a block of the best order, or exchange two of those that keep it from being better."""
        for number in range(trials):
            if self.done:
                return
            if number % 3:
                order, moved = _moved(self.best, self.generator)
            else:
                order, moved = _exchanged(self.best, self.meeting, self.generator)
            self.best = _first_fit(order, self.meeting, self.best, moved) or self.best


class _Neighbour(NamedTuple):
    """A block that is alive at the same time as another one, and what has to be between both.

    behind, ahead: bytes by which the other one has to start before this block, or this block before that
    in_pixels: whether they may also overlap by whole pixels (`Block.in_pixels`)
    """

    block: Block
    behind: int
    ahead: int
    in_pixels: bool


# Block -> those that are alive at the same time.
_Meeting = Dict[Block, List[_Neighbour]]


def _meeting(blocks: List[Block]) -> _Meeting:
    meeting: _Meeting = {}
    for block in blocks:
        first, last, size, own = block.first, block.last, block.size, block.distances
        meeting[block] = [
            _Neighbour(
                other,
                block.before(other) if other in own else size,
                other.before(block) if block in other.distances else other.size,
                other in block.in_pixels or block in other.in_pixels,
            )
            for other in blocks
            if other.first <= last and first <= other.last and other is not block
        ]
    return meeting


@dataclass
class _Placed:
    """Blocks that were put in `order`."""

    size: int
    order: List[Block]
    offsets: Dict[Block, int]

    @property
    def highest(self) -> List[Block]:
        """The blocks that reach the end, in order."""
        return [block for block in self.order if self.offsets[block] + block.size == self.size]

    def below(self, block: Block, number: Dict[Block, int], meeting: _Meeting) -> Optional[Block]:
        """The block that kept one from a lower offset, None: nothing did. number: of each block in the order"""
        offset = self.offsets[block]
        for one in meeting[block] if offset else ():
            if number[one.block] < number[block]:
                apart = offset - self.offsets[one.block]
                borders = (aligned(one.ahead), -aligned(one.behind))
                if apart in borders or (one.in_pixels and apart in _starts(block, one.block)):
                    return one.block
        return None


def _starts(block: Block, other: Block) -> List[int]:
    """Where a block may start at the lowest, or at the highest, because of another one, in bytes from that one's
    start."""
    return [*other.distances_to(block), *(-distance for distance in block.distances_to(other))]


def _moved(best: _Placed, generator: random.Random) -> Tuple[List[Block], List[Block]]:
    """Another order: a block before or behind another one; every second time one that reaches highest, before it. And
    the block that has moved."""
    order = list(best.order)
    a, b = generator.sample(range(len(order)), 2)
    if generator.random() < 0.5:
        a = order.index(generator.choice(best.highest))
        b = generator.randrange(a + 1)
    block = order.pop(a)
    order.insert(b, block)
    return order, [block]


def _exchanged(best: _Placed, meeting: _Meeting, generator: random.Random) -> Tuple[List[Block], List[Block]]:
    """Another order: two blocks exchanged, of those because of which one reaches highest (as Arm's Vela does). And
    these two.

    These are the blocks beside it, those on which it and they lie, those on which these lie, and so on.
    """
    order, top = list(best.order), generator.choice(best.highest)
    number = {block: index for index, block in enumerate(order)}
    reasons: Dict[Block, None] = {}
    for beside in [top, *(neighbour.block for neighbour in meeting[top])]:
        one: Optional[Block] = beside
        while one is not None and one not in reasons:
            reasons[one] = None
            one = best.below(one, number, meeting)
    a, b = (number[one] for one in generator.sample(list(reasons), 2)) if len(reasons) > 1 else (0, 0)
    order[a], order[b] = order[b], order[a]
    return order, [order[a], order[b]]


def _first_fit(
    order: List[Block], meeting: _Meeting, best: Optional[_Placed], moved: Sequence[Block] = ()
) -> Optional[_Placed]:
    """Each block at the lowest offset where it conflicts with none that is placed; None as soon as that takes more than
    `best` does.

    moved: the only blocks that have another place in this order than in that of `best`, as seen from the others: only
        what they and those that then lie elsewhere meet is placed anew
    """
    known = best.offsets if best is not None and moved else {}
    same = next((i for i, (one, old) in enumerate(zip(order, best.order)) if one is not old), 0) if known else 0
    offsets = {block: known[block] for block in order[:same]}
    again = {*moved, *(one.block for block in moved for one in meeting[block])}
    most = np.inf if best is None else best.size
    for block in order[same:]:
        if known and block not in again:
            offsets[block] = known[block]
            continue
        offset = _lowest(block, [(one, offsets[one.block]) for one in meeting[block] if one.block in offsets])
        if offset + block.size > most:
            return None
        if known and offset != known[block]:
            again.update(one.block for one in meeting[block])
        offsets[block] = offset
    size = max((offset + block.size for block, offset in offsets.items()), default=0)
    return _Placed(size, order, offsets)


def _lowest(block: Block, others: List[Tuple[_Neighbour, int]]) -> int:
    """The lowest offset, a multiple of ALIGNMENT, where a block conflicts with none of these, that lie at offsets."""
    found = 0
    # Between these offsets, exclusively, they would conflict.
    for low, high in sorted([(there - one.behind, there + one.ahead) for one, there in others]):
        if low >= found:
            break
        if high > found:
            found = aligned(high)
    in_pixels = [(one, there) for one, there in others if one.in_pixels]
    return _lowest_in_pixels(block, others, in_pixels, found) if in_pixels else found


def _lowest_in_pixels(
    block: Block, others: List[Tuple[_Neighbour, int]], in_pixels: List[Tuple[_Neighbour, int]], end: int
) -> int:
    """The same below `end`, over those that it may overlap by whole pixels; else that."""
    borders = [there + edge for one, there in others for edge in (aligned(one.ahead), -aligned(one.behind))]
    borders += [there + start for one, there in in_pixels for start in _starts(block, one.block)]
    for offset in sorted({0, *borders}):
        if 0 <= offset < end and not any(
            -one.ahead < there - offset < one.behind
            and not (one.in_pixels and block.overlaps_by_pixels(one.block, there - offset))
            for one, there in others
        ):
            return offset
    return end
