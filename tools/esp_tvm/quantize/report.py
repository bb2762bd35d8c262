"""The text about a quantization for users."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx

from ..naming import shown
from ..terminal import Part, Progress, Table
from .calibrate import samples_of
from .doubts import collapsed
from .graph import Network, describe_layer
from .parallel import in_order
from .simulate import Simulator
from .weights import Weights


class Noise:
    """Signal and noise of a tensor, summed over samples; peak: its largest |value|."""

    def __init__(self) -> None:
        self.signal = self.noise = self.peak = 0.0

    def add(self, real: np.ndarray, ours: np.ndarray) -> None:
        real = real.astype(np.float64).reshape(-1)
        difference = real - ours.reshape(-1)
        self.peak = max(self.peak, float(real.max(initial=0.0)), -float(real.min(initial=0.0)))
        self.signal += float(np.dot(real, real))
        self.noise += float(np.dot(difference, difference))

    @property
    def decibels(self) -> float:
        """Signal-to-noise ratio; infinite if nothing differs."""
        if self.noise == 0.0:
            return float("inf")
        return 10.0 * float(np.log10(max(self.signal, 1e-300) / self.noise))


# Key of the noise figures in a quantized model's metadata.
NOISE_NOTE = "esp_tvm.noise"


class Answers:
    """Whether an output still gives the right answer: the position of its largest value, and its sign.

    best: the number of samples whose largest value is at the same position; shortfall: how much the float value at the
    position chosen by the integers is below the largest one, in standard deviations of the output; vanished: the number
    of samples in which the best value became 0; signs: the number in which it kept its sign
    """

    def __init__(self) -> None:
        self.samples = self.best = self.vanished = self.signs = 0
        self.shortfall = 0.0

    def add(self, real: np.ndarray, ours: np.ndarray) -> None:
        """One sample."""
        real, ours = real.astype(np.float64).reshape(-1), ours.reshape(-1)
        place, chosen = int(np.argmax(real)), int(np.argmax(ours))
        self.samples += 1
        self.best += place == chosen
        self.vanished += bool(real[place] != 0.0 and ours[place] == 0.0)
        self.signs += bool(np.sign(real[place]) == np.sign(ours[place]))
        self.shortfall += float((real[place] - real[chosen]) / max(real.std(), 1e-30))

    def lost(self) -> bool:
        """Whether the answers are lost: clearly worse positions than the float model's, or values that became 0."""
        return self.samples > 0 and (
            self.shortfall > _SHORTFALL * self.samples or self.vanished > _VANISHED * self.samples
        )


# Answers count as lost if the chosen position is worse by this share of a standard deviation on average, or if the best
# value is 0 in this share of the samples.
_SHORTFALL, _VANISHED = 0.2, 0.5
# Samples simulated at a time, and values of all tensors together.
_AT_ONCE, _VALUES_AT_ONCE = 16, 1 << 23


@dataclass(frozen=True)
class NotedNoise:
    """The recorded noise of a quantized model: dB by tensor of the float model, the number of samples, and which
    ones."""

    decibels: Dict[str, float]
    samples: int
    held_back: bool

    @property
    def where(self) -> str:
        """`on 12 samples held back from calibration`"""
        which = "samples held back from calibration" if self.held_back else "calibration samples"
        return f"on {self.samples} {which}"


def note_noise(
    model: onnx.ModelProto, noise: Dict[str, Noise], samples: int, held_back: bool, answers: Dict[str, Answers]
) -> None:
    """Record the figures of `noise` (to a tenth of a dB, as they are printed) and `answers` in the metadata of
    `model`."""
    figures = {name: one.decibels for name, one in noise.items()}
    value = {
        "samples": samples,
        "held_back": held_back,
        # JSON has no infinity: null is a tensor without noise.
        "decibels": {name: round(ratio, 1) if np.isfinite(ratio) else None for name, ratio in figures.items()},
        "answers": {
            name: {
                "samples": one.samples,
                "same_place": one.best,
                "same_sign": one.signs,
                "vanished": one.vanished,
                "lost": one.lost(),
            }
            for name, one in answers.items()
        },
    }
    model.metadata_props.add(key=NOISE_NOTE, value=json.dumps(value, sort_keys=True))


def noted_noise(model: onnx.ModelProto) -> Optional[NotedNoise]:
    """What `note_noise` wrote, or None."""
    for entry in model.metadata_props:
        if entry.key != NOISE_NOTE:
            continue
        try:
            value = json.loads(entry.value)
            figures = {
                str(name): float("inf") if ratio is None else float(ratio) for name, ratio in value["decibels"].items()
            }
            return NotedNoise(figures, int(value["samples"]), bool(value["held_back"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None  # not written by this tool
    return None


def measure(
    network: Network,
    exponents: Dict[str, int],
    weights: Dict[str, Weights],
    samples: Dict[str, Sequence[np.ndarray]],
    answers: Optional[Dict[str, Answers]] = None,
    outputs_only: bool = False,
) -> Dict[str, Noise]:
    """{tensor: noise} of every int8 tensor and every output against the float model, over all samples.

    answers: filled with those of each output (before a softmax) that has more than one value
    outputs_only: leaves all tensors away but these
    """
    count = min(len(array) for array in samples.values())
    first = {name: array[:1] for name, array in samples.items()}
    simulator = Simulator(network, first)
    ends = [*simulator.objectives(), *network.outputs]
    tensors = list(dict.fromkeys(ends if outputs_only else [*network.integers, *ends]))
    noise = {name: Noise() for name in tensors}
    each = sum(int(np.prod(network.shapes.get(layer.output, ()))) for layer in network.layers)
    together = int(np.clip(_VALUES_AT_ONCE // max(each, 1), 1, _AT_ONCE))

    def simulated(start: int) -> Tuple[Simulator, Dict]:
        part = {name: array[start : start + together] for name, array in samples.items()}
        own = copy.copy(simulator)
        own.take(list(samples_of(part)))
        return own, own.forward(exponents, weights, only=network.layers)

    with Progress("measuring", count) as progress:
        for own, state in in_order(simulated, range(0, count, together)):
            for name in tensors:
                noise[name].add(own.reference[name], own.real(name, state, exponents))
            for name in own.objectives() if answers is not None else ():
                real, ours = own.reference[name], own.real(name, state, exponents)
                if real.dtype.kind == "f" and real[0].size > 1:
                    one = answers.setdefault(name, Answers())
                    for index in range(len(real)):
                        one.add(real[index], ours[index])
            progress.step(len(own.samples))
    return noise


def table(network: Network, exponents: Dict[str, int], noise: Dict[str, Noise]) -> List[Part]:
    """A row per tensor: its source, shape, exponent and signal-to-noise ratio; then the layers that stay float."""
    rows = []

    def row(name: str, label: str, kind: str) -> None:
        shape = "x".join(map(str, network.shapes.get(name, ())))
        ratio = f"{noise[name].decibels:.1f}" if name in noise else ""
        exponent = f"{exponents.get(name, 'float')}{' int16' * (name in network.wide)}"
        rows.append((label, kind, shape, exponent, ratio))

    for name in network.inputs:
        row(name, shown(name, 40), "input")
    for layer in network.layers:
        row(layer.output, describe_layer(network, layer), layer.op_type)
    floats = [layer for layer in network.layers if layer.rule is None]
    stay = [f"stays float: {describe_layer(network, layer)} ({layer.op_type}): {layer.why}" for layer in floats]
    return [Table(("layer", "operator", "shape", "exponent", "SNR dB"), rows, "lllrr"), *stay]


def at_output(network: Network, noise: Dict[str, Noise], name: str) -> Noise:
    """The noise of an output, before its softmax: that hides noise of large logits."""
    judged = network.before_softmax(name)
    return noise[judged if judged in noise else name]


def headline(
    network: Network, noise: Dict[str, Noise], answers: Dict[str, Answers], count: int, held: bool
) -> List[str]:
    """A line per output: signal-to-noise on `count` samples that were held back from calibration, if `held`."""
    if held:
        where = f"on {count} samples held back from calibration"
    else:
        samples = f"{count} calibration samples themselves" if count > 1 else "one calibration sample itself"
        where = f"on the {samples}: too few to hold any back, unseen data give less"
    lines = []
    for name in network.outputs:
        judged = network.before_softmax(name)
        ratio = at_output(network, noise, name).decibels
        before = " (before its softmax)" * (judged != name)
        lines.append(f"output '{shown(name, 40)}'{before}: SNR {ratio:.1f} dB {where}")
        one = answers.get(judged)
        if one is not None:
            lines.append(
                f"  its largest value is in the same place as the float model's in {one.best} of {one.samples}"
            )
        lines += collapsed(name, ratio)
        if one is not None and one.lost() and not collapsed(name, ratio):
            lines.append(_answers_lost(name, one))
    return lines


def _answers_lost(name: str, answers: Answers) -> str:
    if answers.vanished > _VANISHED * answers.samples:
        why = f"its best value becomes 0 in {answers.vanished} of {answers.samples} samples"
    else:
        why = "its largest values are not those of the float model"
    return (
        f"warning: output '{shown(name, 40)}': {why}; where only large values matter (scores), "
        "end the model with a Clip or Sigmoid"
    )
