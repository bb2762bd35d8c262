"""Weights rounded so that they make up for each other, and for the noise that arrives with the input.

For each layer in turn: least squares between what the layer computes from its quantized inputs and what it computes
in float, kept near the trained weights by a ridge; then one weight after another is rounded and its rounding error is
spread over those that are still to come (optimal brain quantization, in the order and form of GPTQ, Frantar et al.
2022). The bias takes what is left of the mean. No training, no gradients: one linear system per layer.

A wide layer has more weights than a few samples have equations, and would learn these by heart. How near each layer
stays to its trained weights, and how far it believes what its samples say of how inputs move together, is what leaves
least error on every fourth sample. These pass a network of their own, in which no layer was fitted to them: behind
layers that were, they would say too little of what is new. The weights that count are fitted to all samples.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

import numpy as np

from .graph import Layer, Network
from .padding import padding_of
from .parallel import in_order
from .rules import attribute
from .walk import Walk
from .weights import Weights, beside_addend, covering, integer_bias, round_half_up

# Rows of the linear system that are looked at, for each of its columns, and at most.
ROWS_PER_COLUMN, MAX_ROWS = 64, 60_000
# An input whose variance is less than this share of its squares is constant: sums of float32 say no more.
CONSTANT = 1e-4
# Samples whose input carries this many times the usual noise are left out.
OUTLIER = 10.0
# With fewer samples than this nothing can be held back to choose by; with more, every so many-th is.
ENOUGH_TO_PART, EVERY = 16, 4
# How near to the trained weights a fit stays, the nearest first; and how far moments of two inputs shrink beside those
# of each alone.
RIDGES = (np.inf, 100.0, 10.0)
# A step away from the trained weights must lower the error on what was held back by this share, or it is not taken.
WORTH = 0.95
SHRINKS = (0.01, 0.05, 0.2, 1.0)
CAUTIOUS = (100.0, 0.2)
# Output channels of a layer that the choice of its shrink is judged by.
JUDGED_CHANNELS = 64
Caution = Tuple[float, float]
# Columns rounded one after another between two products of matrices.
BLOCK = 12


class Moments:
    """Sums over the rows of a linear system: of x [groups, rows, inputs] and t [groups, rows, outputs]."""

    def __init__(self, groups: int, inputs: int, outputs: int):
        self.shape = groups, inputs, outputs
        self.count = 0
        self.x, self.t = np.zeros((groups, inputs)), np.zeros((groups, outputs))
        self.xx, self.xt = np.zeros((groups, inputs, inputs)), np.zeros((groups, inputs, outputs))
        self.tt = np.zeros((groups, outputs))

    def add(self, x: np.ndarray, t: np.ndarray) -> None:
        """Count rows, float32."""
        self.count += x.shape[1]
        self.x += x.sum(axis=1, dtype=np.float64)
        self.t += t.sum(axis=1, dtype=np.float64)
        turned = x.transpose(0, 2, 1)
        self.xx += np.matmul(turned, x)
        self.xt += np.matmul(turned, t)
        self.tt += np.einsum("gro,gro->go", t, t, dtype=np.float64)

    def include(self, other: Moments) -> None:
        """Count the rows of others too."""
        if other.count:
            self.count += other.count
            for name in ("x", "t", "xx", "xt", "tt"):
                mine = getattr(self, name)
                mine += getattr(other, name)

    def plus(self, other: Moments) -> Moments:
        """Those of both."""
        result = Moments(*self.shape)
        result.include(self)
        result.include(other)
        return result

    def means(self) -> Tuple[np.ndarray, np.ndarray]:
        return self.x / self.count, self.t / self.count

    def about(self, mean_x: np.ndarray, mean_t: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean of (x - mean_x)(x - mean_x)', (x - mean_x)(t - mean_t)' and (t - mean_t)^2.

        What is left of the products of float32 where an x is constant is 0: it may be anything, less than 0 too.
        """
        n = self.count
        x, t = self.x / n, self.t / n
        moment = self.xx / n - _outer(x, mean_x) - _outer(mean_x, x) + _outer(mean_x, mean_x)
        cross = self.xt / n - _outer(x, mean_t) - _outer(mean_x, t) + _outer(mean_x, mean_t)
        diagonal, squares = (np.diagonal(one, axis1=1, axis2=2) for one in (moment, self.xx / n))
        varies = diagonal > CONSTANT * squares
        moment *= varies[:, :, None] & varies[:, None, :]
        cross *= varies[:, :, None]
        return moment, cross, self.tt / n - 2.0 * mean_t * t + mean_t * mean_t


def _outer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, :, None] * b[:, None, :]


class Fit:
    """Fits the layers of a walk one after another.

    weights: fitted to all samples of the walk, by layer output; cautions: of each, (ridge, shrink), chosen or given;
    apart: a walk of every fourth of them behind `cautious`, weights fitted without these, to choose cautions by; None
    where there are too few, or cautions are given
    """

    def __init__(self, walk: Walk, per_channel: bool, cautions: Optional[Dict[str, Caution]] = None):
        self.walk, self.per_channel = walk, per_channel
        self.weights: Dict[str, Weights] = {}
        self.cautious: Dict[str, Weights] = {}
        self.cautions: Dict[str, Caution] = dict(cautions or {})
        enough = len(walk.samples) >= ENOUGH_TO_PART and not cautions
        self.apart = Walk(walk.simulator, walk.samples[EVERY - 1 :: EVERY], walk.exponents) if enough else None

    def layer(self, layer: Layer, caution: Optional[Caution] = None) -> None:
        """Fit the layer that the walks have come to; caution: (ridge, shrink), None chooses it.

        ridge: infinite keeps to the trained weights; shrink: 1 takes inputs for unrelated, each weight is rounded alone
        """
        walk, apart = self.walk, self.apart
        for name in layer.inputs:
            walk.need_whole(name)
        held = np.zeros(len(walk.samples), bool)
        if apart is not None:
            held[EVERY - 1 :: EVERY] = True
        (most, rest), origin = _moments(walk, layer, held)
        weights = layer.weights.astype(np.float64).reshape(len(most.x), -1, most.x.shape[1])
        if caution is None and apart is None:
            caution = self.cautions.get(layer.output, CAUTIOUS)
        if apart is not None:
            for name in layer.inputs:
                apart.need_whole(name)
            (judge, _), _ = _moments(apart, layer, np.zeros(len(apart.samples), bool), origin)
            if caution is None:
                caution = _choose_caution(most, judge, weights, self.per_channel)
        fits = [(self.weights, most.plus(rest))]
        if apart is not None:
            fits.append((self.cautious, most))
        made = in_order(lambda moments: self._weights(layer, moments, origin, weights, caution), [m for _, m in fits])
        for (kept, _), one in zip(fits, made):
            kept[layer.output] = one
        self.cautions[layer.output] = caution

    def step(self, index: int) -> None:
        """Compute layer number `index` in both walks."""
        self.walk.step(index, self.weights)
        if self.apart is not None:
            self.apart.step(index, self.cautious)

    def _weights(self, layer: Layer, moments: Moments, origin, weights: np.ndarray, caution) -> Weights:
        mean_x, mean_t = moments.means()
        moment, cross, _ = moments.about(mean_x, mean_t)
        wanted = _least_squares(moment, cross, weights, caution[0])
        e_x = self.walk.exponents[layer.inputs[0]]
        left = None if layer.addend is None else self.walk.exponents[layer.addend] - e_x
        values, scales = round_rows(wanted, shrunk(moment, caution[1]), self.per_channel, left)
        real = values * np.exp2(scales.astype(np.float64))[..., None]
        bias = mean_t + origin[1] - np.einsum("gok,gk->go", real, mean_x + origin[0])
        flat = values.reshape(-1, values.shape[-1]), scales.reshape(-1), bias.reshape(-1)
        magnitude = -self.walk.network.range_of(layer.inputs[0])[0]
        return _with_room(*flat, layer, e_x, self.per_channel, magnitude)


def _moments(
    walk: Walk, layer: Layer, held: np.ndarray, origin: Optional[Tuple[np.ndarray, np.ndarray]] = None
) -> Tuple[List[Moments], Tuple[np.ndarray, np.ndarray]]:
    """([moments of the other samples, moments of those `held`: bool [N]], origin).

    origin: what is taken from x and t before: [g, inputs], [g, outputs]; None finds it
    """
    good, parts = _representative(walk, layer), walk.chunks(layer)
    if origin is None:
        # Sums of squares about a point nearby stay exact.
        x, t = _rows(walk, layer, parts[0], int(good.sum()))
        origin = x.mean(axis=1), t.mean(axis=1)

    def counted(part: slice) -> List[Moments]:
        x, t = _rows(walk, layer, part, int(good.sum()))
        groups, rows, width = x.shape
        x -= origin[0][:, None]
        t -= origin[1][:, None]
        found = []
        for mask in (good[part] & ~held[part], good[part] & held[part]):
            found.append(Moments(groups, width, t.shape[2]))
            if mask.all():
                found[-1].add(x, t)
            elif mask.any():
                chosen = np.repeat(mask, rows // len(mask))
                found[-1].add(x[:, chosen], t[:, chosen])
        return found

    sums: List[Moments] = []
    for found in in_order(counted, parts):
        sums = sums or [Moments(*one.shape) for one in found]
        for total, one in zip(sums, found):
            total.include(one)
    return sums, origin


def _rows(walk: Walk, layer: Layer, part: slice, samples: int) -> Tuple[np.ndarray, np.ndarray]:
    """(x [groups, rows, inputs], t [groups, rows, outputs]) of a part of all `samples`, float32."""
    name, target, other = layer.inputs[0], walk.before_bounds(layer, part), _other_operand(walk, layer)
    if layer.addend is not None:
        target = target - walk.quantized(layer.addend, part)
    if other is not None:
        # What the sum behind the layer lost in its other operand.
        target = target + (walk.real[other][part] - walk.quantized(other, part))
    x = walk.whole[name][part]
    if layer.padding is not None:
        x = layer.padding.around(x, walk.network.filling(layer, walk.exponents[name]))
    x, t = linear_system(walk.network, layer, x, target, samples)
    x = x.astype(np.float32)
    x *= np.float32(2.0 ** walk.exponents[name])
    return x, t


def _representative(walk: Walk, layer: Layer) -> np.ndarray:
    """Which samples to fit to: not the few in which much of the input is clipped, they would speak loudest."""
    name = layer.inputs[0]

    def noise_of(part: slice) -> np.ndarray:
        difference = walk.quantized(name, part)
        difference -= walk.real[name][part]
        difference = difference.reshape(len(difference), -1)
        return np.einsum("ij,ij->i", difference, difference)

    noise = np.concatenate(list(in_order(noise_of, walk.chunks(layer))))
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


def _other_operand(walk: Walk, layer: Layer) -> Optional[str]:
    """The other operand of a sum right behind the layer, whose noise the layer can make up for."""
    network = walk.network
    users = network.consumers(layer.output)
    if len(users) != 1 or users[0].kind != "binary" or users[0].op_type != "Add":
        return None
    other = [name for name in users[0].inputs if name != layer.output]
    bounded = layer.low != -np.inf or layer.high != np.inf
    if len(other) != 1 or other[0] not in walk.whole or bounded or layer.output in network.outputs:
        return None
    return other[0]


def linear_system(
    network: Network, layer: Layer, x: np.ndarray, target: np.ndarray, samples: int
) -> Tuple[np.ndarray, np.ndarray]:
    """(columns [groups, rows, inputs], values [groups, rows, outputs of the group]) of a part x of all `samples`."""
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
    wanted = int(np.clip(ROWS_PER_COLUMN * width, 4096, max(MAX_ROWS // groups, 4096)))
    keep = int(np.clip(-(-wanted // samples), 1, places))
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
    before, after = padding_of(node, kernel, x.shape[2:], places)
    padded = np.pad(x, [(0, 0), (0, 0), *zip(before, after)])
    steps = padded.strides
    moves = [step * stride for step, stride in zip(steps[2:], strides)]
    taps = [step * dilation for step, dilation in zip(steps[2:], dilations)]
    return np.lib.stride_tricks.as_strided(
        padded, (*x.shape[:2], *places, *kernel), (*steps[:2], *moves, *taps), writeable=False
    )


def _choose_caution(most: Moments, held: Moments, weights: np.ndarray, per_channel: bool) -> Caution:
    """The (ridge, shrink) whose weights, fitted to `most`, leave least error on `held`."""
    mean_x, mean_t = most.means()
    moment, cross, _ = most.about(mean_x, mean_t)
    judge = held.about(mean_x, mean_t)
    ridge, fitted, least = RIDGES[0], weights, _error(weights, *judge)
    for farther in RIDGES[1:]:
        attempt = _least_squares(moment, cross, weights, farther)
        error = _error(attempt, *judge)
        if error >= least * WORTH:
            break
        ridge, fitted, least = farther, attempt, error
    # Some of the channels say enough of how rounding spreads.
    some = slice(None, None, -(-fitted.shape[1] // JUDGED_CHANNELS))
    judge = judge[0], judge[1][:, :, some], judge[2][:, some]

    def error_of(shrink: float) -> float:
        values, scales = round_rows(fitted[:, some], shrunk(moment, shrink), per_channel)
        return _error(values * np.exp2(scales.astype(np.float64))[..., None], *judge)

    return ridge, SHRINKS[int(np.argmin(list(in_order(error_of, SHRINKS))))]


def _error(weights: np.ndarray, moment: np.ndarray, cross: np.ndarray, square: np.ndarray) -> float:
    """Mean square error of weights [g, o, n] by moments about the means that the bias makes up for."""
    quadratic = np.einsum("gon,gon->", np.matmul(weights, moment), weights)
    return float(quadratic - 2.0 * np.einsum("gon,gno->", weights, cross) + square.sum())


def shrunk(moment: np.ndarray, shrink: float) -> np.ndarray:
    """Moments [g, n, n] of two inputs made smaller beside those of each alone; nothing is quite without effect."""
    diagonal = np.maximum(np.diagonal(moment, axis1=1, axis2=2), 0.0)
    floor = 1e-3 * np.maximum(diagonal.mean(axis=1), 1e-30)[:, None]
    result, places = (1.0 - shrink) * moment, np.arange(moment.shape[-1])
    result[:, places, places] += shrink * diagonal + floor
    return result


def _least_squares(moment: np.ndarray, cross: np.ndarray, weights: np.ndarray, ridge: float) -> np.ndarray:
    """argmin over W of mean |W x - t|^2 + ridge * mean square of x * |W - weights|^2, for each group.

    moment [g, n, n]: of x; cross [g, n, o]: of x and t; weights [g, o, n].
    """
    if not np.isfinite(ridge):
        return weights
    size = moment.shape[-1]
    weight = ridge * np.maximum(np.trace(moment, axis1=1, axis2=2) / size, 1e-30)[:, None, None]
    system = moment + weight * np.eye(size)
    return np.linalg.solve(system, cross + weight * weights.transpose(0, 2, 1)).transpose(0, 2, 1)


def round_rows(
    wanted: np.ndarray, moment: np.ndarray, per_channel: bool, left: Optional[int] = None
) -> Tuple[np.ndarray, np.ndarray]:
    """(values [..., g, o, n], exponents [..., g, o]): for each channel the exponent whose rounding costs least.

    wanted: [..., g, o, n]; moment: [..., g, n, n]. Before the groups of one layer there may be an axis of variants.
    left: as of `beside_addend`
    """
    *variants, groups, outputs, width = wanted.shape
    rows = wanted.reshape(-1, groups * outputs, width)
    top = beside_addend(np.stack([covering(one, per_channel) for one in rows]).reshape(-1, outputs), left)
    wanted, moment = wanted.reshape(-1, outputs, width), moment.reshape(-1, width, width)
    # Both exponents at once.
    scales = np.concatenate([top, top - 1], axis=1)
    both = np.concatenate([wanted, wanted], axis=1)
    values = _spread_rounding(both, scales, *_factor(moment))
    error = values * np.exp2(scales.astype(np.float64))[..., None] - both
    cost = np.einsum("gon,gon->go", np.matmul(error, moment), error)
    plain, finer = cost[:, :outputs], cost[:, outputs:]
    if not per_channel:
        together = (len(rows), groups * outputs)
        plain, finer = (np.repeat(part.reshape(together).sum(axis=1), groups).reshape(-1, 1) for part in (plain, finer))
    better = np.broadcast_to(finer < plain, top.shape)
    chosen = np.where(better[..., None], values[:, outputs:], values[:, :outputs])
    shape = (*variants, groups, outputs)
    return chosen.reshape(*shape, width), np.where(better, top - 1, top).reshape(shape)


def _factor(moment: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """(order of rounding [g, n], upper Cholesky factor [g, n, n] of the inverse moment in that order)."""
    diagonal = np.diagonal(moment, axis1=1, axis2=2)
    # What matters most is rounded first, while there is most left to make up for it.
    order = np.argsort(-diagonal, axis=1, kind="stable")
    # With both axes reversed the moment is L L', and reversed again the inverse of L is the factor wanted: a third of
    # the work of inverting the moment.
    turned = order[:, ::-1]
    if len(moment) > moment.shape[-1]:
        ordered = np.take_along_axis(moment, turned[:, :, None], axis=1)
        ordered = np.take_along_axis(ordered, turned[:, None, :], axis=2)
    else:
        ordered = np.stack([one.take(places, 0).take(places, 1) for one, places in zip(moment, turned)])
    inverse = _triangular_inverse(np.linalg.cholesky(ordered))
    return order, np.ascontiguousarray(inverse[:, ::-1, ::-1])


def _triangular_inverse(lower: np.ndarray) -> np.ndarray:
    """The inverses of lower triangular matrices [g, n, n]."""
    if len(lower) > lower.shape[-1]:
        # Many small ones: row by row in all at once.
        result = np.zeros_like(lower)
        for row in range(lower.shape[-1]):
            result[:, row, row] = 1.0
            result[:, row] -= np.matmul(lower[:, row, None, :row], result[:, :row])[:, 0]
            result[:, row] /= lower[:, row, row, None]
        return result
    from scipy.linalg.lapack import dtrtri

    # Turned to upper ones, as LAPACK has them in memory: nothing is copied.
    return np.stack([dtrtri(one.T, lower=0)[0].T for one in lower])


def _spread_rounding(wanted: np.ndarray, scales: np.ndarray, order: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """int8 values of `wanted` [g, o, n] at exponents `scales` [g, o], rounded one column at a time.

    The errors of one half of the columns reach the other half in one product, and so within each half.
    """
    step = np.exp2(scales.astype(np.float64))
    left = np.ascontiguousarray(np.take_along_axis(wanted, order[:, None, :], axis=2).transpose(0, 2, 1))
    values, errors = np.empty_like(left), np.empty_like(left)

    def spread(start: int, stop: int) -> None:
        if stop - start > BLOCK:
            middle = (start + stop) // 2
            spread(start, middle)
            across = upper[:, start:middle, middle:stop].transpose(0, 2, 1)
            left[:, middle:stop] -= np.matmul(across, errors[:, start:middle])
            spread(middle, stop)
            return
        for column in range(start, stop):
            # np.clip takes longer than all else here.
            whole = np.minimum(np.maximum(round_half_up(left[:, column] / step), -128.0), 127.0)
            values[:, column] = whole
            error = (left[:, column] - whole * step) / upper[:, column, column, None]
            left[:, column + 1 : stop] -= upper[:, column, column + 1 : stop, None] * error[:, None]
            errors[:, column] = error

    spread(0, left.shape[1])
    result = np.empty_like(wanted)
    np.put_along_axis(result, np.broadcast_to(order[:, None, :], wanted.shape), values.transpose(0, 2, 1), axis=2)
    return result
