"""Looks at the names of the variables that make was given, which every make with variables waits for.

Imports as little as it can: it takes half of the time of what the steps need.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, List

from ..places import CHECKOUT
from .variables import complain
from .words import StepError, exit_status


def check_names(given: Iterable[str]) -> None:
    """Refuse variables that are misspelt; what is no target's and like none has a note."""
    if complain(given, CHECKOUT or Path()):
        raise StepError()


def main(arguments: List[str]) -> int:
    """The exit status. arguments: the names, after the word `names`"""
    return exit_status(lambda: check_names(arguments[1:]))
