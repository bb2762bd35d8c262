"""The exception for mistakes of the user, and the suggestion for a misspelt word."""

from __future__ import annotations

import difflib
from typing import Iterable


class UserError(Exception):
    """A mistake that the user can correct.

    The message is one line: the file, tensor or node concerned, what is wrong, and what to do.
    `cli.run` prints it without a traceback and exits with 2.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` if one of `known` is similar to `word`, otherwise an empty string."""
    near = difflib.get_close_matches(word.lower(), [one.lower() for one in known], 1, 0.6)
    found = [one for one in known if near and one.lower() == near[0]]
    return f"; did you mean {found[0]}?" if found else ""
