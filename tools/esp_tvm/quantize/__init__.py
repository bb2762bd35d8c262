"""Quantize a float ONNX model to int8 with power-of-two scales."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Dict, FrozenSet, List, Mapping, Optional, Tuple

import numpy as np
import onnx

from ..blas import one_thread
from ..convert.qdq import is_qdq
from ..convert.qoperator import refuse_dynamic
from ..data_check import describe, examine, note, warnings
from ..errors import UserError
from ..model import load_model, save_model
from ..states import load_steps, note_states, states_of
from ..terminal import Part, Table, lines_of
from . import mixed
from .auto import optimize
from .budget import read_budget
from .calibrate import LOCAL_METHODS, calibrate
from .copied_outputs import put_back, set_aside
from .doubts import doubts_of_data, doubts_of_model, doubts_of_steps, refuse_unusable, refuse_vanishing
from .equalize import ChannelStatistics
from .graph import Network, read_network
from .held_back import hold_back
from .made_with import note_made_with
from .masks import bound_masks
from .pass_fit import fitted_anew
from .passes import EFFORTS, Passes, State, activations, impossible_sums
from .report import Answers, Noise, at_output, headline, measure, note_noise, table
from .simulate import Simulator, choose_samples
from .split_products import split_products
from .walk import choose_walk_samples
from .weights import Weights
from .write import write_qdq

METHODS = ("auto", *LOCAL_METHODS)
CALIBRATED_AGAIN = (
    "  these samples were held back until that was measured; then all samples were used for the model written"
)
# Values this many times the largest of all calibration samples are worth a quantization that sees them.
OUTGROWN = 1.5


@dataclass
class Quantized:
    """model: the QDQ model; network: its float model, channel factors included; exponents by tensor; weights by their
    layer's output; effects: the SNR of the outputs in dB after each pass, on the calibration samples.

    noise by tensor, and answers by output: on the samples held back, or on the calibration samples if there were too
    few; count: their number; held: {input: [N, *shape]} the samples held back, or None
    again: whether all samples were used, after `noise` and `answers` were measured
    notes: lines about the samples, and warnings
    """

    model: onnx.ModelProto
    network: Network
    exponents: Dict[str, int]
    weights: Dict[str, Weights]
    noise: Dict[str, Noise]
    effects: List[Tuple[str, float]]
    notes: List[str] = field(default_factory=list)
    held: Optional[Dict] = None
    count: int = 0
    answers: Dict[str, Answers] = field(default_factory=dict)
    again: bool = False

    @property
    def state(self) -> State:
        """The quantization without its model."""
        return State(self.network, self.exponents, self.weights, self.effects)

    def table(self) -> str:
        """The lines for users."""
        return "\n".join(lines_of(self.parts()))

    def parts(self) -> List[Part]:
        """Lines and tables, for `show`."""
        steps = [(what, f"{ratio:.1f}") for what, ratio in self.effects]
        return [
            *table(self.network, self.exponents, self.noise),
            "at the outputs, on the calibration samples, after each step:",
            Table(("step", "SNR dB"), steps, "lr"),
            *mixed.lines(self.network),
            *headline(self.network, self.noise, self.answers, self.count, self.held is not None),
            *([CALIBRATED_AGAIN] if self.again else []),
            *self.notes,
        ]


@one_thread()
def quantize_onnx(
    input_model: str | os.PathLike,
    output_model: str | os.PathLike,
    calibrate_dataset: Optional[str | os.PathLike],
    per_channel: bool = True,
    method: str = "auto",
    percentile: float = 99.99,
    equalize: bool = True,
    fit: bool = True,
    centre: bool = True,
    correct_bias: bool = True,
    int16_outputs: bool = True,
    int16: str = "",
    int16_gain: float = 6.0,
    effort: str = "default",
    budget: str = "",
):
    """Quantize the float model in `input_model` on the samples in `calibrate_dataset`; write `output_model`.

    A model that is quantized already (QDQ or QOperator) is kept or converted, see `foreign`; only then may
    `calibrate_dataset` be None.
    per_channel: one weight exponent per output channel instead of one per layer
    method: how exponents of activations are chosen, one of `METHODS`; auto: by their effect on the outputs
    percentile: the share of values (in percent) that `method="percentile"` covers
    equalize: give every channel of a tensor the range that int8 has
    centre: store inputs, and what is never negative, minus a constant, where that helps
    correct_bias: biases compensate for the change of a layer's mean that rounding its weights causes
    fit: round weights so that their errors compensate for each other and for the noise of earlier layers
    int16_outputs: outputs and small tensors in int16 where that costs almost nothing (with method auto)
    int16: names of tensors or layers, with commas between, whose results are int16; auto: as many as it takes for
    int16_gain: dB at the outputs
    effort: quick, default or thorough: the amount of computation
    budget: what int16 and centering may cost as shares of the int8 network, such as "instructions=5%,arena=5%"
    """
    if budget:
        read_budget(budget)
    if method not in METHODS:
        raise UserError(f"'{method}' is not a calibration method; choose one of {', '.join(METHODS)}")
    if effort not in EFFORTS:
        raise UserError(f"'{effort}' is no effort; choose one of {', '.join(EFFORTS)}")
    if not 0.0 < percentile <= 100.0:
        raise UserError(f"percentile {percentile}: give a number above 0, at most 100")
    if not int16_gain >= 0.0:
        raise UserError(f"int16_gain {int16_gain}: give a number of dB, 0 or more")
    model = load_model(input_model)
    refuse_dynamic(model, input_model)
    states_of(model, f"{input_model}: ")  # Damaged ones are told here.
    samples = load_steps(calibrate_dataset, model) if calibrate_dataset else None
    accuracy = (equalize, centre, correct_bias, fit, int16_outputs)
    passes = Passes(per_channel, method, percentile, *accuracy, int16, int16_gain, effort, budget)
    if is_qdq(model):
        result = adopt(model, samples, passes, input_model)
    elif samples is None:
        raise UserError(
            f"{input_model}: is a float model; give samples of its input (--calib; script: --calibrate_dataset)"
        )
    else:
        result = quantize_model(model, samples, passes, input_model)
    count = min(len(array) for array in samples.values()) if samples else 0
    note_made_with(result.model, passes, calibrate_dataset, count)
    save_model(result.model, output_model)
    return result


@one_thread()
def quantize_model(
    model: onnx.ModelProto, samples: Dict, passes: Passes | None = None, path: str | os.PathLike = "model"
) -> Quantized:
    """The same for a loaded model and samples {input: [N, *shape]}."""
    passes = passes or Passes()
    if is_qdq(model):
        raise UserError(f"{path}: is quantized already; give the float model")
    apart: FrozenSet[str] = frozenset()
    while True:
        made = _quantized(model, samples, passes, path, apart)
        if not isinstance(made, frozenset):
            return made
        apart |= made


def _quantized(
    model: onnx.ModelProto, samples: Dict, passes: Passes, path: str | os.PathLike, apart: FrozenSet[str]
) -> Quantized | FrozenSet[str]:
    """The same with the sums of `apart` as layers of their own (see `read_network`), or further sums that must be."""
    whole, (model, copies) = model, set_aside(model)
    facts = examine(samples)
    calibration, held = hold_back(samples)
    first = _calibrated(model, calibration, passes, path, apart)
    judged = held or choose_samples(first.network, calibration, 256)
    answers: Dict[str, Answers] = {}
    noise = _measured(first.state, judged, answers)
    # States may well begin with zeros only.
    own = {name: one for name, one in facts.items() if name not in states_of(model)}
    notes = [*describe("calibration", facts), *warnings("calibration", own), *doubts_of_model(model)]
    notes += doubts_of_data(first.network, facts, first.reference)
    outputs = {name: first.reference[name] for name in first.network.outputs if name in first.reference}
    state, again = first.state, False
    if held is not None and passes.effort != "quick":
        # The figure is known; the model itself need not do without a fifth of the samples.
        if _needs_all_passes(first, held, passes):
            del first  # its planes
            other = _calibrated(model, samples, passes, path, apart).state
        else:
            other = _refitted(first, samples, passes)
        again = other is not state and _at_outputs(other, _measured(other, held, None, True)) <= _at_outputs(
            state, noise
        )
        state = other if again else state
    impossible = impossible_sums(state.network, state.exponents, state.weights)
    if impossible:
        return frozenset(impossible)
    notes += doubts_of_steps(state.network, state.exponents, outputs)
    quantized = write_qdq(state.network, state.exponents, state.weights)
    put_back(quantized, whole, copies)
    note(quantized, facts)
    note_states(quantized, states_of(model))
    count = min(len(array) for array in judged.values())
    note_noise(quantized, noise, count, held is not None, answers)
    parts = (quantized, state.network, state.exponents, state.weights, noise, state.effects)
    return Quantized(*parts, notes, held, count, answers, again)


@dataclass
class _Calibrated:
    """state: the quantization, simulator: of it; network, reference: the float model, and its values on some of the
    samples; peaks: {tensor: the largest |x| of all samples}."""

    state: State
    simulator: Simulator
    network: Network
    reference: Mapping[str, np.ndarray]
    peaks: Mapping[str, float]


def _calibrated(model: onnx.ModelProto, samples: Dict, passes: Passes, path, apart: FrozenSet[str]) -> _Calibrated:
    """`model` quantized on all of `samples` {input: [N, *shape]}; apart: as of `read_network`."""
    network = read_network(split_products(bound_masks(model, samples), samples), apart)
    refuse_unusable(network, path)
    if not any(layer.rule for layer in network.layers):
        raise UserError(
            f"{path}: has no operator that can be quantized; tools/tvm/export_onnx_model.py takes this very file, "
            "and runs it in float through TVM's C"
        )
    statistics = ChannelStatistics(network)
    histograms = calibrate(network, samples, statistics.add)
    simulator = Simulator(network, choose_samples(network, samples))
    simulator.learn_means(statistics.means)
    refuse_vanishing(network, simulator.reference, path)
    walked = choose_walk_samples(network, samples)
    state, its_simulator = optimize(network, histograms, simulator, passes, walked, statistics)
    peaks = {name: one.magnitude for name, one in histograms.items()}
    return _Calibrated(state, its_simulator, network, simulator.reference, peaks)


def _needs_all_passes(first: _Calibrated, held: Dict, passes: Passes) -> bool:
    """Whether the passes shall run again for the samples held back: in small networks, and where these hold far larger
    values than the others. Values are those of the float model: equalized and centred they would depend on chance."""
    if activations(first.network) <= passes.pains.large:
        return True
    unseen = calibrate(first.network, held)
    return any(one.magnitude > OUTGROWN * first.peaks[name] for name, one in unseen.items())


def _refitted(first: _Calibrated, samples: Dict, passes: Passes) -> State:
    """`first` with its weights fitted to all `samples`; as it is where no fit helped."""
    state = first.state
    if not state.cautions:
        return state
    walked = choose_walk_samples(first.network, samples)
    other = fitted_anew(state, first.simulator, passes, walked, state.cautions)
    other.effects = state.effects
    return other


def _measured(
    state: State, samples: Dict, answers: Optional[Dict[str, Answers]] = None, outputs_only: bool = False
) -> Dict[str, Noise]:
    return measure(state.network, state.exponents, state.weights, samples, answers, outputs_only)


def _at_outputs(state: State, noise: Dict[str, Noise]) -> float:
    """Noise relative to the signal, added up over the outputs."""
    outputs = [at_output(state.network, noise, name) for name in state.network.outputs]
    return sum(one.noise / max(one.signal, 1e-300) for one in outputs)


# After the definitions of this module that it uses.
from .foreign import adopt  # noqa: E402

__all__ = ["METHODS", "Passes", "Quantized", "quantize_model", "quantize_onnx"]
