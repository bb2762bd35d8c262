"""Quantize a float ONNX model to int8 with power-of-two scales."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Dict

import onnx

from ..data import load_samples
from ..errors import UserError
from ..model import inputs_of, load_model, save_model
from .calibrate import METHODS, calibrate, choose_exponents
from .graph import Network, describe_layer, read_network
from .report import Noise, measure, table
from .weights import Weights, quantize_weights
from .write import write_qdq


@dataclass
class Quantized:
    """model: the QDQ model; exponents by tensor; weights by their layer's output; noise by tensor."""

    model: onnx.ModelProto
    network: Network
    exponents: Dict[str, int]
    weights: Dict[str, Weights]
    noise: Dict[str, Noise]

    def table(self) -> str:
        """The lines people read."""
        return "\n".join(table(self.network, self.exponents, self.noise))


def quantize_onnx(
    input_model: str | os.PathLike,
    output_model: str | os.PathLike,
    calibrate_dataset: str | os.PathLike,
    per_channel: bool = True,
    method: str = "mse",
    percentile: float = 99.99,
) -> Quantized:
    """Quantize the float model in `input_model` on the samples in `calibrate_dataset`; write `output_model`.

    per_channel: one weight exponent per output channel instead of one per layer
    method: how exponents of activations are chosen, one of `METHODS`
    percentile: the share of values (in percent) that `method="percentile"` covers
    """
    if method not in METHODS:
        raise UserError(f"'{method}' is not a calibration method; choose one of {', '.join(METHODS)}")
    if not 0.0 < percentile <= 100.0:
        raise UserError(f"percentile {percentile}: give a number above 0, at most 100")
    model = load_model(input_model)
    samples = load_samples(calibrate_dataset, inputs_of(model))
    result = quantize_model(model, samples, per_channel, method, percentile, input_model)
    save_model(result.model, output_model)
    return result


def quantize_model(
    model: onnx.ModelProto,
    samples: Dict,
    per_channel: bool = True,
    method: str = "mse",
    percentile: float = 99.99,
    path: str | os.PathLike = "model",
) -> Quantized:
    """The same for a loaded model and samples {input: [N, *shape]}."""
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node):
        raise UserError(f"{path}: is quantized already; give the float model")
    network = read_network(model)
    if not any(layer.rule for layer in network.layers):
        raise UserError(f"{path}: has no operator that can be quantized")
    histograms = calibrate(network, samples)
    exponents = choose_exponents(network, histograms, method, percentile)
    weights = {
        layer.output: quantize_weights(
            layer.weights, layer.bias, exponents[layer.inputs[0]], per_channel, describe_layer(network, layer)
        )
        for layer in network.layers
        if layer.rule is not None and layer.weights is not None
    }
    quantized = write_qdq(network, exponents, weights)
    return Quantized(quantized, network, exponents, weights, measure(network, quantized, samples))


__all__ = ["METHODS", "Quantized", "quantize_model", "quantize_onnx"]
