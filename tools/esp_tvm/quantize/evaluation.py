"""The quality of a quantized model, and the layers that lose most: text, JSON and a picture."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx

from ..data import load_file
from ..errors import UserError
from ..files import write_text
from ..model import run_session, session
from ..onnx_graph import edited, with_outputs
from ..pictures import shares
from ..terminal import Part, Progress, Table
from .graph import Layer, describe_layer
from .judge import Judgement
from .passes import State
from .simulate import Simulator, decibels
from .weights import real_weights

# The number of samples for the noise of single layers.
SAMPLES = 32


@dataclass
class LayerNoise:
    """The effect of one layer alone on the outputs: only its weights and its result are quantized."""

    name: str
    operator: str
    decibels: float
    share: float


def load_labels(path: str | os.PathLike, count: int) -> np.ndarray:
    """int [count] from an .npy file."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the labels as a .npy file of {count} whole numbers")
    labels = load_file(path)
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu" or labels.size != count:
        found = f"{labels.dtype} {list(labels.shape)}" if isinstance(labels, np.ndarray) else "an archive"
        raise UserError(f"{path}: holds {found}; {count} whole numbers are needed, one label for each sample")
    return labels.reshape(-1).astype(np.int64)


def noise_by_layer(state: State, samples: Dict[str, Sequence[np.ndarray]]) -> List[LayerNoise]:
    """The layers whose results are int8, the noisiest first."""
    network = state.network
    simulator = Simulator(network, {name: array[:SAMPLES] for name, array in samples.items()})
    found: List[Tuple[str, str, float]] = []
    layers = [layer for layer in network.layers if layer.rule is not None and layer.output in state.exponents]
    with Progress("noise of layers", len(layers) + len(network.inputs)) as progress:
        for name in network.inputs:
            if name in state.exponents:
                found.append((name, "input", _alone(simulator, name, _rounded(simulator, name, state))))
            progress.step()
        for layer in layers:
            # Moves add no noise.
            if layer.output not in network.ties:
                values = _rounded(simulator, layer.output, state, layer)
                noise = _alone(simulator, layer.output, values)
                found.append((describe_layer(network, layer), layer.op_type, noise))
            progress.step()
    total = sum(noise for _, _, noise in found) or 1.0
    result = [LayerNoise(name, kind, decibels(noise), noise / total) for name, kind, noise in found]
    return sorted(result, key=lambda one: -one.share)


def _rounded(simulator: Simulator, name: str, state: State, layer: Optional[Layer] = None) -> np.ndarray:
    """The tensor computed from exact inputs with the layer's int8 weights and rounded to int8, as real numbers."""
    values = simulator.reference[name]
    if layer is not None and layer.output in state.weights and layer.kind in ("conv", "dense"):
        weights, bias = real_weights(state.weights[layer.output], state.exponents[layer.inputs[0]])
        x = simulator.reference[layer.inputs[0]]
        filling = None if layer.padding is None else layer.padding.value
        addend = None if layer.addend is None else simulator.reference[layer.addend]
        parts = (part.astype(np.float32) for part in (weights, bias))
        values = simulator.product(layer, x, *parts, None, None, filling, addend)
        values = np.clip(values, layer.low, layer.high).reshape(simulator.reference[name].shape)
    exponent = state.exponents[name]
    return simulator.rounded(values.astype(np.float32), name, state.exponents) * np.float32(2.0**exponent)


def _alone(simulator: Simulator, name: str, values: np.ndarray) -> float:
    """Noise at the outputs, relative to the signal, when the float model continues from `values` of a tensor."""
    objectives = simulator.objectives()
    results = {name: values} if name in objectives else {}
    others = [one for one in objectives if one != name]
    if others:
        run, needed = _from_tensor(simulator.network.model, name, others)
        rows: List[List[np.ndarray]] = []
        for index, sample in enumerate(simulator.samples):
            feeds = {key: value for key, value in sample.items() if key in needed}
            feeds[name] = values[index].astype(np.float32)
            rows.append(run_session(run, others, feeds))
        results.update((one, np.stack([row[i] for row in rows])) for i, one in enumerate(others))
    noise = 0.0
    for one in objectives:
        reference = simulator.reference[one].astype(np.float64)
        difference = results[one] - reference
        noise += float(np.sum(difference * difference) / max(np.sum(reference * reference), 1e-300))
    return noise


def _from_tensor(model: onnx.ModelProto, name: str, outputs: Sequence[str]):
    """(session of `model` in which the tensor `name` is an input, names of its inputs)."""
    part = with_outputs(model, outputs)
    with edited(part) as graph:
        maker = graph.producer(name)
        if maker is not None:
            graph.remove(maker)
            part.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return session(part), {port.name for port in part.graph.input}


# --- for users --------------------------------------------------------------------------------------------


def parts(judgement: Judgement, layers: Sequence[LayerNoise]) -> List[Part]:
    """The text of an evaluation for users."""
    text: List[Part] = [
        f"on {judgement.samples} evaluation samples, by the exact integer reference:",
        f"  signal-to-noise ratio of the outputs (before a softmax): {judgement.decibels:.1f} dB",
        f"  cosine: {judgement.cosine:.6f}",
        f"  same top-1 as float: {judgement.agreement * 100:.1f} %",
    ]
    if judgement.accuracy is not None:
        ours, theirs = judgement.accuracy * 100, judgement.float_accuracy * 100
        text.append(f"  top-1 accuracy: int8 {ours:.1f} %, float {theirs:.1f} %")
    text.append("noise that each layer adds alone, largest first (dB at the outputs, share of the sum):")
    rows = [(layer.name, layer.operator, f"{layer.decibels:.1f}", f"{layer.share:.1%}") for layer in layers]
    return [*text, Table(("layer", "operator", "SNR dB", "share"), rows, "llrr")]


def write_json(path: str | os.PathLike, judgement: Judgement, layers: Sequence[LayerNoise]) -> None:
    """The figures of an evaluation; infinite ratios (nothing differs) are null."""

    def number(value: Optional[float]):
        return value if value is not None and math.isfinite(value) else None

    figures = {
        "samples": judgement.samples,
        "snr_db": number(judgement.decibels),
        "cosine": judgement.cosine,
        "top1_agreement": judgement.agreement,
        "accuracy_int8": judgement.accuracy,
        "accuracy_float": judgement.float_accuracy,
        "layers": [
            {"name": one.name, "operator": one.operator, "snr_db": number(one.decibels), "share": one.share}
            for one in layers
        ],
    }
    write_text(path, json.dumps(figures, indent=1) + "\n")


def write_picture(path: str | os.PathLike, layers: Sequence[LayerNoise]) -> None:
    """An SVG with a bar per layer: the share of the noise that it adds."""
    rows = []
    for layer in layers:
        ratio = "" if math.isinf(layer.decibels) else f" {layer.decibels:.0f} dB"
        # Characters that XML cannot hold were replaced when the name was made printable.
        rows.append((f"{layer.name} ({layer.operator})", layer.share, ratio))
    write_text(path, shares("Share of the noise at the outputs that each layer adds alone", rows))
