"""Numbers exactly as people write them."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from .naming import one_line, shown


def exact_number(value: Any) -> Fraction:
    """A number, exactly as written: 0.229, 1e-6, or a fraction such as 1/255. `ValueError` says what is wrong."""
    try:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError
        # repr: 0.229 is meant, not the binary fraction beside it.
        text = repr(value) if isinstance(value, float) else value
        if isinstance(text, str) and not _is_short(text):
            raise ValueError
        exact = Fraction(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"{value_text(value)} is not a number (0.5 and 1/255 are)")
    if abs(exact) > 10**12 or (exact and abs(exact) < Fraction(1, 10**15)):
        raise ValueError(f"{value_text(value)} is too large or too small to compute with")
    return exact


def positive_number(value: Any) -> Fraction:
    """An `exact_number` above 0."""
    number = exact_number(value)
    if number <= 0:
        raise ValueError(f"{value_text(value)} is not larger than 0")
    return number


def _is_short(text: str) -> bool:
    """Whether a number's text is one that people write: what 1e999999999 stands for does not fit any memory."""
    exponent = re.search(r"[eE][-+]?0*(\d+)", text)
    return len(text) <= 100 and (exponent is None or len(exponent.group(1)) <= 3)


def value_text(value: Any) -> str:
    """A value from a file or a command line as a message shows it: one short line."""
    return f"'{shown(value, 40)}'" if isinstance(value, str) else one_line(str(value), 40)
