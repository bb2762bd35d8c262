"""Fits the instructions of kernels to what they compute, for the estimate of time: esp_tvm/estimate/kernel_costs.json.

    python bench/kernel_costs.py            # writes the file from bench/results.json and bench/OPERATORS.md

Nothing is run: run `make bench` and `make bench-operators` before, where the emulators are. For each kernel the terms
of esp_tvm/estimate/work.py that suit it get factors of at least 0 with the least relative error. How well the sum for a
network is met is told for networks that were left out of the fit.

The quantizer reads the file, so that what is counted depends on it: a kernel keeps the factors that the file has as
long as they meet what was counted nearly as well as new ones would (KEPT). Else two fits of few calls, which differ in
what these do not tell, lead to each other's networks by turns.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / "tools"), str(REPO / "bench")]

import numpy as np  # noqa: E402

from esp_tvm import cli  # noqa: E402
from esp_tvm.estimate.costs import FILE  # noqa: E402
from esp_tvm.estimate.work import Work  # noqa: E402
from esp_tvm.files import whole_file  # noqa: E402

RESULTS, OPERATORS = REPO / "bench" / "results.json", REPO / "bench" / "OPERATORS.md"
FAMILIES = {"riscv": "instructions", "xtensa": "xtensa_instructions", "esp32s3": "instructions"}
# The terms of kernels whose names have a word; the first that fits.
TERMS: Sequence[Tuple[str, Sequence[str]]] = (
    ("DepthwiseLanes", ("vectors", "groups", "pixels", "part_groups", "calls")),
    ("Conv2d", ("vectors", "groups", "ragged", "ragged_windows", "part_groups", "calls")),
    ("Average", ("groups", "calls")),
    ("pool2d", ("pooled", "values", "calls")),
    ("6x2", ("macs6", "values", "windows6", "calls")),
    ("8x2", ("values", "alone", "calls")),
    ("3x4", ("macs3", "values", "calls")),
    ("3x3", ("values", "alone", "lines", "strided", "calls")),
    ("", ("macs", "values", "windows", "calls")),
)
# What a piece of weights takes (`Variant.pieces`), which calls of the bench vary too little to fit it: counted in the
# emulators, two ranges of the input of one layer. By the word in a kernel's name: the term, its factor.
PIECES: Dict[str, Dict[str, Tuple[str, float]]] = {
    "riscv": {"6x2": ("pieces6", 27.7), "3x4": ("pieces3", 33.0)},
    "xtensa": {"6x2": ("pieces6", 53.2), "3x4": ("pieces3", 60.0)},
    "esp32s3": {},
}
# Vector kernels that the networks of the bench do not have, or not with every table of costs: a term and its factor,
# from docs/esp32-s3.md, "Figures"; that of Conv2dWide from calls that were counted once (1.9 to 2.7).
DOCUMENTED = {
    "Conv2dWide any": ("vectors", 2.2),
    "Elementwise any": ("values", 0.6),
    "Broadcasting any": ("values", 0.6),
    "LookupTable any": ("values", 1.44),
    "DenseS16 any": ("macs", 0.14),
    "DenseS16Rows any": ("macs", 0.2),
    "PointwiseS16 any": ("macs", 0.57),
    "Conv2dS16 any": ("macs", 0.19),
    "Conv2dAddS16 any": ("macs", 0.19),
    "DepthwiseS16 any": ("macs", 0.45),
    "ElementwiseS16 any": ("values", 1.0),
    "PoolS16 any": ("pooled", 0.47),
    "AverageWide any": ("values", 68.0),
    "Conv2dFew any": ("macs", 0.35),
    "DequantizeFpu any": ("values", 5.3),
    "MatMulLanes any": ("macs", 0.25),
    "SoftmaxFpu any": ("values", 36.0),
    "Move any": ("values", 0.4),
    "TransposeRows any": ("values", 0.47),
    "TransposeTiles any": ("values", 0.62),
    "Pool any": ("values", 2.0),
    "Average any": ("values", 9.0),
    "QuantizeFpu any": ("values", 11.0),
    "QuantizeNhwcFpu any": ("values", 11.0),
}
# Factors stay if their mean relative error is at most this much larger than that of new ones.
KEPT = 0.03
# The ESP32's MAC16 kernels, which the bench's core does not have: from docs/esp32.md.
DOCUMENTED_ESP32 = {
    "esp_dl_conv2d_s8_esp32": {"macs": 1.03, "values": 15.0, "windows": 3.0},
    "esp_dl_conv2d_add_s8_esp32": {"macs": 1.03, "values": 35.0, "windows": 3.0},
    "esp_dl_depthwise_conv2d_s8_esp32": {"values": 36.0},
}
_SOURCE = (
    "Made by bench/kernel_costs.py from bench/results.json (make bench: counted in emulators) and bench/OPERATORS.md "
    "(make bench-operators); kernels named 'any' from docs/esp32-s3.md, those named _esp32 from docs/esp32.md. "
    "Instructions = the sum of factor * term (esp_tvm/estimate/work.py). "
    "error: the mean relative error of the fit; calls: how many were counted. "
    "left_out: each network estimated by fits without it, as a part of what was counted."
)


class Count(NamedTuple):
    """A call that was counted: of which network or layer, its kernel, its work, its instructions."""

    network: str
    kernel: str
    work: Work
    instructions: float


def counted(results: Dict[str, Any], family: str) -> Iterator[Count]:
    """The calls of all networks and layers."""
    for group in ("models", "layers"):
        for network, figures in results[group].items():
            if family == "esp32s3":
                figures = figures.get("esp32s3") or {}
            in_channels = 1
            for step in figures.get("steps", ()):
                if step["output"] is None or FAMILIES[family] not in step:
                    continue
                name = f"{step['kernel']} {step['operator']}" if family == "esp32s3" else step["kernel"]
                yield Count(network, name, _work(step, in_channels), step[FAMILIES[family]])
                # Float inputs are quantized as they come: of one channel as NCHW, the last axis is the width.
                one_channel = step["operator"] == "quantize" and step["output"][1:2] == [1]
                in_channels = 1 if one_channel else step["output"][-1]


def _work(step: Dict[str, Any], in_channels: int) -> Work:
    """in_channels: those of the step before it, which says how many taps its window has."""
    output = step["output"]
    values, channels = int(np.prod(output)), output[-1]
    taps = step["macs"] / values / in_channels if step["operator"] in ("conv2d", "conv2d_add") else 1.0
    rows = {9: 3, 25: 5, 49: 7, 40: 10}.get(round(taps), 1) if abs(taps - round(taps)) < 1e-9 else 1
    width = output[2] if len(output) == 4 else 1
    known = {name: step[name] for name in ("pieces", "alone", "stride") if name in step}
    return Work(values, channels, step["macs"], in_channels, rows, step["taps"], width=width, **known)


def operators(known: Sequence[str]) -> Iterator[Count]:
    """Rows of OPERATORS.md with one kernel, which is none of those `known`."""
    number = r" ([\d,]+) \|"
    for line in OPERATORS.read_text("utf-8").splitlines():
        row = re.match(rf"\| (.*?) \|{number}{number} [\d.]* \| ([\d.]*) \| `(\w+)` \|$", line)
        if not row:
            continue
        name = row.group(5) if row.group(5) == "memcpy" else f"esp_dl_{row.group(5)}"
        values, instructions = (int(row.group(i).replace(",", "")) for i in (2, 3))
        macs = round(instructions / float(row.group(4))) if row.group(4) else 0
        if name not in known and values:
            yield Count(row.group(1), name, Work(values, 1, macs, 1), instructions)


def fit(counts: Sequence[Count], terms: Sequence[str]) -> Dict[str, float]:
    """Factors of at least 0 with the least relative error: the best of all subsets of the terms.

    What multiplies is counted by its products in any case: of few calls, of windows of one size, other terms say as
    much, and nothing of other windows.
    """
    products = {i for i, term in enumerate(terms) if term.startswith("macs") and any(one.work.macs for one in counts)}
    rows = np.array([[count.work.terms()[term] for term in terms] for count in counts], np.float64)
    wanted = np.array([count.instructions for count in counts], np.float64)
    rows, best = rows / wanted[:, None], None
    for size in range(1, len(terms) + 1):
        for chosen in itertools.combinations(range(len(terms)), min(size, len(terms))):
            some = rows[:, chosen]
            if products and products.isdisjoint(chosen):
                continue
            if len(chosen) > len(counts) or np.linalg.matrix_rank(some) < len(chosen):
                continue
            factors = np.linalg.lstsq(some, np.ones(len(counts)), rcond=None)[0]
            error = float(np.linalg.norm(some @ factors - 1.0))
            if products and not any(factor > 0 for i, factor in zip(chosen, factors) if i in products):
                continue
            if (factors >= 0).all() and (best is None or error < best[0] - 1e-6):
                best = (error, {terms[i]: float(factor) for i, factor in zip(chosen, factors)})
    assert best is not None, counts
    return best[1]


def predicted(cost: Dict[str, float], work: Work) -> float:
    terms = work.terms()
    return sum(factor * terms[name] for name, factor in cost.items())


def relative_error(cost: Dict[str, float], counts: Sequence[Count]) -> float:
    """The mean of |predicted / counted - 1|."""
    return float(np.mean([abs(predicted(cost, one.work) / one.instructions - 1.0) for one in counts]))


def fitted(
    counts: Sequence[Count], family: str, before: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> Dict[str, Dict[str, Any]]:
    """The costs of all kernels that were counted; before: those of the file, which stay where they do (KEPT)."""
    found = {}
    for kernel in sorted({count.kernel for count in counts}):
        own = [count for count in counts if count.kernel == kernel]
        known = {term: factor for word, (term, factor) in PIECES[family].items() if word in kernel}
        terms = next(terms for word, terms in TERMS if word in kernel)
        if all(count.work.taps == 1 for count in own):
            # Windows are not known of rows of OPERATORS.md.
            terms = [term for term in terms if term != "pooled"]
        rest = [one._replace(instructions=one.instructions - predicted(known, one.work)) for one in own]
        cost = {name: float(f"{factor:.4g}") for name, factor in {**fit(rest, terms), **known}.items()}
        kept = before.get(kernel, {}).get("terms", {})
        of_today = kept.keys() <= {*terms, *known} and all(kept.get(term) == factor for term, factor in known.items())
        if kept and of_today and relative_error(kept, own) <= relative_error(cost, own) + KEPT:
            cost = dict(kept)
        found[kernel] = {"terms": cost, "error": round(relative_error(cost, own), 3), "calls": len(own)}
    return found


def left_out(counts: Sequence[Count], family: str, networks: Sequence[str]) -> List[Tuple[str, float]]:
    """Of every network: estimated by fits without it, as a part of what was counted. Kernels that only it has are those
    of the fit with it."""
    whole, ratios = fitted(counts, family), []
    for network in networks:
        others = fitted([count for count in counts if count.network != network], family)
        own = [count for count in counts if count.network == network]
        costs = [(others.get(one.kernel) or whole[one.kernel])["terms"] for one in own]
        estimate = sum(predicted(cost, one.work) for cost, one in zip(costs, own))
        ratios.append((network, estimate / sum(one.instructions for one in own)))
    return ratios


def made(results: Dict[str, Any], before: Dict[str, Any]) -> Dict[str, Any]:
    """The content of kernel_costs.json, which was `before`."""
    families: Dict[str, Any] = {}
    ratios: Dict[str, Dict[str, float]] = {}
    scale: Dict[str, float] = {"riscv": 1.0}
    for family in FAMILIES:
        counts = list(counted(results, family))
        if family == "riscv":
            counts += operators({count.kernel for count in counts})
        families[family] = fitted(counts, family, before["families"].get(family, {}))
        ratios[family] = {name: round(ratio, 2) for name, ratio in left_out(counts, family, list(results["models"]))}
        for network, ratio in ratios[family].items():
            print(f"{family}, {network}: estimated {ratio:.2f} of what was counted")
    steps = [step for group in ("models", "layers") for one in results[group].values() for step in one["steps"]]
    # How much more Xtensa takes for kernels without multiply-accumulates, for those that were counted on RISC-V alone.
    both = [
        (s["instructions"], s["xtensa_instructions"]) for s in steps if "xtensa_instructions" in s and not s["macs"]
    ]
    scale["xtensa"] = round(sum(xtensa for _, xtensa in both) / sum(riscv for riscv, _ in both), 3)
    for name, (term, factor) in DOCUMENTED.items():
        families["esp32s3"][name] = {"terms": {term: factor}, "error": None, "calls": 0}
    for name, terms in DOCUMENTED_ESP32.items():
        families["xtensa"][name] = {"terms": terms, "error": None, "calls": 0}
    return {"source": _SOURCE, "left_out": ratios, "scale": scale, "families": families}


def main() -> None:
    results, before = (json.loads(path.read_text("utf-8")) for path in (RESULTS, FILE))
    content = json.dumps(made(results, before), indent=1) + "\n"
    with whole_file(FILE) as temporary:
        Path(temporary).write_text(content, encoding="utf-8")
    print(f"written: {FILE.relative_to(REPO)}")


if __name__ == "__main__":
    cli.run(main)
