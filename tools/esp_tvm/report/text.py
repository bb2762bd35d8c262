"""The report as plain text."""

from __future__ import annotations

from typing import List, Optional

from ..naming import one_line, shown
from ..terminal import Table, lines_of
from .facts import Report, Row
from .noise import TensorNoise


def number(value: float) -> str:
    """12345678 -> 12 345 678."""
    return f"{value:,.0f}".replace(",", " ")


def decibel(value: Optional[float]) -> str:
    if value is None:
        return ""
    return "exact" if value == float("inf") else f"{value:.1f}"


def remark(noise: TensorNoise) -> str:
    """What the quantizer did to a tensor; the float one is compared after the same."""
    done = ["channels rescaled"] if noise.rescaled else []
    return ", ".join(done + ([f"moved by {noise.moved:g}"] if noise.moved else []))


def tensor_type(row: Row) -> str:
    """`int8 1x32x32x16`."""
    return f"{row.dtype} {'x'.join(map(str, row.shape)) or 'scalar'}" if row.dtype else f"{row.activation} bytes"


def as_text(report: Report) -> str:
    """The whole report."""
    parts = [_summary(report), _layers(report), _cores(report), _fallbacks(report), _arena(report), _noise(report)]
    parts += [_evaluation(report), _comparison(report)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _summary(report: Report) -> List[str]:
    kernels = len(report.rows) - len(report.fallbacks)
    lines = [
        f"Report of {one_line(report.title)}" + (f", for {report.chip}" if report.chip else ""),
        f"model {report.model_hash[:16]}; {kernels} kernel calls, {len(report.fallbacks)} fallbacks, "
        f"{number(report.macs)} MAC",
        f"RAM: arena {number(report.arena_bytes)} bytes, inputs and outputs {number(report.port_bytes)}; "
        f"flash: constants {number(report.constant_bytes)} bytes",
    ]
    for port in report.ports:
        exponent = "" if port.exponent is None else f", inside {port.inside} * 2^{port.exponent}"
        shape = "x".join(map(str, port.shape))
        lines.append(f"{port.kind:<6} {shown(port.name)}: {port.dtype} {shape}, {number(port.bytes)} bytes{exponent}")
    return lines


def _layers(report: Report) -> List[str]:
    head = ["step", "operator", "ONNX nodes", "kernel", "output", "exponent", "MAC", "constants", "activation", "arena"]
    times = [("ms, estimate", _estimate)] if report.estimate else []
    if report.shows_time:
        times.append((report.time_label, _time))
    head += [*(title for title, _ in times), "SNR dB", "status"]
    rows = []
    for row in report.rows:
        rows.append(
            [
                str(row.step),
                row.operator,
                shown(row.nodes, 44),
                row.kernel,
                tensor_type(row),
                "" if row.exponent is None else str(row.exponent),
                number(row.macs) if row.macs else "",
                number(row.constants) if row.constants else "",
                number(row.activation) if row.activation else "",
                row.where,
                *(cell(row) for _, cell in times),
                decibel(row.snr),
                row.status,
            ]
        )
    return ["LAYERS", *Table(head, rows, "rllllrrrrr" + "r" * len(times) + "rl").lines(), *report.estimate]


def _estimate(row: Row) -> str:
    return "" if row.estimate is None else f"{row.estimate:.3f}"


def _time(row: Row) -> str:
    return "" if row.time is None else number(row.time)


def _cores(report: Report) -> List[str]:
    return ["CORES", *report.cores] if report.cores else []


def _fallbacks(report: Report) -> List[str]:
    if not report.fallbacks:
        return []
    return ["FALLBACKS (TVM's C, slow)", *[f"{shown(row.nodes, 70)}: {row.reason}" for row in report.fallbacks]]


def _arena(report: Report) -> List[str]:
    rows = [[str(b.offset), str(b.size), f"{b.first}-{b.last}", shown(b.label, 70)] for b in report.bars]
    return ["ARENA", *Table(["offset", "bytes", "steps", "holds"], rows, "rrll").lines()]


def _noise(report: Report) -> List[str]:
    if not report.noise:
        return []
    rows = [
        [
            str(noise.step),
            shown(noise.name, 44),
            str(noise.exponent),
            decibel(noise.snr),
            "" if noise.worst is None else f"{noise.worst:.3g}",
            "" if noise.offset is None else f"{noise.offset:+.2g}",
            "" if noise.clipped is None else f"{100 * noise.clipped:.2f}",
            remark(noise),
        ]
        for noise in report.noise
    ]
    head = ["step", "tensor", "exponent", "SNR dB", "worst error", "mean error", "% clipped", ""]
    lines = [f"NOISE, int8 against float, {report.noise_where}", *Table(head, rows, "rlrrrrrl").lines()]
    return lines + [f"output {shown(name)}: {decibel(value)} dB" for name, value in report.output_noise]


def _evaluation(report: Report) -> List[str]:
    return ["TEST SET", *lines_of(report.evaluation)] if report.evaluation else []


def _comparison(report: Report) -> List[str]:
    return [f"COMPARISON of {report.compared} with the reference", *report.comparison]
