"""Blocks of memory, and where they are placed so that together they take as little as possible.

The order in which blocks are placed is searched for, until the memory is no larger than the step that needs most.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Set, Tuple

import numpy as np

from ... import chips
from ...program import Tensor

ALIGNMENT = 16
TRIALS = 300


@dataclass(eq=False)
class Block:
    """Memory that one tensor, or several in turn, hold from step `first` to step `last` (inclusive).

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
        return not (self._overlaps_by_pixels(other, apart) or other._overlaps_by_pixels(self, -apart))

    def _overlaps_by_pixels(self, other: Block, apart: int) -> bool:
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
    alive = [block for block in blocks if block.first <= step <= block.last]
    total = sum(block.size for block in alive)
    for block in alive:
        for other in block.distances:
            if other in alive and not (step in block.held or step in other.held):
                total -= block.shared(other)
    saved = [block.size - block.held[step] for block in alive if step in block.held]
    return total - int(sum(saved).min()) if saved else total


def floor_bytes(blocks: List[Block]) -> int:
    """A bound that no placement can beat: the most that blocks which may not overlap take at one step."""
    return max((floor_at(blocks, step) for step in {block.first for block in blocks}), default=0)


def place(blocks: List[Block], trials: int = TRIALS) -> int:
    """Set the offsets; returns the size of the arena.

    Blocks are put one after the other at the lowest offset that is free. The order decides: largest first, by time,
    against time, and orders that come from moving a block of the best one yet, or from exchanging two.
    """
    meeting = {block: _neighbours(block, blocks) for block in blocks}
    latest = blocks[::-1]
    orders = [
        sorted(blocks, key=lambda b: (-b.size, b.first)),
        sorted(blocks, key=lambda b: (-b.size, -b.first)),
        sorted(blocks, key=lambda b: -b.first),
        sorted(blocks, key=lambda b: b.first),
        # Windows of a loop against the order of its calls: new rows of one come to lie where those of another one were.
        sorted(latest, key=lambda b: -b.first),
        sorted(blocks, key=lambda b: (-b.size * (b.last - b.first + 1), b.first)),
    ]
    floor = floor_bytes(blocks)
    best: Optional[_Placed] = None

    def attempt(order: List[Block]) -> None:
        nonlocal best
        found = _first_fit(order, meeting, np.inf if best is None else best.size)
        best = found if found is not None else best

    for order in orders:
        if best is None or best.size > floor:
            attempt(order)
    generator = random.Random(1)
    for number in range(trials + trials // 2 if len(blocks) > 1 else 0):
        if best.size <= floor:
            break
        attempt(_moved(best, generator) if number < trials else _exchanged(best, meeting, generator))
    for block, offset in best.offsets.items() if best else ():
        block.offset = offset
    return best.size if best else 0


@dataclass
class _Placed:
    """Blocks that were put in `order`. below: block -> the one that kept it from a lower offset; None: nothing did"""

    size: int
    order: List[Block]
    offsets: Dict[Block, int]
    below: Dict[Block, Optional[Block]]

    @property
    def highest(self) -> List[Block]:
        """The blocks that reach the end, in order."""
        return [block for block in self.order if self.offsets[block] + block.size == self.size]


def _moved(best: _Placed, generator: random.Random) -> List[Block]:
    """Another order: a block before or behind another one; every second time one that reaches highest, before it."""
    order = list(best.order)
    a, b = generator.sample(range(len(order)), 2)
    if generator.random() < 0.5:
        a = order.index(generator.choice(best.highest))
        b = generator.randrange(a + 1)
    order.insert(b, order.pop(a))
    return order


def _exchanged(best: _Placed, meeting: Dict[Block, List[_Neighbour]], generator: random.Random) -> List[Block]:
    """Another order: two blocks exchanged, of those because of which one reaches highest (as Arm's Vela does).

    These are the blocks beside it, those on which it and they lie, those on which these lie, and so on.
    """
    order, top = list(best.order), generator.choice(best.highest)
    reasons: Dict[Block, None] = {}
    for beside in [top, *(neighbour.block for neighbour in meeting[top])]:
        one: Optional[Block] = beside
        while one is not None and one not in reasons:
            reasons[one] = None
            one = best.below[one]
    a, b = (order.index(one) for one in generator.sample(list(reasons), 2)) if len(reasons) > 1 else (0, 0)
    order[a], order[b] = order[b], order[a]
    return order


@dataclass
class _Neighbour:
    """A block that is alive at the same time as another one, and what has to be between both.

    behind, ahead: bytes by which the block has to start before this one, or this one before it
    starts: where the block may start at the lowest, in bytes from this one's start
    pixels: whether they may also overlap by whole pixels (`Block.in_pixels`)
    """

    block: Block
    behind: int
    ahead: int
    starts: List[int]
    pixels: bool


def _neighbours(block: Block, blocks: List[Block]) -> List[_Neighbour]:
    """The blocks that are alive at the same time as one of them."""
    return [
        _Neighbour(
            other,
            block.before(other),
            other.before(block),
            [*other.distances_to(block), *(-distance for distance in block.distances_to(other))],
            other in block.in_pixels or block in other.in_pixels,
        )
        for other in blocks
        if other is not block and other.meets(block)
    ]


def _first_fit(order: List[Block], meeting: Dict[Block, List[_Neighbour]], most: float) -> Optional[_Placed]:
    """Each block at the lowest offset where it conflicts with none that is placed; None as soon as the size is above
    `most`."""
    placed: Set[Block] = set()
    below: Dict[Block, Optional[Block]] = {}
    size = 0
    for block in order:
        others = [(one, one.block.offset) for one in meeting[block] if one.block in placed]
        candidates: Dict[int, Optional[Block]] = {0: None}
        for one, offset in others:
            for start in one.starts:
                candidates.setdefault(offset + start, one.block)
        for offset in sorted(candidates):
            block.offset = offset
            if offset >= 0 and not any(
                -one.ahead < there - offset < one.behind and not (one.pixels and not block.conflicts(one.block))
                for one, there in others
            ):
                break
        placed.add(block)
        below[block] = candidates[block.offset]
        size = max(size, block.offset + block.size)
        if size > most:
            return None
    return _Placed(size, order, {block: block.offset for block in order}, below)
