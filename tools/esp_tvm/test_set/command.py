"""The command evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, Mapping, Optional, Sequence, Tuple

import numpy as np
import onnx

from ..data_check import Known, describe, examine, warnings
from ..errors import UserError
from ..model import inputs_of, is_quantized, load_model, outputs_of, run_session, session
from ..naming import shown
from ..program.evaluate import zero_states
from ..program.form import Port, Program
from ..program.ports import all_to_onnx
from ..program.samples import load_both
from ..program.store import load
from ..run.host import HostProgram
from ..terminal import Progress, show
from .count import OutputCounter
from .figures import FILE_NAME, Figures, read, write
from .labels import load_labels
from .text import parts

# What the generated C is given at a time.
_MOST_SAMPLES, _MOST_BYTES = 256, 32 << 20


def evaluate_project(
    project: str,
    model_path: str,
    input_path: str,
    labels_path: Optional[str] = None,
    output: Optional[str] = None,
    steps: int = 0,
) -> None:
    """Run the generated C on the samples of `input_path`, beside the float model, and print and write the figures.

    output: the JSON file to write, without it evaluation.json beside the project, where the report looks for it
    steps: of a model with states the samples of one recording, before each of which they are zeros; 0: all are one
    """
    target = Path(output) if output else evaluation_of(Path(project))
    if not output and target.exists() and read(target) is None:
        raise UserError(f"{target}: is there and was not written by evaluate; name another file with --output")
    model = load_model(model_path)
    form = load(Path(project))
    _check_model(model, model_path, form, project)
    ours, real = load_both(input_path, form.callers_inputs)
    count = len(next(iter(ours.values())))
    if steps and not form.states:
        raise UserError(f"--steps {steps}: {project} keeps no states; leave it out")
    if steps and count % steps:
        raise UserError(f"{input_path}: has {count} samples, which are no recordings of {steps} steps each")
    labels = load_labels(labels_path, form.callers_outputs, count) if labels_path else {}
    facts = examine(real)
    show(*describe("input", facts), *warnings("input", facts, _ranges(form.callers_inputs)))
    # The user waits for the compiler only after all that can be wrong was looked at.
    program = HostProgram(project)
    counters = [OutputCounter(port, labels.get(port.name)) for port in form.callers_outputs]
    with Progress("evaluating", count) as progress:
        for index, outputs in enumerate(_outputs(program, model, model_path, ours, real, steps)):
            for counter in counters:
                pair = [_checked(each[counter.port.name], counter.port, who, index) for each, who in outputs]
                counter.add(*pair)
            progress.step()
    figures = Figures(
        model_hash=form.model_hash,
        model=Path(model_path).name,
        input=Path(input_path).name,
        labels=Path(labels_path).name if labels_path else None,
        samples=count,
        reference="ONNX Runtime" if is_quantized(model) else "float",
        outputs=[counter.figures() for counter in counters],
    )
    write(target, figures)
    show(*parts(figures), f"wrote {target}")


def evaluation_of(project: Path) -> Path:
    """Where evaluation.json of an exported project lies: beside its folder."""
    return project.resolve().parent / FILE_NAME


def _check_model(model: onnx.ModelProto, path: str, program: Program, project: str) -> None:
    """Refuse a model that cannot be what the project was made of."""
    advice = f"{project} was made of another model; give the float model that it was quantized from"
    for what, theirs, ports in (
        ("input", inputs_of(model), program.inputs),
        ("output", outputs_of(model), program.outputs),
    ):
        shapes = {name: shape for name, shape, _ in theirs}
        own = {port.name: tuple(port.onnx_shape) for port in ports}
        for name, shape in own.items():
            if shapes.get(name) != shape:
                found = f"is {list(shapes[name])}" if name in shapes else "is not in it"
                raise UserError(f"{path}: {what} '{shown(name)}' {list(shape)} of the project {found}; {advice}")
        extra = [name for name in shapes if name not in own]
        if extra and what == "input":
            raise UserError(f"{path}: its input '{shown(extra[0])}' is none of the project's; {advice}")


def _ranges(ports: Sequence[Port]) -> Dict[str, Known]:
    """What the integers of each input can hold."""
    known = {}
    for port in ports:
        kind = np.dtype(port.inside or port.dtype)
        if port.exponent is not None and kind.kind == "i":
            limits = np.iinfo(kind)
            low, high = (int(limit) - port.zero_point for limit in (limits.min, limits.max))
            known[port.name] = Known(low * 2.0**port.exponent, high * 2.0**port.exponent)
    return known


_Samples = Mapping[str, Sequence[np.ndarray]]
_Outputs = Tuple[Dict[str, np.ndarray], str]


def _outputs(
    program: HostProgram, model: onnx.ModelProto, model_path: str, ours: _Samples, real: _Samples, steps: int
) -> Iterator[Tuple[_Outputs, _Outputs]]:
    """For every sample ((outputs of the float model, its name in messages), (those of the generated C, its name)).

    States are zeros where a run of the program begins; the float model goes on with its own.
    """
    run, names = session(model, model_path, optimize=True), [port.name for port in program.outputs]
    count = len(next(iter(ours.values())))
    size = sum(port.bytes for port in (*program.inputs, *program.outputs))
    step = max(1, min(_MOST_SAMPLES, _MOST_BYTES // max(size, 1)))
    form = program.program
    if form.states:
        step = steps or count
    for start in range(0, count, step):
        part = {name: np.asarray(array[start : start + step]) for name, array in ours.items()}
        for name, zeros in zero_states(form).items():
            part[name] = np.broadcast_to(zeros, (min(step, count - start), *zeros.shape))
        states = {
            state.before.name: np.zeros(state.before.onnx_shape, state.before.onnx_dtype) for state in form.states
        }
        for offset, (outputs, _) in enumerate(program.run_each(part, traced=False)):
            feeds = {**{name: array[start + offset] for name, array in real.items()}, **states}
            theirs = dict(zip(names, run_session(run, names, feeds, model_path)))
            states = {state.before.name: theirs[state.after.name] for state in form.states}
            yield (theirs, model_path), (all_to_onnx(program.outputs, outputs), str(program.project))


def _checked(values: np.ndarray, port: Port, who: str, index: int) -> np.ndarray:
    if not np.isfinite(values).all():
        raise UserError(
            f"{who}: output '{shown(port.name)}' of sample {index} is or has NaN or infinity; repair that first"
        )
    return values


__all__ = ["evaluate_project", "evaluation_of"]
