"""Layers that run in strips, in words: for the export step and the report."""

from __future__ import annotations

from .form import Loop


def strips_line(loop: Loop) -> str:
    """`strips: 2 to 7 run together, 4 of 24 rows at a time (6 strips)`"""
    height = loop.calls[-1].writes[0].shape[1]
    return (
        f"strips: {loop.calls[0].index} to {loop.calls[-1].index} run together, {loop.rows} of {height} rows at a time "
        f"({-(-height // loop.rows)} strips): what they pass on needs no memory for whole images"
    )
