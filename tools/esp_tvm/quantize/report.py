"""What quantization did, as people read it."""

from __future__ import annotations

from typing import Dict, List, Sequence

import numpy as np
import onnx

from ..model import run_session, session
from ..naming import shown
from .calibrate import Progress, reader, samples_of, with_outputs
from .graph import Network, describe_layer


class Noise:
    """Signal and noise of a tensor, summed over samples."""

    def __init__(self) -> None:
        self.signal = self.noise = 0.0

    def add(self, real: np.ndarray, ours: np.ndarray) -> None:
        real = real.astype(np.float64).reshape(-1)
        difference = real - ours.reshape(-1)
        self.signal += float(np.dot(real, real))
        self.noise += float(np.dot(difference, difference))

    @property
    def decibels(self) -> float:
        """Signal-to-noise ratio; infinite where nothing differs."""
        if self.noise == 0.0:
            return float("inf")
        return 10.0 * float(np.log10(max(self.signal, 1e-300) / self.noise))


def measure(network: Network, quantized: onnx.ModelProto, samples: Dict[str, Sequence[np.ndarray]]) -> Dict[str, Noise]:
    """{tensor: noise} of every int8 tensor and every output, quantized model against float model."""
    real_names = {}
    by_input = {node.input[0]: node for node in quantized.graph.node if node.op_type == "DequantizeLinear"}
    for node in quantized.graph.node:
        if node.op_type == "QuantizeLinear":
            name = node.input[0]
            if name not in network.integers:
                # The float value of an output: its own name is that of the dequantized one.
                name = by_input[node.output[0]].output[0]
            real_names[name] = by_input[node.output[0]].output[0]
    for name in network.outputs:
        real_names.setdefault(name, name)
    tensors = list(real_names)
    read = reader(network, tensors)
    theirs = list(dict.fromkeys(real_names.values()))
    run = session(with_outputs(quantized, theirs))
    noise = {name: Noise() for name in tensors}
    with Progress("measuring", min(len(a) for a in samples.values())) as progress:
        for sample in samples_of(samples):
            real = read(sample)
            ours = dict(zip(theirs, run_session(run, theirs, sample)))
            for name in tensors:
                noise[name].add(real[name], ours[real_names[name]])
            progress.step()
    return noise


def table(network: Network, exponents: Dict[str, int], noise: Dict[str, Noise]) -> List[str]:
    """A line per tensor: where it comes from, shape, exponent, signal-to-noise; then the outputs."""
    rows = [("layer", "operator", "shape", "exponent", "SNR dB")]

    def row(name: str, label: str, kind: str) -> None:
        shape = "x".join(map(str, network.shapes.get(name, ())))
        ratio = f"{noise[name].decibels:.1f}" if name in noise else ""
        rows.append((label, kind, shape, str(exponents.get(name, "float")), ratio))

    for name in network.inputs:
        row(name, shown(name, 40), "input")
    for layer in network.layers:
        row(layer.output, describe_layer(network, layer), layer.op_type)
    widths = [max(len(r[column]) for r in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(r, widths)).rstrip() for r in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    for name in network.outputs:
        lines.append(f"output '{shown(name, 40)}': SNR {noise[name].decibels:.1f} dB on the calibration data")
    floats = [layer for layer in network.layers if layer.rule is None]
    for layer in floats:
        lines.append(f"stays float: {describe_layer(network, layer)} ({layer.op_type}): {layer.why}")
    return lines
