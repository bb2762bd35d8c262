"""`make memory`: the arena of a quantized model over time, as text and as a picture (memory.svg beside the model)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, List
from xml.sax.saxutils import escape

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / "tools")]

from esp_tvm import cli  # noqa: E402
from esp_tvm.compile import CompiledModel, compile_model  # noqa: E402
from esp_tvm.compile.memory_plan import Block, floor_bytes  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.files import write_text  # noqa: E402
from esp_tvm.model import load_model  # noqa: E402
from esp_tvm.naming import shown  # noqa: E402

COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948", "#b07aa1", "#9c755f")
STEP, HEIGHT, LEFT, TOP = 46, 420, 70, 40


def labels(compiled: CompiledModel, block: Block) -> List[str]:
    """What lies in a block, in order: the names of tensors, or whose scratch memory it is."""
    for index, scratch in compiled.plan.scratch.items():
        if scratch is block:
            return [f"scratch of step {index}"]
    names = []
    for value in block.values:
        step = next(s for s in compiled.lowered.steps if value in s.results)
        call = compiled.partitioned.calls.get(step.symbol)
        names.append(shown(call.output.name, 40) if call is not None and call.output.name else step.symbol)
    return names or ["scratch of TVM's functions"]


def text(compiled: CompiledModel) -> str:
    """Bytes per tensor, and what each step needs."""
    plan = compiled.plan
    lines = [f"{'offset':>8} {'bytes':>8}  steps     holds"]
    for block in sorted(plan.blocks, key=lambda b: (b.first, b.offset)):
        holds = ", then ".join(labels(compiled, block))
        lines.append(f"{block.offset:>8} {block.size:>8}  {block.first:>3}..{block.last:<3}  {holds}")
        for other, lead in block.leads.items():
            if block.offset < other.offset + other.size and other.offset < block.offset + block.size:
                lines.append(f"{'':>27}overlaps its input, {lead} bytes or more before it")
    lines.append(
        f"arena: {compiled.arena_bytes} bytes; no plan of these blocks takes less than {floor_bytes(plan.blocks)}"
    )
    return "\n".join(lines)


def picture(compiled: CompiledModel) -> str:
    """Time from left to right, addresses from bottom to top; a rectangle is a tensor as long as it is needed."""
    blocks, steps = compiled.plan.blocks, len(compiled.lowered.steps)
    scale = HEIGHT / max(compiled.arena_bytes, 1)
    width = LEFT + STEP * steps + 20
    parts: List[Any] = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{TOP + HEIGHT + 150}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-weight="bold">Arena over time: {compiled.arena_bytes} bytes</text>',
    ]
    for quarter in range(5):
        y = TOP + HEIGHT - HEIGHT * quarter / 4
        size = compiled.arena_bytes * quarter // 4
        parts.append(f'<line x1="{LEFT}" x2="{width - 20}" y1="{y}" y2="{y}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{size}</text>')
    for number, block in enumerate(sorted(blocks, key=lambda b: b.first)):
        x, wide = LEFT + STEP * block.first, STEP * (block.last - block.first + 1)
        y, high = TOP + HEIGHT - (block.offset + block.size) * scale, max(block.size * scale, 1)
        title = escape(f"{', then '.join(labels(compiled, block))}: {block.size} bytes at {block.offset}")
        colour = COLOURS[number % len(COLOURS)] if block.values else "#999999"
        parts.append(
            f'<rect x="{x + 1}" y="{y:.1f}" width="{wide - 2}" height="{high:.1f}" fill="{colour}" '
            f'fill-opacity="0.65" stroke="{colour}"><title>{title}</title></rect>'
        )
        if high > 12:
            parts.append(f'<text x="{x + 5}" y="{y + high / 2 + 4:.1f}">{block.size}</text>')
    for index, step in enumerate(compiled.lowered.steps):
        call = compiled.partitioned.calls.get(step.symbol)
        name = f"{index} {call.operator if call is not None else 'TVM'}"
        x, y = LEFT + STEP * index + STEP // 2 + 4, TOP + HEIGHT + 10
        parts.append(f'<text transform="translate({x},{y}) rotate(90)">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="folder with model_quant.onnx, as make quantize writes it")
    arguments = parser.parse_args()
    model = Path(arguments.folder) / "model_quant.onnx"
    if not model.is_file():
        raise UserError(f"{model}: is not there; quantize a model first (make demo, or make quantize MODEL=...)")
    compiled = compile_model(load_model(model))
    print(text(compiled))
    path = Path(arguments.folder) / "memory.svg"
    write_text(path, picture(compiled))
    print(f"written: {path}")


if __name__ == "__main__":
    cli.run(main)
