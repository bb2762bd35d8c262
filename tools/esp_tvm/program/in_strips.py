"""The text about layers that run in strips, for the export step and the report."""

from __future__ import annotations

from .form import Loop


def strips_line(loop: Loop) -> str:
    """`strips: 2 to 7 run together, 4 of the 24 rows of 7 at a time (6 strips)`"""
    what = "that are added up by" if loop.adds_up else "of"
    return (
        f"strips: {loop.calls[0].index} to {loop.calls[-1].index} run together, "
        f"{loop.rows} of the {loop.height} rows {what} {loop.leader.index} at a time "
        f"({loop.strips} strips): what they pass on needs no memory for whole images"
    )
