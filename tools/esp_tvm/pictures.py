"""All pictures, as SVG: those inside the report, whose page defines the colours, and those in separate files.

Text is escaped here, and only here: `element` is the one place that writes markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, List, Sequence, Tuple

import numpy as np
from markupsafe import Markup

if TYPE_CHECKING:
    from .report.arena import Bar

Panel = Tuple[str, Sequence[str], Sequence[Tuple[str, List[float]]]]

_SERIES = ("#1f77b4", "#ff9f40", "#b0b0b0")
_BLOCKS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948", "#b07aa1", "#9c755f")


def element(tag: str, *content: str, **attributes: object) -> Markup:
    """`<tag ...>content</tag>`, with everything escaped that is not Markup; the parts of the content are concatenated.

    attributes: `font_size` is font-size, `class_` is class; floats are rounded to a tenth of a unit
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), f"{v:.1f}" if isinstance(v, float) else v)
        for name, v in attributes.items()
    )
    inside = Markup("").join(content)
    return Markup("<{0}{1}>{2}</{0}>" if content else "<{0}{1}/>").format(tag, written, inside)


def _text(x: float, y: float, text: object, **attributes: object) -> Markup:
    return element("text", str(text), x=x, y=y, **attributes)


def _file(width: int, height: int, parts: Iterable[Markup], size: int = 12) -> str:
    """A complete file: the parts on a white background; size: font size."""
    paper = element("rect", width="100%", height="100%", fill="white")
    lines = Markup("\n").join([Markup(""), paper, *parts, Markup("")])
    size_of = {"width": width, "height": height, "viewBox": f"0 0 {width} {height}"}
    letters = {"font_family": "sans-serif", "font_size": size}
    return str(element("svg", lines, xmlns="http://www.w3.org/2000/svg", **size_of, **letters)) + "\n"


# --- for the report's page --------------------------------------------------------------------------------


def histogram(float_counts: np.ndarray, int_counts: np.ndarray, edges: np.ndarray) -> Markup:
    """How often values of a tensor occur (square root scale): bars in float, a line in int8.

    counts: [bins], edges: [bins + 1] in the tensor's real units
    """
    width, height, floor = 340, 130, 108
    floats, ints = np.sqrt(float_counts), np.sqrt(int_counts)
    most = max(float(floats.max()), float(ints.max()), 1.0)
    step = width / len(floats)
    parts = [
        element("rect", class_="float", x=i * step, y=floor - 100 * v / most, width=step - 0.6, height=100 * v / most)
        for i, v in enumerate(floats.tolist())
        if v
    ]
    line = "".join(
        f"{'L' if i else 'M'}{i * step:.1f} {floor - 100 * v / most:.1f}H{(i + 1) * step:.1f}"
        for i, v in enumerate(ints)
    )
    parts += [
        element("path", class_="int", d=line),
        element("line", class_="grid", x1=0, x2=width, y1=floor, y2=floor),
        _text(0, height - 6, f"{edges[0]:.3g}", class_="soft", font_size=11),
        _text(width, height - 6, f"{edges[-1]:.3g}", class_="soft", font_size=11, text_anchor="end"),
    ]
    return element("svg", *parts, viewBox=f"0 0 {width} {height}", role="img")


# --- files of their own -----------------------------------------------------------------------------------


def bar_chart(panels: Sequence[Panel]) -> str:
    """Panels stacked vertically: (title, names of the series, [(label, value of each series)])."""
    width, left, thick, gap = 900, 260, 12, 8
    parts: List[Markup] = []
    y = 10
    for title, series, rows in panels:
        y += 24
        parts.append(_text(10, y, title, font_weight="bold"))
        x = width - 10
        for name, colour in reversed(list(zip(series, _SERIES))) if len(series) > 1 else ():
            x -= 7 * len(name) + 30
            parts.append(element("rect", x=x, y=y - 10, width=12, height=12, fill=colour))
            parts.append(_text(x + 17, y, name))
        y += 12
        most = max((value for _, values in rows for value in values), default=1.0)
        for label, values in rows:
            parts.append(_text(left - 8, y + (thick * len(values)) // 2 + 4, label, text_anchor="end"))
            for value, colour in zip(values, _SERIES):
                length = max((width - left - 70) * value / most, 1.0)
                parts.append(element("rect", x=left, y=y, width=length, height=thick - 1, fill=colour))
                parts.append(_text(left + length + 5, y + thick - 2, f"{value:.2f}" if value < 10 else f"{value:.1f}"))
                y += thick
            y += gap
        y += 12
    return _file(width, y, parts)


def arena_file(bars: Sequence[Bar], calls: Sequence[str], arena_bytes: int, title: str) -> str:
    """The arena with a column for each of `calls` (their labels) and each block's bytes written in it."""
    column, tall, left, top = 46, 420, 70, 40
    scale, width = tall / max(arena_bytes, 1), left + column * len(calls) + 20
    parts = [_text(left, 20, title, font_weight="bold")]
    for quarter in range(5):
        y = top + tall - tall * quarter / 4
        parts.append(element("line", x1=left, x2=width - 20, y1=y, y2=y, stroke="#dddddd"))
        parts.append(_text(left - 6, y + 4, arena_bytes * quarter // 4, text_anchor="end"))
    for number, bar in enumerate(bars):
        x, wide = left + column * bar.first, column * (bar.last - bar.first + 1)
        y, high = top + tall - (bar.offset + bar.size) * scale, max(bar.size * scale, 1.0)
        about = element("title", f"{bar.label}: {bar.size} bytes at {bar.offset}")
        colour = "#999999" if bar.label.startswith("scratch") else _BLOCKS[number % len(_BLOCKS)]
        paint = {"fill": colour, "fill_opacity": "0.65", "stroke": colour}
        parts.append(element("rect", about, x=x + 1, y=y, width=wide - 2, height=high, **paint))
        if high > 12:
            parts.append(_text(x + 5, y + high / 2 + 4, bar.size))
    for place, label in enumerate(calls):
        x, y = left + column * place + column // 2 + 4, top + tall + 10
        parts.append(element("text", label, transform=f"translate({x},{y}) rotate(90)"))
    return _file(width, top + tall + 150, parts, size=11)


def shares(title: str, rows: Sequence[Tuple[str, float, str]]) -> str:
    """A bar per row: (label, share of a whole 0..1, text behind the share)."""
    row, left, width = 20, 330, 420
    parts = [_text(10, 20, title, font_size=14)]
    top = max((share for _, share, _ in rows), default=0.0) or 1.0
    for index, (label, share, text) in enumerate(rows):
        y = 36 + row * index
        length = max(width * share / top, 1.0)
        parts.append(_text(left - 8, y + 13, label, text_anchor="end"))
        parts.append(element("rect", x=left, y=y + 2, width=length, height=row - 6, fill="#4a7ebb"))
        parts.append(_text(left + length + 5, y + 13, f"{share:.1%}{text}"))
    return _file(left + width + 90, row * len(rows) + 50, parts)
