"""Looks at the variables that make was given, which every make with variables waits for: at their names, and at values
that no goal could mean.

Imports as little as it can: it takes half of the time of what the steps need.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterable, List

from ..places import CHECKOUT
from .values import check_values
from .variables import complain
from .words import StepError, exit_status


def check_given(given: Iterable[str]) -> None:
    """Refuse variables that are misspelt, or whose value in the environment is none; what is no target's and like none
    has a note."""
    given = list(given)
    if complain(given, CHECKOUT or Path()):
        raise StepError()
    check_values({name: os.environ.get(name, "") for name in given})


def main(arguments: List[str]) -> int:
    """The exit status. arguments: the names, after the word `names`"""
    return exit_status(lambda: check_given(arguments[1:]))
