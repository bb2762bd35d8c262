"""States: outputs of a model that are its inputs at the next call, recorded in the model file itself.

Of a model with such a record, the generated program keeps the states between calls, and samples need not hold them.
Every state begins as zeros.
"""

from __future__ import annotations

import json
import os
from typing import Dict, List, Mapping, Sequence, Tuple

import numpy as np
import onnx

from .data import Samples, array_names, load_samples
from .errors import UserError, did_you_mean
from .model import inputs_of, outputs_of, run_session, session
from .naming import shown

# Key in the model's metadata.
NOTE = "esp_tvm.states"
NONE = "none"


def states_of(model: onnx.ModelProto, label: str = "") -> Dict[str, str]:
    """{input: the output of the call before that it is}, as recorded and possible; empty where nothing is recorded.

    label: begins the message of a `UserError`
    """
    for entry in model.metadata_props:
        if entry.key == NOTE:
            try:
                found = json.loads(entry.value)
                states = {str(before): str(after) for before, after in found.items()}
            except (ValueError, AttributeError, RecursionError):
                raise UserError(f"{label}its metadata {NOTE} is damaged; convert or preprocess the model again")
            check_states(model, states, f"{label}its metadata {NOTE}")
            return states
    return {}


def note_states(model: onnx.ModelProto, states: Mapping[str, str]) -> None:
    """Record `states` {input: output} in `model` in place of what was recorded; none removes the record."""
    kept = [entry for entry in model.metadata_props if entry.key != NOTE]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    if states:
        model.metadata_props.add(key=NOTE, value=json.dumps(dict(states)))


def set_states(model: onnx.ModelProto, given: Sequence[str], label: str = "") -> None:
    """Record what was typed: INPUT=OUTPUT for each state, or `none` alone; `UserError` where it cannot be.

    label: begins the message
    """
    if not given:
        return
    if list(given) == [NONE]:
        note_states(model, {})
        return
    states: Dict[str, str] = {}
    names = [name for name, _, _ in inputs_of(model)], [name for name, _, _ in outputs_of(model)]
    for text in given:
        before, after = _both_names(text, *names)
        if not before or not after:
            raise UserError(f"{label}--state {shown(text, 60)}: give INPUT=OUTPUT, or none alone")
        if before in states:
            raise UserError(f"{label}--state {shown(text, 60)}: input '{shown(before)}' is given twice")
        states[before] = after
    check_states(model, states, f"{label}--state")
    note_states(model, states)


def _both_names(text: str, inputs: Sequence[str], outputs: Sequence[str]) -> Tuple[str, str]:
    """The names on both sides of a `=`: of several, one where the model has both, for names may hold it too."""
    for before in inputs:
        if text.startswith(f"{before}=") and text[len(before) + 1 :] in outputs:
            return before, text[len(before) + 1 :]
    before, _, after = text.rpartition("=")
    return before, after


def check_states(model: onnx.ModelProto, states: Mapping[str, str], label: str) -> None:
    """Raise a `UserError`, which `label` begins, unless each is an input and an output of one shape and type, and
    something else is left."""
    ports = {name: (shape, dtype) for name, shape, dtype in inputs_of(model)}
    outputs = {name: (shape, dtype) for name, shape, dtype in outputs_of(model)}
    for before, after in states.items():
        for kind, name, there in (("input", before, ports), ("output", after, outputs)):
            if name not in there:
                near = did_you_mean(name, there)
                listed = ", ".join(f"'{shown(one, 30)}'" for one in list(there)[:8])
                raise UserError(f"{label}: the model has no {kind} '{shown(name)}'{near} (it has {listed})")
        if ports[before] != outputs[after]:
            (shape, dtype), (other_shape, other_dtype) = ports[before], outputs[after]
            raise UserError(
                f"{label} {shown(before)}={shown(after)}: the input is {dtype}{list(shape)} and the output "
                f"{other_dtype}{list(other_shape)}; a state has one shape and type"
            )
    if len(set(states.values())) < len(states):
        raise UserError(f"{label}: one output is the next value of two inputs; let the model give it twice")
    if states and len(states) in (len(ports), len(outputs)):
        raise UserError(f"{label}: beside its states the model needs an input and an output")


def own_inputs(model: onnx.ModelProto) -> List[Tuple[str, Tuple[int, ...], str]]:
    """`inputs_of` without the states."""
    states = states_of(model)
    return [port for port in inputs_of(model) if port[0] not in states]


def load_steps(path: str | os.PathLike, model: onnx.ModelProto) -> Dict[str, Sequence[np.ndarray]]:
    """All samples in `path` by input name, as `data.load_samples` loads them.

    Where the file has none of a model with states, its samples are taken for steps in the order of time, and the states
    before each are computed by the model, which must be float.
    """
    states = states_of(model)
    if not states or set(states) <= set(array_names(path)):
        return load_samples(path, inputs_of(model))
    samples = load_samples(path, own_inputs(model))
    return {**samples, **_computed(model, states, samples)}


def _computed(model: onnx.ModelProto, states: Dict[str, str], samples: Dict[str, Samples]) -> Dict[str, np.ndarray]:
    shapes = {name: (shape, dtype) for name, shape, dtype in inputs_of(model)}
    now = {name: np.zeros(*shapes[name]) for name in states}
    rows: Dict[str, List[np.ndarray]] = {name: [] for name in states}
    run = session(model)
    for step in range(min(len(array) for array in samples.values())):
        for name, value in now.items():
            rows[name].append(value)
        feeds = {**{name: array[step] for name, array in samples.items()}, **now}
        now = dict(zip(states, run_session(run, list(states.values()), feeds)))
    return {name: np.stack(values) for name, values in rows.items()}


__all__ = ["NONE", "NOTE", "check_states", "load_steps", "note_states", "own_inputs", "set_states", "states_of"]
