"""`make memory`: the arena of an exported project over time, as text and as a picture (memory.svg beside it)."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, List
from xml.sax.saxutils import escape

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / "tools")]

from esp_tvm import cli  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.files import write_text  # noqa: E402
from esp_tvm.program import Program  # noqa: E402
from esp_tvm.program.store import load  # noqa: E402
from esp_tvm.report.facts import arena_bars  # noqa: E402

COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948", "#b07aa1", "#9c755f")
STEP, HEIGHT, LEFT, TOP = 46, 420, 70, 40


def text(program: Program) -> str:
    """Bytes per tensor, and which call is the tightest."""
    bars = arena_bars(program)
    lines = [f"{'offset':>8} {'bytes':>8}  calls     holds"]
    for bar in bars:
        lines.append(f"{bar.offset:>8} {bar.size:>8}  {bar.first:>3}..{bar.last:<3}  {bar.label}")
    tops = {step: max(b.offset + b.size for b in bars if b.first <= step <= b.last) for step in {b.first for b in bars}}
    chip = f" on {program.target_chip}" if program.target_chip else ""
    tight = ", ".join(str(step) for step, top in sorted(tops.items()) if top == max(tops.values()))
    lines.append(
        f"arena{chip}: {program.arena_bytes} bytes; all of it is needed by call{'s' * (',' in tight)} {tight or '-'}"
    )
    return "\n".join(lines)


def picture(program: Program) -> str:
    """Time from left to right, addresses from bottom to top; a rectangle is a tensor as long as it is needed."""
    bars, calls = arena_bars(program), list(program.calls())
    scale = HEIGHT / max(program.arena_bytes, 1)
    width = LEFT + STEP * len(calls) + 20
    parts: List[Any] = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{TOP + HEIGHT + 150}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-weight="bold">Arena over time: {program.arena_bytes} bytes'
        f"{escape(', ' + program.target_chip if program.target_chip else '')}</text>",
    ]
    for quarter in range(5):
        y = TOP + HEIGHT - HEIGHT * quarter / 4
        size = program.arena_bytes * quarter // 4
        parts.append(f'<line x1="{LEFT}" x2="{width - 20}" y1="{y}" y2="{y}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{size}</text>')
    for number, bar in enumerate(bars):
        x, wide = LEFT + STEP * bar.first, STEP * (bar.last - bar.first + 1)
        y, high = TOP + HEIGHT - (bar.offset + bar.size) * scale, max(bar.size * scale, 1)
        title = escape(f"{bar.label}: {bar.size} bytes at {bar.offset}")
        colour = "#999999" if bar.label.startswith("scratch") else COLOURS[number % len(COLOURS)]
        parts.append(
            f'<rect x="{x + 1}" y="{y:.1f}" width="{wide - 2}" height="{high:.1f}" fill="{colour}" '
            f'fill-opacity="0.65" stroke="{colour}"><title>{title}</title></rect>'
        )
        if high > 12:
            parts.append(f'<text x="{x + 5}" y="{y + high / 2 + 4:.1f}">{bar.size}</text>')
    for place, call in enumerate(calls):
        x, y = LEFT + STEP * place + STEP // 2 + 4, TOP + HEIGHT + 10
        parts.append(f'<text transform="translate({x},{y}) rotate(90)">{escape(f"{call.index} {call.title}")}</text>')
    return "\n".join([*parts, "</svg>", ""])


def folder_of(environment) -> Path:
    """OUT, or where the steps put what they make of MODEL."""
    if environment.get("OUT"):
        return Path(environment["OUT"])
    model = environment.get("MODEL")
    if not model:
        raise UserError("MODEL is not set; say whose arena: make memory MODEL=path/to/model.onnx, or OUT=its folder")
    name = Path(model).name
    return Path("build", name[: -len(".onnx")] if name.endswith(".onnx") else name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", help="folder with new_project (default: OUT, or build/<name of MODEL>)")
    arguments = parser.parse_args()
    folder = Path(arguments.folder) if arguments.folder else folder_of(os.environ)
    program = load(folder / "new_project")
    print(text(program))
    path = folder / "memory.svg"
    write_text(path, picture(program))
    print(f"written: {path}")


if __name__ == "__main__":
    cli.run(main)
