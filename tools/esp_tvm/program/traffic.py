"""How many bytes the calls of a program move: what decides where a buffer should lie, and how long a call waits."""

from __future__ import annotations

from typing import Dict, List, Tuple

import numpy as np

from .form import Call, Program, Tensor


def window_bytes(call: Call) -> int:
    """Bytes of all windows that a call slides over its first input; 0 for a call without windows."""
    a, pixels = call.attributes, 0
    if call.kind == "conv2d":
        taps, channels = a["weights"].shape[1:3], call.inputs[0].shape[3]
    elif call.kind == "depthwise_conv2d":
        taps, channels = a["weights"].shape[:2], call.output.shape[3]
    elif call.kind in ("max_pool2d", "average_pool2d"):
        taps, channels = a["kernel"], call.output.shape[3]
    else:
        return 0
    pixels = int(np.prod(call.output.shape[:3], dtype=np.int64))
    return pixels * int(taps[0]) * int(taps[1]) * int(channels) * np.dtype(call.inputs[0].dtype).itemsize


def moved(call: Call) -> List[Tuple[Tensor, int]]:
    """The tensors that a call reads and writes, and how many bytes of each; windows that overlap count each time."""
    if call.is_view:
        return []
    found = []
    for tensor in call.reads:
        windows = window_bytes(call) if call.operator and tensor is call.inputs[0] else 0
        found.append((tensor, max(windows, tensor.bytes)))
    return found + [(tensor, tensor.bytes) for tensor in call.writes]


def bytes_by_kind(program: Program) -> Dict[str, int]:
    """Bytes that an inference reads and writes, by where they lie: "arena", "psram_arena", "input", "output",
    "constant"."""
    total = dict.fromkeys(("arena", "psram_arena", "input", "output", "constant"), 0)
    for call in program.calls():
        for tensor, size in moved(call):
            place = tensor.root.place
            if place is not None:
                total["arena" if place.kind == "window" else place.kind] += size
        if call.scratch is not None:
            total["arena"] += 2 * call.scratch.bytes
        total["constant"] += sum(constant.array.nbytes for constant in call.constants)
    return total
