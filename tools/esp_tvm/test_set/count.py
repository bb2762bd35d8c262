"""Counting over a test set, output by output, sample by sample."""

from __future__ import annotations

from collections import Counter
from typing import List, Optional, Tuple

import numpy as np

from ..program.form import Port
from ..quantize.report import Noise
from .figures import ClassFigures, Confusion, OutputFigures, SampleFigures
from .labels import Labels, class_count, is_index

# Samples that are kept as the worst.
_WORST = 10


class OutputCounter:
    """The figures of one output; `labels` may be None."""

    def __init__(self, port: Port, labels: Optional[Labels]):
        self.port, self.labels = port, labels or Labels()
        self._noise = Noise()
        self._ratios: List[float] = []
        # (float, int8) of every sample: the answer, or the value that it is taken from.
        self._answers: List[Tuple[float, float]] = []
        self._errors: List[Tuple[float, float]] = []
        one_value = port.elements == 1 and not is_index(port)
        self._by_threshold = one_value and self.labels.classes is not None
        tells = class_count(port) != 0 and not one_value and self.labels.targets is None
        self._has_answers = self._by_threshold or tells

    def add(self, real: np.ndarray, ours: np.ndarray) -> None:
        """What the float model and the generated C give for the next sample."""
        real, ours = (np.asarray(each, np.float64).reshape(-1) for each in (real, ours))
        alone = Noise()
        for noise in (self._noise, alone):
            noise.add(real, ours)
        self._ratios.append(alone.decibels)
        if self._has_answers:
            self._answers.append((self._answer(real), self._answer(ours)))
        if self.labels.targets is not None:
            target = self.labels.targets[len(self._ratios) - 1]
            self._errors.append((float(np.abs(real - target).mean()), float(np.abs(ours - target).mean())))

    def _answer(self, values: np.ndarray) -> float:
        return float(values[0] if len(values) == 1 else values.argmax())

    def figures(self) -> OutputFigures:
        """Of all samples so far."""
        figures = OutputFigures(name=self.port.name, snr_db=_finite(self._noise.decibels))
        if self._has_answers:
            self._judge_answers(figures)
        if self._errors:
            means = np.mean(self._errors, axis=0)
            figures.float_mean_absolute_error, figures.int8_mean_absolute_error = map(float, means)
        figures.worst = self._worst(figures)
        return figures

    def _judged(self, threshold: Optional[float]) -> np.ndarray:
        """int64 [N, 2]: the classes that the float model and the generated C answer."""
        values = np.array(self._answers)
        return (values > threshold if threshold is not None else values).astype(np.int64)

    def _judge_answers(self, figures: OutputFigures) -> None:
        if self._by_threshold:
            # A sigmoid's output is a probability; other models end in the logit.
            values = np.array(self._answers)[:, 0]
            figures.threshold = 0.5 if values.min() >= 0 and values.max() <= 1 else 0.0
        answers = self._judged(figures.threshold)
        figures.agreement = float(np.mean(answers[:, 0] == answers[:, 1]))
        labels = self.labels.classes
        if labels is None:
            return
        right = answers == labels[:, None]
        figures.float_accuracy, figures.int8_accuracy = map(float, right.mean(axis=0))
        for label in np.unique(labels):
            mine = right[labels == label]
            shares = [float(share) for share in mine.mean(axis=0)]
            figures.classes.append(
                ClassFigures(label=int(label), samples=len(mine), float_accuracy=shares[0], int8_accuracy=shares[1])
            )
        figures.confusions = _confusions(labels, answers)

    def _worst(self, figures: OutputFigures) -> List[SampleFigures]:
        """Those that int8 alone answers wrong, then the others with other answers; of targets the largest errors."""
        ratios = np.array(self._ratios)
        keys = [ratios]
        if self._has_answers:
            answers, labels = self._judged(figures.threshold), self.labels.classes
            if labels is not None:
                wrong = answers != labels[:, None]
                keys += [~wrong[:, 1], ~(wrong[:, 1] & ~wrong[:, 0])]
            else:
                keys.append(answers[:, 0] == answers[:, 1])
        elif self._errors:
            keys.append(-np.array(self._errors)[:, 1])
        # The last key counts most.
        worst = []
        for index in np.lexsort(keys)[:_WORST]:
            one = SampleFigures(index=int(index), snr_db=_finite(float(ratios[index])))
            if self._has_answers:
                one.float_answer, one.int8_answer = (int(answer) for answer in answers[index])
                one.label = None if labels is None else int(labels[index])
            if self._errors:
                one.float_error, one.int8_error = self._errors[index]
            worst.append(one)
        return worst


def _confusions(labels: np.ndarray, answers: np.ndarray) -> List[Confusion]:
    counts = [
        Counter((int(label), int(answer)) for label, answer in zip(labels, column) if label != answer)
        for column in answers.T
    ]
    pairs = sorted(set(counts[0]) | set(counts[1]), key=lambda pair: (-counts[1][pair], -counts[0][pair], pair))
    return [
        Confusion(label=pair[0], taken_for=pair[1], float_samples=counts[0][pair], int8_samples=counts[1][pair])
        for pair in pairs
    ]


def _finite(ratio: float) -> Optional[float]:
    """JSON has no infinity: None if nothing differs."""
    return round(ratio, 2) if np.isfinite(ratio) else None


__all__ = ["OutputCounter"]
