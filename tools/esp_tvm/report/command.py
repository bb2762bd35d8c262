"""What `make report` does."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional

from ..data_check import check
from ..errors import UserError
from ..files import write_text
from ..model import load_model
from ..program.samples import as_onnx, load_port_samples
from ..program.store import load
from ..terminal import Part
from ..test_set.command import evaluation_of
from ..test_set.figures import read
from ..test_set.text import parts
from .facts import gather
from .html import as_html
from .text import as_text


def write_report(
    project: str,
    model_path: str,
    input_path: str,
    output: str,
    float_model: Optional[str] = None,
    log_path: Optional[str] = None,
) -> None:
    """Write the report of `project` to `output` (HTML) and beside it as text, and say where they are."""
    page = Path(output)
    text = page.with_suffix(".txt")
    if text == page:
        raise UserError(
            f"{output}: the text goes to the same name with .txt; give the page another, such as report.html"
        )
    model = load_model(model_path)
    inputs = load(Path(project)).inputs
    samples = load_port_samples(input_path, inputs)
    print("\n".join(check("input", as_onnx(inputs, samples), model)))
    title = f"{Path(project).resolve().parent.name}/{Path(model_path).name}"
    report = gather(model, title, Path(project), samples, float_model and load_model(float_model), log_path)
    report.evaluation = _evaluation(evaluation_of(Path(project)), report.model_hash)
    write_text(text, as_text(report))
    write_text(page, as_html(report))
    print(report.comparison[-1] if report.comparison else "not compared")
    print(f"wrote {page} and {text}")


def _evaluation(path: Path, model_hash: str) -> List[Part]:
    """What evaluate found on a test set, if it is there and of this very model."""
    if not path.exists():
        return []
    figures = read(path)
    if figures is None or figures.model_hash != model_hash:
        why = "was not written by evaluate" if figures is None else "is of another model"
        print(f"note: {path} {why} and is not shown; make evaluate writes it anew")
        return []
    return parts(figures)
