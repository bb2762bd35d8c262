"""Tables of Markdown, and their places in documents: behind a line `<!-- bench: NAME -->`."""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, List, Sequence

from esp_tvm.errors import UserError

_BEFORE = "<!-- bench: {} -->"


def table(head: List[str], rows: List[List[str]]) -> str:
    """The first column holds names, the others numbers."""
    lines = [table_row(head), "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *map(table_row, rows), ""])


def table_row(cells: Sequence[str]) -> str:
    """A line of a table."""
    return "| " + " | ".join(cells) + " |"


def replaced(text: str, name: str, rows: Iterable[Sequence[str]], where: Path) -> str:
    """`text`, of the file `where`, with other rows in the table `name`; its head stays."""
    lines, marker = text.split("\n"), _BEFORE.format(name)
    if lines.count(marker) != 1:
        raise UserError(f"{where}: must have one line {marker}, with a table behind it")
    start = lines.index(marker) + 1
    while start < len(lines) and not lines[start]:
        start += 1
    if not lines[start + 1].startswith("|-"):
        raise UserError(f"{where}: no table follows {marker}")
    end = start + 2
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return "\n".join([*lines[: start + 2], *map(table_row, rows), *lines[end:]])


def print_table(head: str, rows: Iterable[Sequence[str]]) -> None:
    """Print a table row by row, as they are made. head: the names of the columns with | between them"""
    print(f"| {head} |")
    print("|---" * (head.count("|") + 1) + "|")
    for cells in rows:
        print(table_row(cells), flush=True)
