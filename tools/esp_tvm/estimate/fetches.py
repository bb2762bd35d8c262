"""How often what a call reads and writes passes through the cache, where it lies in PSRAM."""

from __future__ import annotations

from typing import List, Tuple

from ..program import Call, Tensor
from .memories import Clock
from .work import LANES

# The part of a cache that one thing of a layer may fill: the rest holds code and what else the layer reads.
SHARE = 0.75


def fetches(call: Call, clock: Clock) -> List[Tuple[Tensor, int]]:
    """The tensors that a call reads and writes, and how often all their bytes pass through the cache of `clock`."""
    if call.is_view:
        return []
    passes, stretch = call.variant.input_passes(call) if call.variant is not None else (1, 0)
    if stretch <= clock.cache * SHARE:
        passes = 1
    found = [(x, passes if x is call.inputs[0] else 1) for x in call.reads]
    # Sixteen channels of every pixel are written at a time; a line holds several of them.
    return found + [(x, min(passes, -(-clock.line // LANES))) for x in call.writes]


__all__ = ["SHARE", "fetches"]
