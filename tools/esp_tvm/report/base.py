"""A program beside another export: of the same network with other options, or of another model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Sequence, Tuple

from ..errors import UserError
from ..program.store import METADATA, MODEL

if TYPE_CHECKING:
    from .facts import Report, Row

# The project's folder in the folder of a model's products.
_PROJECT = "new_project"


@dataclass
class Quantity:
    """What is compared. base, own: None: not known; form: of a value, as str.format takes it

    better: -1: less is better, 1: more is better, 0: neither
    """

    what: str
    base: Optional[float]
    own: Optional[float]
    form: str = "{:,.0f}"
    better: int = -1

    def text(self, value: Optional[float]) -> str:
        return "" if value is None else self.form.format(value).replace(",", " ")

    @property
    def change(self) -> str:
        """`-12.5 %`; of what is counted in dB or per cent the difference; "" where one is not known."""
        if self.base is None or self.own is None:
            return ""
        if self.base == self.own:
            return "="
        if self.better > 0:
            return f"{self.own - self.base:+.1f}"
        return f"{100 * (self.own / self.base - 1):+.1f} %" if self.base else "new"

    @property
    def verdict(self) -> str:
        """`good`, `bad`, or "" where nothing changes, or neither is better."""
        if self.base is None or self.own is None or self.base == self.own or not self.better:
            return ""
        return "good" if (self.own > self.base) == (self.better > 0) else "bad"


@dataclass
class LayerPair:
    """The rows of both programs that compute the same ONNX nodes; None where one has none."""

    nodes: str
    base: Optional[Row]
    own: Optional[Row]


@dataclass
class BaseComparison:
    """title: of the base; chip: its own"""

    title: str
    chip: str
    quantities: List[Quantity] = field(default_factory=list)
    layers: List[LayerPair] = field(default_factory=list)


def project_in(path: str) -> Path:
    """The project at `path`: that folder itself, or new_project in it."""
    for folder in (Path(path), Path(path) / _PROJECT):
        if (folder / MODEL / METADATA).is_file():
            return folder
    raise UserError(f"{path}: is not a project that the export step wrote, nor a folder with its {_PROJECT}")


def compared(base: Report, own: Report) -> BaseComparison:
    """`own` beside `base`."""
    result = BaseComparison(base.title, base.chip)
    result.quantities = [one for one in _quantities(base, own) if one.base is not None or one.own is not None]
    result.layers = _pairs(base.rows, own.rows)
    return result


def _quantities(base: Report, own: Report) -> List[Quantity]:
    def of(what: str, get, form: str = "{:,.0f}", better: int = -1) -> Quantity:
        return Quantity(what, get(base), get(own), form, better)

    return [
        of("ms for an inference, estimate", lambda r: r.total_estimate and r.total_estimate[0], "{:,.3f}"),
        of("arena, bytes", lambda r: r.arena_bytes),
        of("inputs and outputs, bytes", lambda r: r.port_bytes),
        of("weights and tables, bytes", lambda r: r.constant_bytes),
        of("multiply-accumulates", lambda r: r.macs),
        of("steps", lambda r: len(r.rows), better=0),
        of("of these without an integer kernel", lambda r: len(r.fallbacks)),
        of("signal to noise of the output, dB", _output_ratio, "{:.1f}", 1),
        of("accuracy of the generated C, %", _accuracy, "{:.1f}", 1),
    ]


def _output_ratio(report: Report) -> Optional[float]:
    return min((value for _, value in report.output_noise), default=None)


def _accuracy(report: Report) -> Optional[float]:
    if report.figures is None:
        return None
    shares = [one.int8_accuracy for one in report.figures.outputs if one.int8_accuracy is not None]
    return 100 * min(shares) if shares else None


def _pairs(base: Sequence[Row], own: Sequence[Row]) -> List[LayerPair]:
    """In the order of `own`; what only the base has comes where it stands there."""
    left, places = _by_nodes(base), {id(row): place for place, row in enumerate(base)}
    pairs: List[Tuple[float, LayerPair]] = []
    last = -1.0
    for nodes, row in _by_nodes(own).items():
        other = left.pop(nodes, None)
        last = places[id(other)] if other is not None else last + 0.001
        pairs.append((last, LayerPair(nodes, other, row)))
    pairs += [(places[id(row)], LayerPair(nodes, row, None)) for nodes, row in left.items()]
    return [pair for _, pair in sorted(pairs, key=lambda one: one[0])]


def _by_nodes(rows: Sequence[Row]) -> dict:
    """Rows by their ONNX nodes, and by a number where several compute the same (a layer cut in two)."""
    found: dict = {}
    for row in rows:
        name, number = row.nodes, 2
        while name in found:
            name, number = f"{row.nodes} ({number})", number + 1
        found[name] = row
    return found


__all__ = ["BaseComparison", "LayerPair", "Quantity", "compared", "project_in"]
