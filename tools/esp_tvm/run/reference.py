"""The right results of an exported project, by the rules and its metadata."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np
import onnx

from ..errors import UserError
from ..program.evaluate import Evaluation, Values, evaluate, read, zero_states
from ..program.form import Program
from ..program.samples import load_port_samples
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
        ((_, written),) = self._host.run_each(
            {name: np.asarray(array)[None] for name, array in sample.items()}, alone=True
        )
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


def load_steps(
    path: str | os.PathLike, program: Program, project: Path, repeat_one: int = 1
) -> Dict[str, Sequence[np.ndarray]]:
    """All samples in `path` as the buffers of the program's inputs hold them: {input: [N, *port.shape]}.

    Of a program with states the samples are steps in the order of time, and the states before each are those that the
    reference computes; what the file has for them is not read.
    repeat_one: how often such a program shall see a file's only sample
    """
    if not program.states:
        return load_port_samples(path, program.inputs)
    samples = load_port_samples(path, program.callers_inputs)
    count = len(next(iter(samples.values())))
    steps = range(count) if count > 1 else [0] * repeat_one
    reference, now = Reference(program, project), zero_states(program)
    found: Dict[str, List[np.ndarray]] = {port.name: [] for port in program.inputs}
    for step in steps:
        sample = {**{name: np.asarray(array[step]) for name, array in samples.items()}, **now}
        for name, array in sample.items():
            found[name].append(array)
        outputs = reference.evaluation(sample).outputs
        now = {state.before.name: outputs[state.after.name] for state in program.states}
    return {name: np.stack(arrays) for name, arrays in found.items()}


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
