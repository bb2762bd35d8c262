"""What `make report` does."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ..data_check import check
from ..errors import UserError
from ..files import write_text
from ..frontend import detections
from ..model import load_model
from ..program.samples import as_onnx, rounding
from ..program.store import load
from ..run.reference import check_same_model, load_steps
from ..test_set.command import evaluation_of
from ..test_set.figures import read
from ..test_set.text import parts
from .base import BaseComparison, compared, project_in
from .compare_log import EXAMPLE_RUNS
from .facts import Report, described, gather, put_noted_noise
from .html import as_html
from .text import as_text

_QUANTIZED = "model_quant.onnx"


def write_report(
    project: str,
    model_path: str,
    input_path: str,
    output: str,
    float_model: Optional[str] = None,
    log_path: Optional[str] = None,
    base: Optional[str] = None,
) -> None:
    """Write the report of `project` to `output` (HTML) and beside it as text, and say where they are.

    base: another project, or the folder that has it, to set beside this one
    """
    page = Path(output)
    text = page.with_suffix(".txt")
    if text == page:
        raise UserError(
            f"{output}: the text goes to the same name with .txt; give the page another, such as report.html"
        )
    other = project_in(base) if base else None
    model = load_model(model_path)
    program = load(Path(project))
    samples = load_steps(input_path, program, Path(project), EXAMPLE_RUNS if log_path else 1)
    own = program.callers_inputs
    print("\n".join(check("input", as_onnx(own, samples), model, rounding(own))))
    title = f"{Path(project).resolve().parent.name}/{Path(model_path).name}"
    report = gather(model, title, Path(project), samples, float_model and load_model(float_model), log_path)
    _put_evaluation(report, Path(project))
    put_detections(report, Path(project))
    if other is not None:
        report.base = _beside(report, other)
    write_text(text, as_text(report))
    write_text(page, as_html(report))
    print(report.comparison[-1] if report.comparison else "not compared")
    print(f"wrote {page} and {text}")


def _put_evaluation(report: Report, project: Path) -> None:
    """What evaluate found on a test set, if it is there and of this very model."""
    path = evaluation_of(project)
    if not path.exists():
        return
    figures = read(path)
    if figures is None or figures.model_hash != report.model_hash:
        why = "was not written by evaluate" if figures is None else "is of another model"
        print(f"note: {path} {why} and is not shown; make evaluate writes it anew")
        return
    report.figures, report.evaluation = figures, parts(figures)


def put_detections(report: Report, project: Path) -> None:
    """What detect found in pictures, if that is there and by this very model."""
    path = detections.detections_of(project)
    if not path.exists():
        return
    found = detections.read(path)
    if found is None or found.model_hash != report.model_hash:
        why = "was not written by detect" if found is None else "is of another model"
        print(f"note: {path} {why} and is not shown; make detect writes it anew")
        return
    report.detections = found


def _beside(report: Report, project: Path) -> BaseComparison:
    """`report` beside what the project of the base tells, with the noise of its model if that lies beside it."""
    program = load(project)
    base = described(program, project.resolve().parent.name)
    _put_evaluation(base, project)
    path = project.parent / _QUANTIZED
    if path.is_file():
        model = load_model(str(path))
        try:
            check_same_model(program, project, model)
        except UserError:
            print(f"note: {path} is not the model of {project}: the base is shown without noise")
        else:
            put_noted_noise(base, program, model)
    return compared(base, report)
