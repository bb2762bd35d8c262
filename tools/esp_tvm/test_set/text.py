"""The figures of a test set for users."""

from __future__ import annotations

from typing import List, Optional

from ..naming import shown
from ..terminal import Part, Table
from .figures import FILE_NAME, Figures, OutputFigures

_CLASSES, _CONFUSIONS = 20, 10


def parts(figures: Figures) -> List[Part]:
    """Lines and tables, output by output."""
    labels = f", labels of {shown(figures.labels)}" if figures.labels else ", without labels"
    beside = f"{shown(figures.model)} in ONNX Runtime"
    count = f"{figures.samples} sample{'s' * (figures.samples != 1)}"
    found: List[Part] = [f"generated C (int8) beside {beside}: {count} of {shown(figures.input)}{labels}"]
    if figures.reference != "float":
        found.append(f"note: {shown(figures.model)} is quantized itself; no float model is compared with")
    for output in figures.outputs:
        found += _output(output, figures)
    return found


def _output(output: OutputFigures, figures: Figures) -> List[Part]:
    reference, name = figures.reference, f"output '{shown(output.name, 40)}'"
    found: List[Part] = []
    if output.float_accuracy is not None:
        above = "" if output.threshold is None else f" (class 1 is above {output.threshold:g})"
        found.append(
            f"{name}: accuracy {reference} {_share(output.float_accuracy)}, int8 {_share(output.int8_accuracy)}{above}"
        )
    if output.float_mean_absolute_error is not None:
        errors = (output.float_mean_absolute_error, output.int8_mean_absolute_error)
        found.append(f"{name}: mean absolute error {reference} {errors[0]:.6g}, int8 {errors[1]:.6g}")
    same = "" if output.agreement is None else f"the same answer as {reference} {_share(output.agreement)}, "
    found.append(f"{name}: {same}SNR {_decibels(output.snr_db)}{' dB' * (output.snr_db is not None)}")
    found += _classes(output, reference)
    if output.confusions:
        found.append("classes most often mixed up (number of samples):")
        rows = [(c.label, c.taken_for, c.float_samples, c.int8_samples) for c in output.confusions[:_CONFUSIONS]]
        found.append(Table(("class", "taken for", reference, "int8"), rows, "rrrr"))
    return [*found, *_worst(output, reference)]


def _classes(output: OutputFigures, reference: str) -> List[Part]:
    if not output.classes:
        return []
    listed = output.classes
    title = "accuracy by class:"
    if len(listed) > _CLASSES:
        listed = sorted(listed, key=lambda one: (one.int8_accuracy, one.label))[:_CLASSES]
        title = f"accuracy by class, the {_CLASSES} lowest of {len(output.classes)} ({FILE_NAME} has all):"
    rows = [
        (c.label, c.samples, *(f"{100 * share:.1f}" for share in (c.float_accuracy, c.int8_accuracy))) for c in listed
    ]
    return [title, Table(("class", "samples", f"{reference} %", "int8 %"), rows, "rrrr")]


def _worst(output: OutputFigures, reference: str) -> List[Part]:
    """The worst samples, with the columns that there are figures for."""
    if not output.worst:
        return []
    first = output.worst[0]
    columns = [
        ("label", "label", str),
        ("float_answer", reference, str),
        ("int8_answer", "int8", str),
        ("float_error", f"error {reference}", "{:.4g}".format),
        ("int8_error", "error int8", "{:.4g}".format),
    ]
    columns = [column for column in columns if getattr(first, column[0]) is not None]
    rows = [
        [one.index, *(form(getattr(one, key)) for key, _, form in columns), _decibels(one.snr_db)]
        for one in output.worst
    ]
    head = ["sample", *(title for _, title, _ in columns), "SNR dB"]
    return ["worst samples (counted from 0), the worst first:", Table(head, rows, "r" * len(head))]


def _share(value: Optional[float]) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _decibels(value: Optional[float]) -> str:
    return "exact" if value is None else f"{value:.1f}"


__all__ = ["parts"]
