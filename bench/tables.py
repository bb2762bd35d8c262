"""Tables of Markdown."""

from __future__ import annotations

from typing import List, Sequence


def table(head: List[str], rows: List[List[str]]) -> str:
    """The first column holds names, the others numbers."""
    lines = [table_row(head), "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *map(table_row, rows), ""])


def table_row(cells: Sequence[str]) -> str:
    """A line of a table."""
    return "| " + " | ".join(cells) + " |"
