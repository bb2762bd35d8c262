"""The one exception a user's mistake raises, and the hint that a misspelt word gets."""

from __future__ import annotations

import difflib
from typing import Iterable


class UserError(Exception):
    """Something the user can put right.

    The message is one line: the file, tensor or node it is about, what is wrong, and what to do.
    `cli.run` prints it without a traceback and exits with 2.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` where one of `known` is near to `word`, else nothing."""
    near = difflib.get_close_matches(word.lower(), [one.lower() for one in known], 1, 0.6)
    found = [one for one in known if near and one.lower() == near[0]]
    return f"; did you mean {found[0]}?" if found else ""
