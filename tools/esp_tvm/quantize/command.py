"""The evaluation on the user's samples, which the sub-command quantize runs after quantizing."""

from __future__ import annotations

from typing import List, Optional

from ..data_check import check
from ..model import load_model
from ..states import load_steps
from ..terminal import Part
from . import Quantized
from .evaluation import load_labels, noise_by_layer, parts, write_json, write_picture
from .judge import judge


def evaluate_quantized(
    float_model: str, quantized_model: str, result: Quantized, samples_path: str, labels_path: Optional[str] = None
) -> List[Part]:
    """The lines of the evaluation; writes <quantized_model>.evaluation.json and .svg."""
    real = load_model(float_model)
    samples = load_steps(samples_path, real)
    labels = load_labels(labels_path, min(len(array) for array in samples.values())) if labels_path else None
    quantized = load_model(quantized_model)
    judgement = judge(real, quantized, samples, labels)
    layers = noise_by_layer(result.state, samples) if result.state else []
    write_json(f"{quantized_model}.evaluation.json", judgement, layers)
    write_picture(f"{quantized_model}.evaluation.svg", layers)
    return [*parts(judgement, layers), *check("evaluation", samples, quantized)]
