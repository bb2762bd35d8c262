"""`make memory`: the arena of an exported project over time, as text and as a picture (memory.svg beside it)."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Dict

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / "tools")]

from esp_tvm import cli  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.files import write_text  # noqa: E402
from esp_tvm.pictures import arena_file  # noqa: E402
from esp_tvm.program import Program  # noqa: E402
from esp_tvm.program.store import load  # noqa: E402
from esp_tvm.report.arena import arena_bars  # noqa: E402
from esp_tvm.steps.last import folder_of  # noqa: E402
from esp_tvm.steps.words import StepError  # noqa: E402
from esp_tvm.terminal import Table  # noqa: E402


def text(program: Program) -> str:
    """Bytes per tensor, and which call is the tightest."""
    bars = arena_bars(program)
    rows = [(bar.offset, bar.size, f"{bar.first}..{bar.last}", bar.label) for bar in bars]
    lines = Table(("offset", "bytes", "calls", "holds"), rows, "rrll").lines()
    tops = {step: max(b.offset + b.size for b in bars if b.first <= step <= b.last) for step in {b.first for b in bars}}
    chip = f" on {program.target_chip}" if program.target_chip else ""
    tight = ", ".join(str(step) for step, top in sorted(tops.items()) if top == max(tops.values()))
    lines.append(
        f"arena{chip}: {program.arena_bytes} bytes; all of it is needed by call{'s' * (',' in tight)} {tight or '-'}"
    )
    return "\n".join(lines)


def picture(program: Program) -> str:
    """Time from left to right, addresses from bottom to top; a rectangle is a tensor as long as it is needed."""
    chip = f", {program.target_chip}" if program.target_chip else ""
    title = f"Arena over time: {program.arena_bytes} bytes{chip}"
    calls = [f"{call.index} {call.title}" for call in program.calls()]
    return arena_file(arena_bars(program), calls, program.arena_bytes, title)


def folder(environment: Dict[str, str]) -> Path:
    """The folder that OUT or MODEL names, or that of the last make."""
    try:
        return folder_of(environment)
    except StepError as error:
        raise UserError(str(error))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder",
        nargs="?",
        help="with new_project (default: OUT, or MODEL's, or that of the last make)",
    )
    arguments = parser.parse_args()
    where = Path(arguments.folder) if arguments.folder else folder(dict(os.environ))
    program = load(where / "new_project")
    print(text(program))
    path = where / "memory.svg"
    write_text(path, picture(program))
    print(f"written: {path}")


if __name__ == "__main__":
    cli.run(main)
