"""Bar charts as SVG."""

from __future__ import annotations

from typing import List, Sequence, Tuple
from xml.sax.saxutils import escape

COLOURS = ("#1f77b4", "#ff9f40", "#b0b0b0")
WIDTH, LABEL, BAR, GAP = 900, 260, 12, 8

Panel = Tuple[str, Sequence[str], Sequence[Tuple[str, List[float]]]]


def bars(panels: Sequence[Panel]) -> str:
    """Panels below each other: (title, names of the series, [(label, value of each series)])."""
    parts: List[str] = []
    y = 10
    for title, series, rows in panels:
        y += 24
        parts.append(_text(10, y, title, "bold"))
        x = WIDTH - 10
        for name, colour in reversed(list(zip(series, COLOURS))) if len(series) > 1 else ():
            x -= 7 * len(name) + 30
            parts.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
            parts.append(_text(x + 17, y, name))
        y += 12
        most = max((value for _, values in rows for value in values), default=1.0)
        for label, values in rows:
            parts.append(_text(LABEL - 8, y + (BAR * len(values)) // 2 + 4, label, anchor="end"))
            for value, colour in zip(values, COLOURS):
                width = max((WIDTH - LABEL - 70) * value / most, 1)
                parts.append(f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR - 1}" fill="{colour}"/>')
                parts.append(_text(LABEL + width + 5, y + BAR - 2, f"{value:.2f}" if value < 10 else f"{value:.1f}"))
                y += BAR
            y += GAP
        y += 12
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" '
        'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>'
    )
    return "\n".join([head, *parts, "</svg>", ""])


def _text(x: float, y: float, text: str, weight: str = "normal", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" font-weight="{weight}" text-anchor="{anchor}">{escape(text)}</text>'
