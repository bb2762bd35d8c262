"""Warnings about a model and its quantization: data that do not fit it, and a loss of all accuracy."""

from __future__ import annotations

from typing import Dict, List

import numpy as np
import onnx

from ..data_check import InputFacts
from ..errors import UserError
from ..naming import shown
from .calibrate import FINEST_STEP
from .graph import Network, describe_layer
from .mixed import widenable

# An output with a lower signal-to-noise ratio than this is useless.
COLLAPSED_DB = 10.0
# No working network has larger weights: the sums of their products exceed float32.
LARGEST_WEIGHT = 1e15
# The ratio of products to bias in a first layer: in trained networks it is far below this.
_MADE_FOR_SMALLER = 30.0
# An output is coarse if half of its values are smaller than this many steps.
_COARSE = 2.0
# Outputs that vary by less than this share of their size are considered constant.
_SAME = 1e-3
_SAMPLES = 16


def refuse_unusable(network: Network, path) -> None:
    """Refuse weights that no arithmetic can use."""
    for layer in network.layers:
        if layer.weights is None:
            continue
        largest = float(np.abs(layer.weights).max(initial=0.0))
        if largest > LARGEST_WEIGHT:
            raise UserError(
                f"{path}: node '{describe_layer(network, layer)}': a weight is {largest:.3g}, sums with it are beyond "
                "float32; the model is damaged, or its training diverged"
            )


def refuse_vanishing(network: Network, reference: Dict[str, np.ndarray], path) -> None:
    """Refuse an output whose values would all become 0; reference: as in `doubts_of_data`."""
    for name in network.outputs:
        if name not in network.integers or name not in reference:
            continue
        largest = float(np.abs(reference[name].astype(np.float64)).max(initial=0.0))
        if 0.0 < largest < FINEST_STEP / 2:
            raise UserError(
                f"{path}: output '{shown(name, 40)}': its largest value is {largest:.3g}, and the finest step of int8 "
                f"is {FINEST_STEP:.3g}: every value would become 0; the model is damaged or was not trained to an end"
            )


def doubts_of_model(model: onnx.ModelProto) -> List[str]:
    """Warn about a Clip that gives the same result for every value."""
    found = []
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Clip" or len(node.input) < 3 or not {node.input[1], node.input[2]} <= set(constants):
            continue
        low, high = (onnx.numpy_helper.to_array(constants[name]).reshape(-1) for name in node.input[1:3])
        if low.size and high.size and low[0] > high[0]:
            found.append(
                f"node '{shown(node.name, 40)}' (Clip): its smallest value {low[0]:g} lies above its largest "
                f"{high[0]:g}: it makes {high[0]:g} of every value"
            )
    return [f"warning: {line}" for line in found]


def doubts_of_data(network: Network, facts: Dict[str, InputFacts], reference: Dict[str, np.ndarray]) -> List[str]:
    """Warn about bytes where the model expects small numbers, and about outputs that are the same for every sample.

    reference: float values [N, *shape] of the tensors between layers, for some of the samples
    """
    found = []
    for one in facts.values():
        if one.looks_like_bytes() and _made_for_smaller(network, one.name, reference):
            found.append(
                f"calibration: input '{shown(one.name, 40)}': looks like bytes ({one.low:g} to {one.high:g}), but the "
                "biases of the first layer are for inputs of about 0 to 1: scale the samples as in training"
            )
    outputs = [reference[name] for name in network.outputs if name in reference]
    outputs = [values for values in outputs if values.dtype.kind == "f" and values.size]
    if outputs and len(outputs[0]) > 1 and all(_is_same(values) for values in outputs):
        found.append(
            "calibration: the outputs are the same for every sample; are these samples what the model was trained on, "
            "in the same scale?"
        )
    return [f"warning: {line}" for line in found]


def doubts_of_steps(network: Network, exponents: Dict[str, int], reference: Dict[str, np.ndarray]) -> List[str]:
    """Warn about outputs of which few large values made the steps coarse for all others: places of boxes, of which
    those far outside of the picture are read by nobody.

    exponents: of the quantized tensors; reference: as in `doubts_of_data`. Values of one sign are left out: most of a
    map of probabilities, or of what a Relu gave, is next to nothing and means just that.
    """
    found = []
    finer = widenable(network)
    for name in network.outputs:
        values = reference.get(name)
        if name not in exponents or values is None or values.dtype.kind != "f" or not values.size:
            continue
        low, high = float(values.min()), float(values.max())
        step, half = 2.0 ** exponents[name], float(np.median(np.abs(values)))
        if low < 0.0 < high and 0.0 < half < _COARSE * step:
            wider = network.root(name) in finer and name not in network.wide
            found.append(
                f"output '{shown(name, 40)}': its steps are {step:g}, for values from {low:.4g} to {high:.4g}, and "
                f"half of them are smaller than {half:.3g}: {'--int16 makes them finer, and ' * wider}preprocess "
                "--limit keeps what makes a difference to its reader"
            )
    return [f"warning: {line}" for line in found]


def _is_same(values: np.ndarray) -> bool:
    spread = float(np.abs(values - values.mean(axis=0)).max())
    return spread <= _SAME * max(float(np.abs(values).max()), 1e-30)


def _made_for_smaller(network: Network, name: str, reference: Dict[str, np.ndarray]) -> bool:
    """Whether the first layers' results are far larger than their biases: they were trained on smaller inputs."""
    ratios = []
    for layer in network.consumers(name):
        if layer.weights is None or layer.output not in reference or not np.any(layer.bias):
            continue
        rows = layer.weights.reshape(len(layer.weights), -1).astype(np.float64)
        values = reference[name].astype(np.float64)
        # Assuming uncorrelated inputs; an estimate by their size is enough.
        size = np.sqrt(np.square(rows).sum(axis=1) * np.square(values).mean())
        ratios.append(float(np.median(size) / np.median(np.abs(layer.bias))))
    return bool(ratios) and min(ratios) > _MADE_FOR_SMALLER


def collapsed(name: str, decibels: float) -> List[str]:
    """A warning if an output is mostly noise."""
    if decibels >= COLLAPSED_DB:
        return []
    return [
        f"warning: output '{shown(name, 40)}': {decibels:.1f} dB: its values are mostly noise, do not use this model; "
        "see docs/accuracy-dropped.md, or try --int16 auto"
    ]
