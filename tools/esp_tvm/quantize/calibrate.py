"""The values of each tensor over the calibration samples; memory does not grow with their number."""

from __future__ import annotations

from typing import Callable, Dict, Iterator, List, Optional, Sequence

import numpy as np

from ..errors import UserError
from ..model import inputs_of, run_session, session
from ..naming import shown
from ..onnx_graph import with_outputs
from ..terminal import Progress
from .graph import Network
from .parallel import in_order

BINS = 2048
# At most so many values of one array are counted.
MOST_COUNTED = 1 << 16
# The smallest width of a bin, as an exponent of two: float32 cannot divide by smaller numbers.
LEAST_WIDTH = -100
# Values fetched in one run of the model; memory is never needed for more than one sample and core.
_VALUES_AT_ONCE = 1 << 25
# Exponents go from -60 to 60.
FARTHEST = 60
FINEST_STEP = 2.0**-FARTHEST
LOCAL_METHODS = ("minmax", "percentile", "mse", "entropy")


class Histogram:
    """Smallest and largest value, and a histogram of |x|.

    The bins' width is a power of two that doubles when a value lies beyond the last bin, so one pass over the
    samples is enough and their order does not matter for what is counted.
    """

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf
        self.width_exponent: Optional[int] = None
        self.counts = np.zeros(BINS, np.int64)

    @property
    def width(self) -> float:
        return 2.0 ** (self.width_exponent or 0)

    @property
    def magnitude(self) -> float:
        """The largest |x|."""
        return max(self.high, -self.low, 0.0)

    def add(self, values: np.ndarray) -> None:
        """Count the values of an array, or an evenly spread part of many; smallest and largest are those of all."""
        values = values.reshape(-1)
        if not values.size:
            return
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        # An odd stride, so that no column of a large plane is left out.
        values = values[:: values.size // MOST_COUNTED | 1]
        if self.magnitude == 0.0:
            self.counts[0] += values.size
            return
        needed = max(int(np.ceil(np.log2(self.magnitude / BINS))), LEAST_WIDTH)
        if self.width_exponent is None:
            self.width_exponent = needed
        while self.width_exponent < needed or self.magnitude >= BINS * self.width:
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate([merged, np.zeros(BINS // 2, np.int64)])
            self.width_exponent += 1
        index = (np.abs(values) * np.float32(1.0 / self.width)).astype(np.int64)
        self.counts += np.bincount(np.minimum(index, BINS - 1), minlength=BINS)


def reader(network: Network, tensors: Sequence[str]) -> Callable[[Dict[str, np.ndarray]], Dict[str, np.ndarray]]:
    """A function from one sample {input: array} to {tensor: array} of the float model, for any of its tensors."""
    given = {name for name, _, _ in inputs_of(network.model)}
    wanted = [name for name in dict.fromkeys(tensors) if name not in given]
    parts: List[List[str]] = []
    room = 0
    for name in wanted:
        size = int(np.prod(network.shapes.get(name, ())))
        if not parts or size > room:
            parts.append([])
            room = _VALUES_AT_ONCE
        parts[-1].append(name)
        room -= size
    sessions = [session(with_outputs(network.model, part), optimize=True, threads=1) for part in parts]

    def read(sample: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        values = {name: sample[name] for name in tensors if name in given}
        for run, part in zip(sessions, parts):
            values.update(zip(part, run_session(run, part, sample)))
        return values

    return read


def samples_of(samples: Dict[str, Sequence[np.ndarray]]) -> Iterator[Dict[str, np.ndarray]]:
    """The samples one by one, {input: array}."""
    count = min(len(array) for array in samples.values())
    for index in range(count):
        yield {name: array[index] for name, array in samples.items()}


def calibrate(
    network: Network, samples: Dict[str, Sequence[np.ndarray]], also: Optional[Callable] = None
) -> Dict[str, Histogram]:
    """A histogram of each tensor that is to be int8, over all samples; also(tensor, values): called with each."""
    read = reader(network, network.integers)
    histograms = {name: Histogram() for name in network.integers}
    count = min(len(array) for array in samples.values())
    with Progress("calibrating", count) as progress:
        for index, found in enumerate(in_order(read, samples_of(samples))):
            for name, values in found.items():
                if not np.isfinite(values).all():
                    raise UserError(
                        f"tensor '{shown(name)}' of the float model is not finite for calibration sample {index}; "
                        "check the model and the calibration data"
                    )
                histograms[name].add(values)
                if also is not None:
                    also(name, values)
            progress.step()
    return histograms


# --- exponents --------------------------------------------------------------------------------------------


def covering_exponent(low: float, high: float) -> int:
    """The smallest e at which every value from `low` to `high` is at most half a step from an int8 value."""
    # Values up to half a step above 127 round to 127, and up to half a step below -128 to -128.
    reach = max(high / 127.5, -low / 128.5, 0.0)
    return exponent_at_least(reach)


def exponent_at_least(reach: float) -> int:
    """The smallest e with 2^e >= reach; 0 for a tensor that is always 0."""
    if reach <= 0.0:
        return 0
    mantissa, exponent = np.frexp(reach)
    return int(np.clip(exponent - 1 if mantissa == 0.5 else exponent, -FARTHEST, FARTHEST))


def choose_exponent(histogram: Histogram, method: str, percentile: float) -> int:
    """The exponent of one tensor according to its values.

    minmax: covers everything; percentile: covers that share of the values; mse: least mean square error;
    entropy: least Kullback-Leibler divergence between the values and the quantized values.
    """
    if histogram.magnitude == 0.0:
        return 0
    top = covering_exponent(histogram.low, histogram.high)
    if method == "minmax":
        return top
    if method == "percentile":
        below = np.cumsum(histogram.counts)
        last = int(np.searchsorted(below, np.ceil(below[-1] * percentile / 100.0)))
        reach = min((last + 1) * histogram.width, histogram.magnitude)
        return min(exponent_at_least(reach / 127.5), top)
    cost = _square_error if method == "mse" else _divergence
    candidates = [top - step for step in range(0, 6)]
    return min(candidates, key=lambda e: (cost(histogram, e), -e))


def _square_error(histogram: Histogram, exponent: int) -> float:
    centres = (np.arange(BINS) + 0.5) * histogram.width
    step = 2.0**exponent
    beyond = np.maximum(centres - 127.5 * step, 0.0)
    error = np.where(beyond > 0, (beyond + step / 2) ** 2, step * step / 12.0)
    return float(np.dot(histogram.counts, error))


def _divergence(histogram: Histogram, exponent: int) -> float:
    """KL divergence of the histogram from the one after values are merged into steps and clipped."""
    counts = histogram.counts.astype(np.float64)
    step = 2.0**exponent
    kept = min(max(int(np.ceil(127.5 * step / histogram.width)), 1), BINS)
    p = counts[:kept].copy()
    p[-1] += counts[kept:].sum()
    bins = np.floor((np.arange(kept) + 0.5) * histogram.width / step + 0.5).astype(np.int64)
    mass = np.bincount(bins, weights=counts[:kept])
    filled = np.bincount(bins, weights=(counts[:kept] > 0).astype(np.float64))
    q = np.where(counts[:kept] > 0, mass[bins] / np.maximum(filled[bins], 1.0), 0.0)
    p, q = p / p.sum(), q / max(q.sum(), 1e-30)
    used = p > 0
    return float(np.sum(p[used] * np.log(p[used] / np.maximum(q[used], 1e-12))))


def choose_exponents(
    network: Network, histograms: Dict[str, Histogram], method: str, percentile: float
) -> Dict[str, int]:
    """{tensor: exponent}; tied tensors have the exponent of the tensor they are tied to."""
    fixed = {}
    # What is clipped at an output is lost for good, also behind layers that only move values.
    ends = set(network.outputs)
    for layer in reversed(network.layers):
        if layer.kind in ("move", "shape", "float") and layer.output in ends:
            ends.update(layer.inputs)
    for layer in network.layers:
        if layer.rule is not None and isinstance(layer.rule.exponent, int):
            fixed[layer.output] = layer.rule.exponent
            if layer.rule.finer and layer.output in histograms and layer.output not in ends:
                seen = histograms[layer.output]
                fixed[layer.output] = min(layer.rule.exponent, covering_exponent(seen.low, seen.high))
    chosen: Dict[str, int] = {}
    for name in network.integers:
        root = network.root(name)
        if root not in chosen:
            chosen[root] = fixed.get(root, choose_exponent(histograms[root], method, percentile))
        chosen[name] = chosen[root]
    return chosen


__all__: List[str] = [
    "LOCAL_METHODS",
    "Histogram",
    "Progress",
    "calibrate",
    "choose_exponent",
    "choose_exponents",
    "covering_exponent",
    "reader",
    "samples_of",
]
