"""Calls that one kernel computes together, without a tensor between them."""

from __future__ import annotations

from typing import Dict, List

from ...program import Call, Program, Tensor
from ..kernels.portable import QuantizeNhwc

_TO_NHWC = (0, 2, 3, 1)


def fuse(program: Program) -> Program:
    """Let quantizations compute the change to NHWC behind them.

    A call that computes the next one too has it among its `followers`, and its number and symbol.
    """
    items: List[Call] = []
    readers = program.readers()
    for call in program.items:
        previous = items[-1] if items else None
        if previous is not None and _takes(previous, call, readers):
            own = previous.variant.with_nhwc if previous.variant is not None else None
            previous.variant = own or QuantizeNhwc()
            previous.followers = [call]
            previous.index, previous.symbol = call.index, call.symbol
            previous.macs += call.macs
        else:
            items.append(call)
    program.items = items
    return program


def _takes(call: Call, following: Call, readers: Dict[Tensor, List[Call]]) -> bool:
    """Whether `call` can compute the one behind it, which alone reads what it computes."""
    if call.followers or call.is_fallback:
        return False
    if call.output.place is not None or readers.get(call.output) != [following]:
        return False
    return (
        call.operator == "quantize"
        and QuantizeNhwc().fits(call)
        and following.operator == "transpose"
        and tuple(following.attributes["axes"]) == _TO_NHWC
    )
