"""Tables of Markdown."""

from __future__ import annotations

from typing import List


def table(head: List[str], rows: List[List[str]]) -> str:
    """The first column holds names, the others numbers."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows), ""])
