"""The report as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np

from ..data_check import FEW
from ..naming import shown
from .compare_log import DIFFERS, EQUAL, MISSING
from .facts import Bar, Report, Row
from .noise import TensorNoise
from .text import decibel, number, remark, tensor_type

_HERE = Path(__file__).parent
_WORST = 6


def as_html(report: Report) -> str:
    """The whole page."""
    title = escape(shown(report.title, 80))
    parts = [
        _head(report),
        _ports(report),
        _layers(report),
        _cores(report),
        _fallbacks(report),
        _arena(report),
        _noise(report),
        _comparison(report),
    ]
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n" + "\n".join(parts) + f"\n<script>\n{script}</script>\n"
        "</body>\n</html>\n"
    )


# --- pieces -----------------------------------------------------------------------------------------------

Cell = Tuple[str, str, str]


def _cell(content: str, kind: str = "", value: object = None, part: Optional[float] = None) -> str:
    """A table cell; content is HTML, value what it is sorted by, part (0..1) the length of a bar behind it."""
    style = ""
    if part is not None:
        kind, style = f"{kind} bar", f' style="--part:{100 * part:.1f}%"'
    data = "" if value is None else f' data-value="{escape(str(value))}"'
    return f'<td class="{kind.strip()}"{data}{style}>{content}</td>'


def _table(name: str, head: Sequence[Tuple[str, str]], rows: Sequence[str]) -> str:
    """head: (title, class) of every column; rows: their HTML."""
    titles = "".join(f'<th data-sort="" class="{kind}">{escape(title)}</th>' for title, kind in head)
    body = "\n".join(rows)
    return (
        f'<div class="wide"><table id="{name}"><thead><tr>{titles}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
    )


def _name(text: str, limit: int = 60) -> str:
    """A name of the model; all of it appears when pointed at."""
    return f'<span class="name" title="{escape(shown(text, 400))}">{escape(shown(text, limit))}</span>'


def _head(report: Report) -> str:
    worst = min((noise.snr for noise in report.noise), default=None)
    outputs = [value for _, value in report.output_noise]
    cards = [
        ("", number(report.macs), "multiply-accumulates"),
        ("", f"{number(report.constant_bytes)} B", "weights and tables, in flash"),
        ("", f"{number(report.arena_bytes)} B", "arena for activations, in RAM"),
        ("", f"{number(report.port_bytes)} B", "inputs and outputs, in RAM"),
        (
            "bad" if report.fallbacks else "good",
            f"{len(report.rows) - len(report.fallbacks)} / {len(report.rows)}",
            "steps with an integer kernel",
        ),
    ]
    if outputs:
        cards.append(("", f"{decibel(min(outputs))} dB", "signal to noise of the output"))
    elif worst is not None:
        cards.append(("", f"{decibel(worst)} dB", "signal to noise of the worst layer"))
    if report.equal is not None:
        cards.append(("good" if report.equal else "bad", "equal" if report.equal else "differs", "from the reference"))
    html = "".join(f'<div class="card {kind}"><b>{value}</b><span>{what}</span></div>' for kind, value, what in cards)
    chip = f" for {escape(report.chip)}" if report.chip else ""
    return (
        f"<h1>{escape(shown(report.title, 120))}</h1>\n"
        f"<p>int8 program{chip}, made from the quantized model <code>{report.model_hash[:16]}</code></p>\n"
        f'<div class="cards">{html}</div>'
    )


def _ports(report: Report) -> str:
    rows = []
    for port in report.ports:
        exponent = "" if port.exponent is None else f"{port.inside} * 2<sup>{port.exponent}</sup>"
        shape = "x".join(map(str, port.shape))
        cells = [_cell(port.kind), _cell(_name(port.name)), _cell(f"{port.dtype} {shape}"), _cell(exponent)]
        rows.append(f"<tr>{''.join(cells)}{_cell(number(port.bytes), 'number', port.bytes)}</tr>")
    head = [("", ""), ("ONNX name", ""), ("type", ""), ("inside", ""), ("bytes", "number")]
    return "<h2>Inputs and outputs</h2>" + _table("ports", head, rows)


def _part(value: Optional[float], most: float) -> Optional[float]:
    return value / most if value and most else None


_STATUS = {EQUAL: "good", DIFFERS: "bad", MISSING: "bad"}


def _layers(report: Report) -> str:
    rows = report.rows
    most = {
        "macs": max((r.macs for r in rows), default=0),
        "constants": max((r.constants for r in rows), default=0),
        "activation": max((r.activation for r in rows), default=0),
        "time": max((r.time or 0 for r in rows), default=0),
    }
    head = [
        ("step", "number"),
        ("operator", ""),
        ("ONNX nodes", ""),
        ("kernel", ""),
        ("output", ""),
        ("2^e", "number"),
        ("MAC", "number"),
        ("const., B", "number"),
        ("activ., B", "number"),
        (report.time_label, "number"),
        ("SNR, dB", "number"),
        ("status", ""),
    ]
    timed = f" Times are those of {escape(report.time_source)}." if report.time_unit else ""
    return (
        "<h2>Layers</h2><p>Every step of the program in order; click on the head of a column to sort by it. An int8 "
        "value of the output is worth 2^e. const.: weights and tables, in flash; activ.: the output, in RAM."
        f"{timed}</p>" + _table("layers", head, [_layer(row, most) for row in rows])
    )


def _layer(row: Row, most: dict) -> str:
    def count(value: Optional[float], of: str) -> str:
        return _cell(number(value) if value else "", "number", value or 0, _part(value, most[of]))

    cells = [
        _cell(str(row.step), "number", row.step),
        _cell(escape(row.operator)),
        _cell(_name(row.nodes, 120), "nodes"),
        _cell(f"<code>{escape(row.kernel.replace('esp_dl_', ''))}</code>"),
        _cell(f'<span title="{escape(shown(row.tensor, 200))}">{escape(tensor_type(row))}</span>'),
        _cell("" if row.exponent is None else str(row.exponent), "number"),
        count(row.macs, "macs"),
        count(row.constants, "constants"),
        count(row.activation, "activation"),
        count(row.time, "time") if row.time is not None else _cell("", "number", -1),
        _cell(decibel(row.snr), "number", 999 if row.snr is None else min(row.snr, 998)),
        _cell(escape(row.status), _STATUS.get(row.status, "")),
    ]
    kind = "fallback" if row.is_fallback else ("idle" if not row.activation else "")
    return f'<tr class="{kind}">{"".join(cells)}</tr>'


def _cores(report: Report) -> str:
    if not report.cores:
        return ""
    return "<h2>Both cores</h2><ul>" + "".join(f"<li>{escape(line)}</li>" for line in report.cores) + "</ul>"


def _fallbacks(report: Report) -> str:
    if not report.fallbacks:
        return "<h2>Fallbacks</h2><p>None: every step has an integer kernel.</p>"
    rows = [
        f"<tr>{_cell(str(row.step), 'number', row.step)}{_cell(_name(row.nodes, 90), 'nodes')}"
        f"{_cell(escape(row.reason), 'reason')}</tr>"
        for row in report.fallbacks
    ]
    head = [("step", "number"), ("ONNX nodes", ""), ("why", "")]
    return "<h2>Fallbacks</h2><p>These run as C that TVM wrote, in float, slowly.</p>" + _table("fallbacks", head, rows)


# --- pictures ---------------------------------------------------------------------------------------------


def _arena(report: Report) -> str:
    width, height, left, top, bottom = 1200, 380, 92, 14, 34
    steps = len(report.rows)
    if not report.bars or not report.arena_bytes:
        return ""
    column, scale = (width - left - 8) / max(steps, 1), (height - top - bottom) / report.arena_bytes
    parts: List[str] = []
    for i in range(5):
        value = report.arena_bytes * i / 4
        y = height - bottom - value * scale
        parts.append(f'<line class="grid" x1="{left}" x2="{width - 8}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="soft" x="{left - 8}" y="{y + 4:.1f}" font-size="12" text-anchor="end">')
        parts.append(f"{number(value)}</text>")
    every = max(1, -(-steps // 40))
    for step in range(0, steps, every):
        x = left + (step + 0.5) * column
        parts.append(f'<text class="soft" x="{x:.1f}" y="{height - bottom + 18}" font-size="12" text-anchor="middle">')
        parts.append(f"{step}</text>")
    for bar in report.bars:
        free = min([other.first for other in report.bars if _covers(other, bar)], default=bar.last + 1)
        parts.append(_block(bar, left, column, height - bottom, scale, free))
    text = (
        f"<h2>Arena over time</h2><p>{number(report.arena_bytes)} bytes of RAM hold all activations: upwards the "
        "address, to the right the steps. Point at a block to read what it holds.</p>"
    )
    return f'{text}<svg id="arena" viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'


def _covers(other: Bar, bar: Bar) -> bool:
    """Whether `other` begins later than `bar` in a part of its memory (a kernel that writes over its input)."""
    apart = other.offset >= bar.offset + bar.size or bar.offset >= other.offset + other.size
    return bar.first < other.first <= bar.last and not apart


def _block(bar: Bar, left: float, column: float, floor: float, scale: float, free: int) -> str:
    """One block of the arena; its label has room up to step `free`."""
    x, y = left + bar.first * column, floor - (bar.offset + bar.size) * scale
    width, height = (bar.last - bar.first + 1) * column, bar.size * scale
    label = ""
    room = (free - bar.first) * column - 1.5
    if height > 13 and room > 40:
        room = int(room / 6.4)
        label = (
            f'<text x="{x + 5:.1f}" y="{y + height / 2 + 4:.1f}" font-size="11">{escape(shown(bar.label, room))}</text>'
        )
    kind = "scratch" if bar.label.startswith("scratch") else "block"
    about = f"{shown(bar.label, 200)}: {bar.size} bytes at {bar.offset}, steps {bar.first} to {bar.last}"
    return (
        f'<g><title>{escape(about)}</title><rect class="{kind}" x="{x + 0.75:.1f}" y="{y:.1f}" '
        f'width="{width - 1.5:.1f}" height="{max(height, 1):.1f}" rx="2"/>{label}</g>'
    )


def _noise(report: Report) -> str:
    if not report.noise:
        return (
            "<h2>Noise</h2><p>Not measured: the quantized model has no figures of the quantizer's, and there are "
            f"fewer than {FEW} samples to compare with the float model.</p>"
        )
    finite = [n.snr for n in report.noise if np.isfinite(n.snr)]
    most = max([*finite, 1.0])
    rows = []
    for noise in report.noise:
        part = min(max(noise.snr, 0.0), most) / most
        cells = [
            _cell(str(noise.step), "number", noise.step),
            _cell(_name(noise.name, 60)),
            _cell(str(noise.exponent), "number"),
            _cell(decibel(noise.snr), "number", min(noise.snr, 998), part),
            _cell("" if noise.worst is None else f"{noise.worst:.3g}", "number", noise.worst),
            _cell("" if noise.offset is None else f"{noise.offset:+.2g}", "number", noise.offset),
            _cell("" if noise.clipped is None else f"{100 * noise.clipped:.2f} %", "number", noise.clipped),
            _cell(remark(noise)),
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    head = [("step", "number"), ("tensor", ""), ("exponent", "number"), ("SNR, dB", "number")]
    head += [("worst error", "number"), ("mean error", "number"), ("beyond int8", "number"), ("", "")]
    outputs = "; ".join(f"{escape(shown(name))} {decibel(value)} dB" for name, value in report.output_noise)
    worst = sorted((n for n in report.noise if np.isfinite(n.snr) and n.edges is not None), key=lambda n: n.snr)
    figures = "".join(_histogram(noise) for noise in worst[:_WORST])
    pictures = (
        '<h2>The noisiest tensors</h2><p class="key">How often a value occurs (square root scale)'
        '<i style="background:var(--blue);opacity:.55"></i>float<i style="background:var(--orange)"></i>int8</p>'
        f'<div class="histograms">{figures}</div>'
    )
    return (
        f"<h2>Noise, int8 against float</h2><p>Measured {escape(report.noise_where)}. Signal to noise of the model's "
        f"outputs: {outputs}. Errors are in the tensor's real units. Where the quantizer rescaled the channels "
        "of a tensor or moved it by a constant, to use int8 better, the float tensor is changed likewise before it is "
        "compared.</p>" + _table("noise", head, rows) + (pictures if figures else "")
    )


def _histogram(noise: TensorNoise) -> str:
    width, height, floor = 340, 130, 108
    floats, ints = np.sqrt(noise.float_counts), np.sqrt(noise.int_counts)
    most = max(float(floats.max()), float(ints.max()), 1.0)
    step = width / len(floats)
    bars = "".join(
        f'<rect class="float" x="{i * step:.1f}" y="{floor - 100 * v / most:.1f}" width="{step - 0.6:.1f}" '
        f'height="{100 * v / most:.1f}"/>'
        for i, v in enumerate(floats)
        if v
    )
    line = "".join(
        f"{'L' if i else 'M'}{i * step:.1f} {floor - 100 * v / most:.1f}H{(i + 1) * step:.1f}"
        for i, v in enumerate(ints)
    )
    ends = (
        f'<text class="soft" x="0" y="{height - 6}" font-size="11">{noise.edges[0]:.3g}</text>'
        f'<text class="soft" x="{width}" y="{height - 6}" font-size="11" text-anchor="end">{noise.edges[-1]:.3g}</text>'
    )
    return (
        f"<figure><figcaption><b>{decibel(noise.snr)} dB</b>step {noise.step} {_name(noise.name, 60)}</figcaption>"
        f'<svg viewBox="0 0 {width} {height}" role="img">{bars}<path class="int" d="{line}"/>'
        f'<line class="grid" x1="0" x2="{width}" y1="{floor}" y2="{floor}"/>{ends}</svg></figure>'
    )


def _comparison(report: Report) -> str:
    if report.equal is None:
        return ""
    kind = "good" if report.equal else "bad"
    lines = "\n".join(report.comparison)
    return (
        f"<h2>Comparison</h2><p>Of {escape(report.compared)} with the reference, every layer, byte for byte.</p>"
        f'<pre id="comparison" class="{kind}">{escape(lines)}</pre>'
    )
