"""What is counted over a test set, as evaluation.json holds it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import List, Optional

from pydantic import ValidationError

from ..files import write_text
from ..record import Record

FORMAT = "esp_tvm.evaluation.1"
FILE_NAME = "evaluation.json"


class ClassFigures(Record):
    """One class: how many samples have it, and the share of them that each model answers right."""

    label: int
    samples: int
    float_accuracy: float
    int8_accuracy: float


class Confusion(Record):
    """How many samples of class `label` are taken for another."""

    label: int
    taken_for: int
    float_samples: int
    int8_samples: int


class SampleFigures(Record):
    """One sample, counted from 0. snr_db: of the output, None if nothing differs

    label and answers where there are classes, mean absolute errors where there are targets
    """

    index: int
    snr_db: Optional[float]
    label: Optional[int] = None
    float_answer: Optional[int] = None
    int8_answer: Optional[int] = None
    float_error: Optional[float] = None
    int8_error: Optional[float] = None


class OutputFigures(Record):
    """One output. snr_db: of all samples, None if nothing differs; agreement: share of samples with the same answer

    threshold: above it an output of one value says class 1, otherwise 0; confusions: the most frequent of int8 first
    worst: a few samples, the worst first
    """

    name: str
    snr_db: Optional[float]
    agreement: Optional[float] = None
    threshold: Optional[float] = None
    float_accuracy: Optional[float] = None
    int8_accuracy: Optional[float] = None
    float_mean_absolute_error: Optional[float] = None
    int8_mean_absolute_error: Optional[float] = None
    classes: List[ClassFigures] = []
    confusions: List[Confusion] = []
    worst: List[SampleFigures] = []


class Figures(Record):
    """A test set. model_hash: of the quantized model that the project was exported from; files by their names only.

    reference: what the generated C stands beside: "float", or "ONNX Runtime" if the model given is quantized itself
    """

    format: str = FORMAT
    model_hash: str
    model: str
    input: str
    labels: Optional[str]
    samples: int
    reference: str
    outputs: List[OutputFigures]


def write(path: Path, figures: Figures) -> None:
    """Write evaluation.json, completely or not at all."""
    write_text(path, json.dumps(figures.model_dump(), indent=1, allow_nan=False) + "\n")


def read(path: Path) -> Optional[Figures]:
    """What `write` wrote, or None if the file is another."""
    try:
        figures = Figures.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return figures if figures.format == FORMAT else None


__all__ = ["FILE_NAME", "ClassFigures", "Confusion", "Figures", "OutputFigures", "SampleFigures", "read", "write"]
