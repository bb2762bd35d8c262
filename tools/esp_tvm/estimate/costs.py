"""Instructions of kernels, from kernel_costs.json (bench/kernel_costs.py makes it from what the bench counted)."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any, Dict, Optional

from ..program import Call
from .work import work_of

FILE = Path(__file__).with_name("kernel_costs.json")
# Kernels for the vector unit that were not counted yet -> the one that takes about as many instructions.
LIKE = {
    "Conv2dPairs": "Conv2dLanes",
    "Conv2dMeasured": "Conv2dLanes",
    "Conv2dMeasuredWindows": "Conv2dLanes",
    "Conv2dPieces": "Conv2dChecked",
    "AverageGlobal": "Average",
    "DequantizeS16Fpu": "DequantizeFpu",
    "RepeatPixels": "Move",
    "PReluVectors": "Broadcasting",
    "Scale": "Broadcasting",
}

# Kernels that do about as much as another.
_AS = {"esp_dl_conv2d_s8_8x2": "esp_dl_conv2d_s8_6x2", "esp_dl_take": "esp_dl_gather_s8"}
_SUMS = {"conv2d": ("conv2d_add",), "conv2d_add": ("conv2d",)}


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
    """Instructions of a call; None where they are not known: for TVM's own C and a few kernels.

    vector: the program has the kernels for the ESP32-S3's vector unit
    """
    if call.is_view:
        return 0.0
    if call.is_fallback:
        return None
    families, terms = costs()["families"], work_of(call).terms()
    if vector:
        variant, operator = vector_name(call).split()
        like = LIKE.get(variant, variant)
        # What is added to sums is little beside them: where only one of both was counted, it stands for the other.
        kinds = (operator, "any", call.kind, *_SUMS.get(operator, ()))
        names = [f"{one} {kind}" for one in (variant, like) for kind in kinds]
        own = next((families["esp32s3"][name] for name in names if name in families["esp32s3"]), None)
        if own is not None:
            return _sum(own, terms)
    # What was not counted: a kernel for int16 takes about as many as that for int8, a chip's own no more than plain C,
    # sums of some rows after the other as many as those of the whole image, six pixels apart as many as neighbours.
    plain = call.kernel.replace("_esp32s3", "")
    others = (
        plain.replace("_s16", "_s8"),
        re.sub("_s(8|16)_rows$", "_s8_global", plain),
        plain.replace("_add_s", "_s"),
        plain.replace("_apart", ""),
        _AS.get(plain, plain),
    )
    for kernel in (call.kernel, plain, *others):
        if kernel in families[family]:
            return _sum(families[family][kernel], terms)
        if kernel in families["riscv"]:
            return costs()["scale"][family] * _sum(families["riscv"][kernel], terms)
    return None


def _sum(cost: Dict[str, Any], terms: Dict[str, float]) -> float:
    return sum(factor * terms[name] for name, factor in cost["terms"].items())
