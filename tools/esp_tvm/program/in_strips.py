"""Layers that run in strips, in words: for the export step and the report."""

from __future__ import annotations

import re

from ..errors import UserError
from ..naming import shown
from .form import Loop


def check_arena(text: str) -> str:
    """`text`, which must be auto, least or a number of bytes."""
    if text not in ("auto", "least") and not re.fullmatch(r"\d{1,9}", text):
        raise UserError(f"--arena {shown(text)}: give auto, least, or a number of bytes")
    return text


def strips_line(loop: Loop) -> str:
    """`strips: 2 to 7 run together, 4 of 24 rows at a time (6 strips)`"""
    height = loop.calls[-1].writes[0].shape[1]
    return (
        f"strips: {loop.calls[0].index} to {loop.calls[-1].index} run together, {loop.rows} of {height} rows at a time "
        f"({-(-height // loop.rows)} strips): what they pass on needs no memory for whole images"
    )
