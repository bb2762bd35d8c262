"""Where the weights and tables of a program are stored."""

from __future__ import annotations

from dataclasses import replace

from ..boards import Board
from ..chips import CHIPS
from ..compile.compiled import CompiledModel
from ..errors import UserError
from ..estimate import estimate_program, saved_in_psram
from .fit import AUTO, Fit, fit_chip
from .placement import note_memory

# Milliseconds of an inference for which PSRAM that nothing else needs is turned on: it takes time at start, and power.
_WORTH_TURNING_ON = 10.0


def fit_and_estimate(compiled: CompiledModel, board: Board, constants: str) -> Fit:
    """Place everything and note the places and the estimate in the program.

    constants: a key of fit.CONSTANTS, or `auto`: in flash, but copied to PSRAM where the board is known to have some,
    they fit, and that saves a tenth of the estimate, and `_WORTH_TURNING_ON` where nothing else lies in PSRAM
    """
    chip = CHIPS[board.chip]
    fit = _noted(compiled, fit_chip(compiled, chip, "flash" if constants == AUTO else constants, board))
    saved = saved_in_psram(compiled.program, board) if fit.constants == "flash" else 0.0
    if saved == 0.0:
        return fit
    try:
        moved = fit_chip(compiled, chip, "psram", board)
    except UserError:  # There is not enough of it.
        return fit
    if constants == AUTO and (fit.psram or saved >= _WORTH_TURNING_ON):
        note = f"weights are copied to PSRAM at start, which saves about {saved:.0f} ms of the estimate"
        return _with(_noted(compiled, moved), f"{note} (--constants flash: they stay in flash)")
    return _with(fit, f"weights in PSRAM (--constants psram) would save about {saved:.2g} ms of the estimate")


def _noted(compiled: CompiledModel, fit: Fit) -> Fit:
    note_memory(compiled.program, fit.places, fit.constants_memory)
    estimate_program(compiled.program, fit.board, fit.constants_memory)
    return fit


def _with(fit: Fit, note: str) -> Fit:
    return replace(fit, notes=[*fit.notes, note])


__all__ = ["fit_and_estimate"]
