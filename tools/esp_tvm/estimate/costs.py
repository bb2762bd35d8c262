"""Instructions of kernels, from kernel_costs.json (bench/kernel_costs.py makes it from what the bench counted)."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Dict, Optional

from ..program import Call
from .work import work_of

FILE = Path(__file__).with_name("kernel_costs.json")


@functools.lru_cache(maxsize=None)
def costs() -> Dict[str, Any]:
    """families: family -> kernel -> {terms: {name: instructions}, ...}; scale: family -> instructions of its compiled C
    for one of RISC-V"""
    return json.loads(FILE.read_text("utf-8"))


def vector_name(call: Call) -> str:
    """What the bench calls a kernel on the ESP32-S3: the variant that was chosen, and what it computes."""
    variant = type(call.variant).__name__ if call.variant is not None else "C"
    return f"{variant} {(call.followers or [call])[-1].operator}"


def instructions(call: Call, family: str, vector: bool) -> Optional[float]:
    """Instructions of a call; None where they are not known: of TVM's own C, of a few kernels.

    vector: the program has the kernels for the ESP32-S3's vector unit
    """
    if call.is_view:
        return 0.0
    if call.is_fallback:
        return None
    families, terms = costs()["families"], work_of(call).terms()
    if vector:
        name = vector_name(call)
        own = families["esp32s3"].get(name) or families["esp32s3"].get(f"{name.split()[0]} any")
        if own is not None:
            return _sum(own, terms)
    # What was not counted: a kernel for int16 takes about what that for int8 does, a chip's own no more than plain C.
    plain = call.kernel.replace("_esp32s3", "")
    for kernel in (call.kernel, plain, plain.replace("_s16", "_s8")):
        if kernel in families[family]:
            return _sum(families[family][kernel], terms)
        if kernel in families["riscv"]:
            return costs()["scale"][family] * _sum(families["riscv"][kernel], terms)
    return None


def _sum(cost: Dict[str, Any], terms: Dict[str, float]) -> float:
    return sum(factor * terms[name] for name, factor in cost["terms"].items())
