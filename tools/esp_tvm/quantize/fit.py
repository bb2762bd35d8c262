"""Weights rounded so that they make up for each other, and for the noise that arrives with the input.

For each layer in turn: least squares between what the layer computes from its quantized inputs and what it computes
in float, kept near the trained weights by a ridge; then one weight after another is rounded and its rounding error is
spread over those that are still to come (optimal brain quantization, in the order and form of GPTQ, Frantar et al.
2022). The bias takes what is left of the mean. No training, no gradients: one linear system per layer.
"""

from __future__ import annotations

from typing import Dict, Tuple

import numpy as np

from .graph import Layer, Network
from .rules import attribute
from .simulate import Simulator
from .weights import Weights, covering, integer_bias, round_half_up

# Rows of the linear system that are looked at, for each of its columns, and at most.
ROWS_PER_COLUMN, MAX_ROWS = 64, 60_000
# Samples whose input carries this many times the usual noise are left out.
OUTLIER = 10.0


def fit_layer(
    sim: Simulator,
    layer: Layer,
    state: Dict[str, np.ndarray],
    exponents: Dict[str, int],
    per_channel: bool,
    ridge: float,
    damping: float = 1e-2,
) -> Weights:
    """Weights of one layer for the inputs in `state`; ridge: infinite keeps to the trained weights.

    damping: of the mean square of the inputs; keeps directions that the samples hardly show from being fitted to
    """
    x = _real_input(sim, layer, state, exponents)
    target = _target(sim, layer, state, exponents)
    good = _representative(sim.reference[layer.inputs[0]], x)
    columns, rows = _linear_system(sim.network, layer, x[good], target[good])
    groups, count, width = columns.shape
    weights = layer.weights.astype(np.float64).reshape(groups, -1, width)
    mean_x, mean_t = columns.mean(axis=1, keepdims=True), rows.mean(axis=1, keepdims=True)
    columns, rows = columns - mean_x, rows - mean_t
    moment = np.matmul(columns.transpose(0, 2, 1), columns).astype(np.float64) / count
    wanted = weights
    if np.isfinite(ridge):
        cross = np.matmul(columns.transpose(0, 2, 1), rows).astype(np.float64) / count
        wanted = _least_squares(moment, cross, weights, ridge)
    values, scales = _round(wanted, moment, per_channel, damping)
    real = values * np.exp2(scales.astype(np.float64))[..., None]
    bias = mean_t[:, 0].astype(np.float64) - np.einsum("gok,gk->go", real, mean_x[:, 0].astype(np.float64))
    flat = values.reshape(-1, width), scales.reshape(-1), bias.reshape(-1)
    magnitude = -sim.network.range_of(layer.inputs[0])[0]
    return _with_room(*flat, layer, exponents[layer.inputs[0]], per_channel, magnitude)


def _representative(reference: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Which samples to fit to: not the few in which much is clipped, they would speak loudest."""
    difference = (reference - x).reshape(len(x), -1)
    noise = np.einsum("ij,ij->i", difference, difference)
    good = noise <= OUTLIER * np.median(noise)
    return good if good.sum() * 2 >= len(good) else np.ones_like(good)


def _with_room(values, scales, bias, layer: Layer, e_x: int, per_channel: bool, magnitude: int) -> Weights:
    """The same at coarser exponents where the bias would not fit."""
    while True:
        whole, fits = integer_bias(values, scales, bias, e_x, magnitude)
        if fits.all():
            return Weights(values.astype(np.int8).reshape(layer.weights.shape), scales, whole.astype(np.int32), bias)
        coarser = ~fits if per_channel else np.ones_like(fits)
        values = np.where(coarser[:, None], round_half_up(values / 2.0), values)
        scales = scales + coarser


def _real_input(sim: Simulator, layer: Layer, state: Dict, exponents: Dict[str, int]) -> np.ndarray:
    name = layer.inputs[0]
    if name not in state:
        state[name] = sim.rounded(state[("float", name)], name, exponents)
    return state[name] * np.float32(2.0 ** exponents[name])


def _target(sim: Simulator, layer: Layer, state: Dict, exponents: Dict[str, int]) -> np.ndarray:
    """What the layer should compute before its bounds: float, plus what a sum right behind it lost elsewhere."""
    ones = np.ones(len(layer.weights), np.float32)
    target = sim.product(layer, sim.reference[layer.inputs[0]], layer.weights, ones, layer.bias, None, None)
    network = sim.network
    users = network.consumers(layer.output)
    if len(users) == 1 and users[0].kind == "binary" and users[0].op_type == "Add":
        other = [name for name in users[0].inputs if name != layer.output]
        bounded = layer.low != -np.inf or layer.high != np.inf
        if len(other) == 1 and other[0] in state and not bounded and layer.output not in network.outputs:
            lost = sim.reference[other[0]] - state[other[0]] * np.float32(2.0 ** exponents[other[0]])
            target = target + lost
    return target


def _linear_system(network: Network, layer: Layer, x: np.ndarray, target: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """(columns [groups, rows, inputs], values [groups, rows, outputs of the group]) of samples x."""
    outputs = len(layer.weights)
    if layer.kind == "dense":
        return x.reshape(1, -1, x.shape[-1]), target.reshape(1, -1, outputs)
    node = network.model.graph.node[layer.nodes[0]]
    groups = int(attribute(node, "group", 1))
    x = x.reshape(-1, *x.shape[2:])
    y = target.reshape(-1, *target.shape[2:])
    view = windows(node, layer, x, y.shape[2:])
    width = int(np.prod(layer.weights.shape[1:]))
    places = int(np.prod(y.shape[2:]))
    wanted = int(np.clip(ROWS_PER_COLUMN * width, 4096, MAX_ROWS // groups))
    keep = int(np.clip(-(-wanted // len(y)), 1, places))
    # The same places in every sample, evenly spread, not all in one column of the image.
    chosen = np.unique((np.arange(keep) * places // keep + np.arange(keep) % 2) % places)
    where = (slice(None), slice(None), *np.unravel_index(chosen, y.shape[2:]))
    part = view[where].reshape(len(x), groups, -1, len(chosen), *layer.weights.shape[2:])
    part = np.moveaxis(part, (1, 0, 3), (0, 1, 2))
    columns = part.reshape(groups, -1, width)
    values = y[where].reshape(len(y), groups, -1, len(chosen))
    return columns, values.transpose(1, 0, 3, 2).reshape(groups, len(columns[0]), -1)


def windows(node, layer: Layer, x: np.ndarray, places: Tuple[int, ...]) -> np.ndarray:
    """A view [N, C, *out, *kernel] of the padded images [N, C, h, w] or series [N, C, l] in x."""
    axes = range(x.ndim - 2)
    strides = attribute(node, "strides") or [1] * len(axes)
    dilations = attribute(node, "dilations") or [1] * len(axes)
    kernel = layer.weights.shape[2:]
    auto = attribute(node, "auto_pad", b"NOTSET").decode()
    before = list(attribute(node, "pads") or [0] * 2 * len(axes))[: len(axes)]
    total = []
    for axis in axes:
        span = (kernel[axis] - 1) * dilations[axis] + 1
        needed = max((places[axis] - 1) * strides[axis] + span - x.shape[2 + axis], 0)
        if auto.startswith("SAME"):
            before[axis] = needed // 2 if auto == "SAME_UPPER" else needed - needed // 2
        total.append(max(needed, before[axis]))
    padding = [(0, 0), (0, 0)] + [(before[axis], max(total[axis] - before[axis], 0)) for axis in axes]
    padded = np.pad(x, padding)
    steps = padded.strides
    moves = [step * stride for step, stride in zip(steps[2:], strides)]
    taps = [step * dilation for step, dilation in zip(steps[2:], dilations)]
    return np.lib.stride_tricks.as_strided(
        padded, (*x.shape[:2], *places, *kernel), (*steps[:2], *moves, *taps), writeable=False
    )


def _least_squares(moment: np.ndarray, cross: np.ndarray, weights: np.ndarray, ridge: float) -> np.ndarray:
    """argmin over W of mean |W x - t|^2 + ridge * mean square of x * |W - weights|^2, for each group.

    moment [g, n, n]: of x; cross [g, n, o]: of x and t; weights [g, o, n].
    """
    size = moment.shape[-1]
    weight = ridge * np.maximum(np.trace(moment, axis1=1, axis2=2) / size, 1e-30)[:, None, None]
    system = moment + weight * np.eye(size)
    return np.linalg.solve(system, cross + weight * weights.transpose(0, 2, 1)).transpose(0, 2, 1)


def _round(wanted: np.ndarray, moment: np.ndarray, per_channel: bool, damping: float) -> Tuple[np.ndarray, np.ndarray]:
    """(values [g, o, n], exponents [g, o]): for each channel the exponent whose rounding costs least."""
    groups, outputs, width = wanted.shape
    top = covering(wanted.reshape(-1, width), per_channel).reshape(groups, outputs)
    order, upper = _factor(moment, damping)
    results = []
    for step in (0, 1):
        scales = top - step
        values = _spread_rounding(wanted, scales, order, upper)
        error = values * np.exp2(scales.astype(np.float64))[..., None] - wanted
        cost = np.einsum("gon,gon->go", np.matmul(error, moment), error)
        results.append((values, scales, cost if per_channel else np.full_like(cost, cost.sum())))
    (values, scales, cost), (finer, finer_scales, finer_cost) = results
    better = finer_cost < cost
    return np.where(better[..., None], finer, values), np.where(better, finer_scales, scales)


def _factor(moment: np.ndarray, damping: float) -> Tuple[np.ndarray, np.ndarray]:
    """(order of rounding [g, n], upper Cholesky factor [g, n, n] of the inverse moment in that order)."""
    diagonal = np.diagonal(moment, axis1=1, axis2=2)
    # What matters most is rounded first, while there is most left to make up for it.
    order = np.argsort(-diagonal, axis=1, kind="stable")
    sorted_rows = np.take_along_axis(moment, order[:, :, None], axis=1)
    damped = np.take_along_axis(sorted_rows, order[:, None, :], axis=2)
    damped = damped + damping * np.maximum(diagonal.mean(axis=1), 1e-30)[:, None, None] * np.eye(moment.shape[-1])
    inverse = np.linalg.inv(damped)
    lower = np.linalg.cholesky((inverse + inverse.transpose(0, 2, 1)) / 2)
    return order, lower.transpose(0, 2, 1)


def _spread_rounding(wanted: np.ndarray, scales: np.ndarray, order: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """int8 values of `wanted` [g, o, n] at exponents `scales` [g, o], rounded one column at a time."""
    step = np.exp2(scales.astype(np.float64))
    left = np.take_along_axis(wanted, order[:, None, :], axis=2)
    values = np.empty_like(left)
    for column in range(left.shape[-1]):
        whole = np.clip(round_half_up(left[:, :, column] / step), -128, 127)
        values[:, :, column] = whole
        error = (left[:, :, column] - whole * step) / upper[:, None, column, column]
        left[:, :, column + 1 :] -= error[:, :, None] * upper[:, None, column, column + 1 :]
    result = np.empty_like(values)
    np.put_along_axis(result, np.broadcast_to(order[:, None, :], values.shape), values, axis=2)
    return result
