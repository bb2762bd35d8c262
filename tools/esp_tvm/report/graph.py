"""The program as a picture: its calls from top to bottom in the order of execution, who reads what, and beside it, in
the same rows, what lies in the arenas.

Lengths are CSS pixels; an arena is as wide as the page lets it, so its horizontal lengths are per cent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple

from markupsafe import Markup

from ..naming import shown
from ..pictures import element
from .arena import SCRATCH, WINDOW, Bar, shared_bytes
from .brief import decibel, number, steps_of
from .facts import Report, Row

# A row, a box in it, and the lanes to the right of the boxes for what is read later than by the next step.
PITCH, HIGH, WIDE, LANE = 46, 38, 306, 9
_LEFT, _TOP = 5, 4
# Where a node's name begins in its box, what its dB take at the right, and about the width of a letter.
_INDENT, _RATIO, _LETTER = 30, 56, 6.6


@dataclass
class Line:
    """From the box in row `first` to those in rows `readers`; lane: None where the only reader is the next box."""

    first: int
    readers: List[int]
    lane: Optional[int] = None


def graph(report: Report) -> Markup:
    """The boxes and lines. Every box links to its row of the table, its figures to its block and to its noise."""
    inputs = [port for port in report.ports if port.kind == "input"]
    outputs = [port for port in report.ports if port.kind == "output"]
    before, rows = len(inputs), report.rows
    lines = lines_between(report, before)
    lanes = max((line.lane + 1 for line in lines if line.lane is not None), default=0)
    noisy, blocks = {noise.step for noise in report.noise}, {bar.step for bar in report.bars if bar.kind != SCRATCH}
    parts: List[Markup] = [_strips(first + before, last + before) for first, last in groups(rows)]
    parts += [part for line in lines for part in _drawn(line)]
    parts += [_port(place, "input", port.name, port.shape, port.dtype) for place, port in enumerate(inputs)]
    parts += [_box(place + before, row, row.step in noisy, row.block in blocks) for place, row in enumerate(rows)]
    below = before + len(rows)
    parts += [_port(below + place, "output", port.name, port.shape, port.dtype) for place, port in enumerate(outputs)]
    width = _LEFT + WIDE + (14 + LANE * lanes if lanes else 6)
    height = _TOP * 2 + PITCH * (below + len(outputs))
    return element("svg", *parts, id="graph", width=width, height=height, role="img")


def lines_between(report: Report, before: int) -> List[Line]:
    """What every box gives to which others; before: rows of the model's inputs above the first call."""
    readers: Dict[int, List[int]] = {}
    below = before + len(report.rows)
    for place, row in enumerate(report.rows):
        for maker in row.reads:
            readers.setdefault(maker + before, []).append(place + before)
        for port in row.feeds:
            readers.setdefault(port, []).append(place + before)
        for port in row.gives:
            readers.setdefault(place + before, []).append(below + port)
    lines = [Line(first, rows) for first, rows in sorted(readers.items())]
    ends: List[int] = []
    for line in lines:
        if line.readers == [line.first + 1]:
            continue
        free = next((lane for lane, end in enumerate(ends) if end <= line.first), len(ends))
        ends[free : free + 1] = [max(line.readers)]
        line.lane = free
    return lines


def groups(rows: Sequence[Row]) -> Iterator[Tuple[int, int]]:
    """The places of the first and the last row of every loop."""
    for loop in sorted({row.loop for row in rows if row.loop is not None}):
        places = [place for place, row in enumerate(rows) if row.loop == loop]
        yield places[0], places[-1]


def _top(row: int) -> int:
    return _TOP + PITCH * row


def _text(x: object, y: float, text: str, **attributes: object) -> Markup:
    return element("text", text, x=x, y=y, **attributes)


def _strips(first: int, last: int) -> Markup:
    """A frame around the calls of a loop."""
    about = element("title", "these run together, strip by strip over the rows of an image")
    height = PITCH * (last - first + 1) - 2
    return element(
        "g", about, element("rect", class_="strips", x=1, y=_top(first) - 3, width=WIDE + 8, height=height, rx=7)
    )


def _drawn(line: Line) -> List[Markup]:
    """A line straight to the next box, others by its lane."""
    bottom, x = _top(line.first) + HIGH, _LEFT + WIDE / 2
    next_top = _top(line.first + 1)
    parts = []
    if line.first + 1 in line.readers:
        parts.append(element("path", class_="wire", d=f"M{x} {bottom}V{next_top - 4}"))
        parts.append(element("path", class_="tip", d=f"M{x - 4} {next_top - 6}h8l-4 6z"))
    if line.lane is None:
        return parts
    right, lane = _LEFT + WIDE, _LEFT + WIDE + 12 + LANE * line.lane
    start, far = bottom - 7, [row for row in line.readers if row != line.first + 1]
    for row in far:
        end = _top(row) + 8
        path = f"M{right} {start}H{lane - 4}q4 0 4 4V{end - 4}q0 4 -4 4H{right + 5}"
        parts.append(element("path", class_="wire", d=path))
        parts.append(element("path", class_="tip", d=f"M{right + 7} {end - 4}v8l-7 -4z"))
    return parts


def _port(row: int, kind: str, name: str, shape: Sequence[int], dtype: str) -> Markup:
    y, middle = _top(row), _LEFT + WIDE / 2
    text = f"{kind} {shown(name, 20)}: {dtype} {'x'.join(map(str, shape)) or 'scalar'}"
    return element(
        "g",
        element("title", f"{kind} {shown(name, 200)}"),
        element("rect", class_="port", x=_LEFT, y=y, width=WIDE, height=HIGH, rx=HIGH // 2),
        _text(middle, y + HIGH / 2 + 4, text, font_size=12, text_anchor="middle"),
    )


def _box(row: int, call: Row, noisy: bool, has_block: bool) -> Markup:
    y = _top(row)
    kind = "fallback" if call.is_fallback else "idle" if not call.activation else "call"
    time, right = milliseconds(call), _LEFT + WIDE - 8
    size = f"{number(call.activation)} B" if call.activation else ""
    free = int((WIDE - _INDENT - 8 - _RATIO) / _LETTER) - len(size) - bool(size)
    head = element(
        "a",
        element("title", f"step {call.step}: {shown(call.nodes, 300)}"),
        element("rect", class_=f"box {kind}", x=_LEFT, y=y, width=WIDE, height=HIGH, rx=5),
        _text(_LEFT + (8 if call.step < 100 else 5), y + 16, f"{call.step}", class_="soft", font_size=11),
        _text(_LEFT + _INDENT, y + 16, shown(call.operator, 30), font_size=13, font_weight=600),
        _text(_LEFT + _INDENT, y + 31, shown(call.nodes, free), class_="soft", font_size=11),
        *([_text(right, y + 16, time, font_size=12, text_anchor="end")] if time else []),
        href=f"#step-{call.step}",
    )
    ratio = f"{decibel(call.snr)}{' dB' * (decibel(call.snr) != 'exact')}" if call.snr is not None else ""
    figures = []
    if size:
        figures.append(_figure(right - _RATIO, y, size, f"#arena-{call.block}" if has_block else ""))
    if ratio:
        figures.append(_figure(right, y, ratio, f"#noise-{call.step}" if noisy else ""))
    return element("g", head, *figures, id=f"node-{call.step}", class_="node", data_step=call.step)


def _figure(x: float, y: int, text: str, link: str) -> Markup:
    written = _text(x, y + 31, text, font_size=11, text_anchor="end", class_="link" if link else "soft")
    return element("a", written, href=link) if link else written


def milliseconds(row: Row) -> str:
    """Of a step: as the board measured it, else as it is estimated."""
    if row.measured is not None:
        return f"{row.measured:.3f} ms"
    return f"~{row.estimate:.3f} ms" if row.estimate else ""


# --- the arenas -------------------------------------------------------------------------------------------


def arenas(report: Report) -> List[Markup]:
    """The arena, and the second one in PSRAM if there is one: see `_Arena`."""
    if not report.psram_arena_bytes:
        return [_Arena(report, report.arena_bytes, False, "").drawn()] if report.bars and report.arena_bytes else []
    return [
        _Arena(report, report.arena_bytes, False, "arena, internal RAM").drawn(),
        _Arena(report, report.psram_arena_bytes, True, "second arena, PSRAM").drawn(),
    ]


class _Arena:
    """Blocks of one arena: the address in bytes to the right, the steps downwards, in the rows of `graph`.

    whole: its bytes; second: whether it is the one in PSRAM; title: written above it
    """

    def __init__(self, report: Report, whole: int, second: bool, title: str):
        self.report, self.whole, self.title = report, whole, title
        self.bars = [bar for bar in report.bars if bar.second == second]
        self.before = sum(port.kind == "input" for port in report.ports)
        self.name = "psram-arena" if second else "arena"

    def drawn(self) -> Markup:
        rows = self.before + len(self.report.rows)
        whole = rows + sum(port.kind == "output" for port in self.report.ports)
        parts = [*self._scale(rows), *(self._strips(first, last) for first, last in groups(self.report.rows))]
        named: Set[int] = set()
        for bar in self.bars:
            # Of several results of a step the first can be linked to.
            is_first = bar.kind != SCRATCH and bar.step not in named
            named |= {bar.step} if is_first else set()
            parts.append(self._block(bar, is_first))
        for place, row in enumerate(self.report.rows):
            mark = {"class_": "soft mark", "font_size": 11, "text_anchor": "end", "dx": -4}
            parts.append(_text("100%", _top(self.before + place) + 12, f"{row.step}", **mark))
        return element("svg", *parts, id=self.name, width="100%", height=_TOP * 2 + PITCH * whole, role="img")

    def _scale(self, floor: int) -> Iterator[Markup]:
        top = _top(self.before)
        if self.title:
            yield _text(0, top - 28, self.title, font_size=12, font_weight=600)
        for quarter, side in enumerate(("start", "middle", "middle", "middle", "end")):
            x = f"{25 * quarter}%"
            yield element("line", class_="grid", x1=x, x2=x, y1=top - 6, y2=_top(floor))
            size = number(self.whole * quarter // 4)
            yield _text(x, top - 12, size, class_="soft", font_size=11, text_anchor=side)

    def _strips(self, first: int, last: int) -> Markup:
        height = PITCH * (last - first + 1) - 2
        frame = {"x": 0, "y": _top(first + self.before) - 3, "width": "100%", "height": height, "rx": 7}
        return element("rect", class_="strips", **frame)

    def _share(self, part: int) -> str:
        return f"{100 * part / max(self.whole, 1):.3f}%"

    def _block(self, bar: Bar, is_first: bool) -> Markup:
        """is_first: whether links lead to it"""
        y, height = _top(bar.first + self.before) - 2, PITCH * (bar.last - bar.first + 1) - 4
        about = f"{shown(bar.label, 200)}: {bar.size} bytes at {bar.offset}, steps {steps_of(self.report, bar)}"
        about += f" ({bar.how})" if bar.how else ""
        kind = {SCRATCH: "scratch", WINDOW: "block window"}.get(bar.kind, "block")
        place = {"x": self._share(bar.offset), "width": self._share(bar.size)}
        # Windows of a loop may lie over one another: each has its label where it is written.
        row = next((i for i in range(bar.first, bar.last + 1) if self.report.rows[i].step == bar.step), bar.first)
        size = element("i", f"{number(bar.size)} B{', ' * bool(bar.how)}{bar.how}")
        # Only HTML shows by an ellipsis that a text is longer than its block.
        label = element("div", element("b", shown(bar.label, 60)), size, class_="label")
        names = {"id": f"arena-{bar.step}"} if is_first else {}
        return element(
            "g",
            element("title", about),
            element("rect", class_=kind, rx=2, y=y, height=height, **place),
            *(self._in_place(bar) if bar.over else ()),
            element("foreignObject", label, y=_top(row + self.before), height=HIGH - 2, **place),
            **names,
            class_="piece",
            data_step=bar.step,
        )

    def _in_place(self, bar: Bar) -> Iterator[Markup]:
        """The bytes that are read and written in the same step."""
        for other in self.bars:
            offset, size = shared_bytes(bar, other)
            if other.label == bar.over and size and other.first <= bar.first <= other.last:
                y, height = _top(bar.first + self.before) - 2, PITCH * (min(bar.last, other.last) - bar.first + 1) - 4
                place = {"x": self._share(offset), "width": self._share(size)}
                what = f"{shown(bar.label, 60)} is written over {shown(other.label, 60)} while that is read"
                drawn = element("rect", class_="shared", y=y, height=height, rx=2, **place)
                yield element("g", element("title", f"{size} bytes: {what}"), drawn)


__all__ = ["arenas", "graph", "groups", "lines_between", "milliseconds"]
