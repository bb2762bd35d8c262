"""Which calls run together in strips of rows, and how tall these are: the fastest way that fits the memory.

The calls stay in their order, so the program is cut into pieces: a piece is one call, or several in a loop. The
memory that a piece needs depends on this piece alone: on the tensors that stay in memory while it runs, on its own
windows or tensors, and on its scratch memory. So the best pieces are a shortest path along the program's calls: the
least estimated time with no piece above a limit. The least memory is the smallest limit with a path whose time is
within a budget.

These costs are estimates; the places are found afterwards (memory.py).
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Tuple, Union

from ...program import Call, Item, Loop, Program
from ..kernels.esp32s3 import Esp32s3Variant
from ..kernels.portable import VARIANTS
from ..kernels.variants import Variant
from .blocks import place
from .memory import MemoryPlan, arena_bytes, movable_blocks, plan_memory
from .pieces import Piece, Pieces, fastest, is_whole
from .strips import make_loop

# There are always gaps between blocks, so pieces that need nearly all memory are avoided where that costs little time:
# the part of the limit from which a piece is avoided, a value for each attempt.
SLACKS = (0.85, 0.7, 0.55, 0.9, 0.8, 0.75, 0.65, 0.6)
# The same for windows and scratch memory beside tensors that may lie in PSRAM.
INSIDE_PARTS = (0.95, 0.85, 0.75, 0.6, 0.45)
# How much more time the program may take for the least memory, as a part of its time.
SLOWDOWN = 0.045


def run_in_strips(program: Program, limit: int, slowdown: float = SLOWDOWN, beside: bool = False) -> Program:
    """Put calls into loops so that the arena has at most `limit` bytes; as few as possible where it cannot.

    slowdown: the part of the estimated time by which it may grow where the limit cannot be reached
    beside: whole tensors may lie in a second arena, in PSRAM, where it cannot (two_arenas.py)
    """
    calls = list(program.calls())
    variants = [call.variant for call in calls]
    # Where strips do not help, the program stays as it is.
    found: List[Tuple[int, List[Item], list]] = [(arena_bytes(program), list(calls), [(None, v) for v in variants])]
    pieces, target = Pieces(program, set(), limit), limit
    for slack in SLACKS:
        if beside and pieces.path(target, slack) is None:
            break
        pieces, path, loops = _loops(program, pieces, target, slowdown, slack)
        program.items = _items(calls, loops)
        plan = plan_memory(program)
        size = plan.arena_bytes
        _correct(pieces, path, plan)
        found.append((size, program.items, [(call.strips, call.variant) for call in calls]))
        if size <= limit:
            break
        program.items = list(calls)
        for call, variant in zip(calls, variants):
            call.strips, call.variant = None, variant
        # There may be gaps between blocks: aim lower by the bytes that are too many, and by a thirty-second at least.
        target = max(min(target - (size - limit), target * 31 // 32), 0)
    size, program.items, decided = min(found, key=lambda one: one[0])
    if beside and size > limit:
        program.items = list(calls)
        return _run_beside(program, pieces, limit)
    for call, (strips, variant) in zip(calls, decided):
        call.strips, call.variant = strips, variant
    return program


def _run_beside(program: Program, pieces: Pieces, room: int) -> Program:
    """Put calls into loops so that windows and scratch memory take at most `room` bytes: the fastest way, where bytes
    of whole tensors that do not fit take the time of PSRAM. The program stays as it is where there is none."""
    calls = list(program.calls())
    variants = [call.variant for call in calls]
    for part in INSIDE_PARTS:
        if pieces.path_beside(int(room * part), room) is None:
            break
        limit = int(room * part)
        pieces, _, loops = _loops_of(program, pieces, lambda found, limit=limit: found.path_beside(limit, room))
        program.items = _items(calls, loops)
        plan = plan_memory(program, 1)
        movable = movable_blocks(program, plan)
        if place([block for block in plan.blocks if block not in movable]) <= room:
            return program
        program.items = list(calls)
        for call, variant in zip(calls, variants):
            call.strips, call.variant = None, variant
    return program


def _correct(pieces: Pieces, path: List[Piece], plan: MemoryPlan) -> None:
    """Note of a loop that needs more memory than was estimated, because of gaps between blocks, how much it needs."""
    highest = [block for block in plan.blocks if block.offset + block.size == plan.arena_bytes]
    reached = [one for one in path if any(b.first <= one.last and one.first <= b.last for b in highest)]
    if reached:
        worst = max(reached, key=lambda one: one.memory)
        if worst.rows and worst.memory < plan.arena_bytes:
            pieces.replace(worst, plan.arena_bytes)


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
    program: Program, pieces: Pieces, limit: int, slowdown: float, slack: float
) -> Tuple[Pieces, List[Piece], Dict[int, Loop]]:
    """(pieces without calls whose kernels cannot compute strips, the best ones, their loops by their first call)."""
    if pieces.path(limit, slack) is None:
        # The least memory may be any.
        pieces = pieces.complete()
    return _loops_of(program, pieces, lambda found: _best(found, limit, slowdown, slack))


def _loops_of(
    program: Program, pieces: Pieces, best: Callable[[Pieces], List[Piece]]
) -> Tuple[Pieces, List[Piece], Dict[int, Loop]]:
    """The same; best: chooses them."""
    variants = [call.variant for call in pieces.calls]
    while True:
        path = best(pieces)
        loops = _made_loops(program, pieces.calls, path)
        if isinstance(loops, dict):
            return pieces, path, loops
        for call, variant in zip(pieces.calls, variants):
            call.strips, call.variant = None, variant
        pieces = Pieces(program, pieces.unsuited | {loops})


def _best(pieces: Pieces, limit: int, slowdown: float, slack: float) -> List[Piece]:
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
        whole = {x for x in (call.writes[0] for call in inner) if is_whole(x, inner, readers)}
        loops[piece.first] = make_loop(inner, piece.rows, whole, piece.first_leads)
    for loop in loops.values():
        for call in loop.calls:
            if not _choose(call):
                for one in (one for each in loops.values() for one in each.calls):
                    one.strips = None
                return call
    return loops


def _choose(call: Call) -> bool:
    """Give a call a kernel that can compute all its strips: the one it has, or one of the same kind."""
    if fits_strips(call, call.variant):
        return True
    if isinstance(call.variant, Esp32s3Variant):
        return False
    for variant in [*VARIANTS.get(call.operator, ()), *([] if call.followers else [None])]:
        if variant is not None and (variant.for_spare_memory or (call.followers and not variant.fuses_add)):
            continue
        if fits_strips(call, variant):
            call.variant = variant
            return True
    return False


def fits_strips(call: Call, variant: Optional[Variant]) -> bool:
    """Whether a kernel can compute every strip of a call in a loop."""
    parts = call.strips.parts
    if isinstance(variant, Esp32s3Variant):
        return all(variant.fits_range(one, *call.input_range) for one in parts)
    return variant is None or all(variant.fits(one) for one in parts)
