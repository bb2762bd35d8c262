"""How the report writes numbers, and its first lines: what matters most, for the page and for the text."""

from __future__ import annotations

from typing import List, Optional, Tuple

from .arena import Bar
from .facts import Report, Row
from .memory import MemoryRow
from .noise import TensorNoise


def number(value: float) -> str:
    """12345678 -> 12 345 678."""
    return f"{value:,.0f}".replace(",", " ")


def decibel(value: Optional[float]) -> str:
    if value is None:
        return ""
    return "exact" if value == float("inf") else f"{value:.1f}"


def percent(share: Optional[float]) -> str:
    """Of a share of a whole, 0..1; two digits below 10 %."""
    if share is None:
        return ""
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


def remark(noise: TensorNoise) -> str:
    """What the quantizer did to a tensor; the float one is compared after the same."""
    done = ["channels rescaled"] if noise.rescaled else []
    return ", ".join(done + ([f"moved by {noise.moved:g}"] if noise.moved else []))


def tensor_type(row: Row) -> str:
    """`int8 1x32x32x16`."""
    return f"{row.dtype} {'x'.join(map(str, row.shape)) or 'scalar'}" if row.dtype else f"{row.activation} bytes"


def steps_of(report: Report, bar: Bar) -> str:
    """`3-5`: the numbers of the steps from the one that writes it to the last that needs it."""
    return f"{report.rows[bar.first].step}-{report.rows[bar.last].step}"


def milliseconds(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def in_brief(report: Report) -> List[Tuple[str, str, str]]:
    """(class, value, what it is): time, memory, accuracy, whether all is as it should be."""
    return [*_time(report), *_memory(report), *_accuracy(report), *_kernels(report)]


def _time(report: Report) -> List[Tuple[str, str, str]]:
    found, estimate = [], report.total_estimate
    if report.total_measured is not None:
        found.append(("", f"{milliseconds(report.total_measured)} ms", "an inference, measured on the board"))
    if estimate is not None:
        likely, least, most = map(milliseconds, estimate)
        found.append(("", f"~{likely} ms", f"an inference, estimated for the chip ({least} to {most} ms)"))
    return found


def _memory(report: Report) -> List[Tuple[str, str, str]]:
    totals = [row for row in report.memory if row.total]
    if not totals:
        ram = report.arena_bytes + report.port_bytes
        return [("", f"{number(ram)} B", "RAM"), ("", f"{number(report.constant_bytes)} B", "weights and tables")]
    return [_total(row) for row in totals]


def _total(row: MemoryRow) -> Tuple[str, str, str]:
    kind = "bad" if row.share is not None and row.share > 1 else ""
    share = f", {percent(row.share)} of {number(row.of)} B" if row.of else ""
    return kind, f"{number(row.bytes)} B", f"{row.memory}{share}"


def _accuracy(report: Report) -> List[Tuple[str, str, str]]:
    found = []
    if report.figures is not None:
        for one in report.figures.outputs:
            if one.int8_accuracy is not None and one.float_accuracy is not None:
                beside = f"accuracy of the generated C ({report.figures.reference} {100 * one.float_accuracy:.1f} %)"
                found.append(("", f"{100 * one.int8_accuracy:.1f} %", beside))
    outputs = [value for _, value in report.output_noise]
    worst = min((noise.snr for noise in report.noise), default=None)
    if outputs:
        before = report.before_softmax
        behind = f", {_in_decibels(before)} before its softmax" if before is not None and before < min(outputs) else ""
        found.append(("", _in_decibels(min(outputs)), f"signal to noise of the output{behind}"))
    elif worst is not None:
        found.append(("", _in_decibels(worst), "signal to noise of the worst layer"))
    return found


def _in_decibels(value: float) -> str:
    return decibel(value) + " dB" * (decibel(value) != "exact")


def _kernels(report: Report) -> List[Tuple[str, str, str]]:
    steps, slow = len(report.rows), len(report.fallbacks)
    found = [
        ("", number(report.macs), "multiply-accumulates"),
        ("bad" if slow else "good", f"{steps - slow} of {steps}", "steps with an integer kernel"),
    ]
    if report.equal is not None:
        verdict = "equal" if report.equal else "differs"
        found.append(("good" if report.equal else "bad", verdict, "compared with the reference, byte for byte"))
    return found


__all__ = ["decibel", "in_brief", "milliseconds", "number", "percent", "remark", "steps_of", "tensor_type"]
