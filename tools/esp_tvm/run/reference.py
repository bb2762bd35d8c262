"""The right results of an exported project, by the rules and its metadata."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Dict, Optional

import numpy as np
import onnx

from ..errors import UserError
from ..program.evaluate import Evaluation, Values, evaluate, read
from ..program.form import Program
from .host import HostProgram


class Reference:
    """The values of a project's program, sample by sample.

    If TVM's functions compute something, the project's C is built for this computer and run, and the results of those
    functions are used; the kernels before them must then have given the results of the rules.
    """

    def __init__(self, program: Program, project: Path):
        self.program, self.project = program, project
        self._host: Optional[HostProgram] = None

    def evaluation(self, sample: Dict[str, np.ndarray]) -> Evaluation:
        """sample: ONNX input name -> array of the input's shape"""
        if not self.program.fallbacks:
            return evaluate(self.program, sample)
        if self._host is None:
            self._host = HostProgram(self.project)
        ((_, written),) = self._host.run_each({name: np.asarray(array)[None] for name, array in sample.items()})
        # The program was read twice: its tensors are paired by the calls that write them.
        computed = {
            own: written[other]
            for call, same in zip(self.program.calls(), self._host.program.calls())
            if not call.is_view
            for own, other in zip(call.writes, same.writes)
        }
        evaluation = evaluate(self.program, sample, computed)
        _check_inputs(self.program, evaluation, computed)
        return evaluation


def _check_inputs(program: Program, evaluation: Evaluation, computed: Values) -> None:
    """Check that TVM's functions had the right inputs when the program ran here."""
    for call in program.fallbacks:
        for tensor in call.inputs:
            own = computed.get(tensor.root)
            if own is not None and own.tobytes() != read(evaluation.values, tensor.root).tobytes():
                raise UserError(
                    f"call {call.index} cannot be judged: on this computer the kernels before it do not compute what "
                    "the rules say; make run names the first that differs"
                )


def check_same_model(program: Program, project: Path, model: onnx.ModelProto) -> None:
    """Raise a `UserError` if the project was exported from another model."""
    model_hash = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    if program.model_hash != model_hash:
        raise UserError(f"{project}: was exported from another model than this one; export again")
