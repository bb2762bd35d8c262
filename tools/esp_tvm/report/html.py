"""The report as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import jinja2
import numpy as np
from markupsafe import Markup

from .. import pictures
from ..data_check import FEW
from ..naming import shown
from .compare_log import DIFFERS, EQUAL, MISSING
from .facts import Report
from .noise import TensorNoise
from .text import decibel, number, remark, tensor_type

_HERE = Path(__file__).parent
_WORST = 6
_STATUS = {EQUAL: "good", DIFFERS: "bad", MISSING: "bad"}


@functools.lru_cache(maxsize=None)
def _environment() -> jinja2.Environment:
    """Names of models are anything at all: whatever is not Markup is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(_HERE / "templates")),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=True,
    )
    for function in (shown, number, decibel, remark, tensor_type):
        environment.filters[function.__name__] = function
    return environment


def as_html(report: Report) -> str:
    """The whole page."""
    style, script = (Markup((_HERE / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            style=style,
            script=script,
            cards=_cards(report),
            most=_most(report),
            status_class=_STATUS,
            arena=_arena(report),
            few=FEW,
            most_snr=max([1.0, *(noise.snr for noise in report.noise if np.isfinite(noise.snr))]),
            histograms=_histograms(report),
        )
    )


def _cards(report: Report) -> List[Tuple[str, str, str]]:
    """The numbers on top: (class, value, what it is)."""
    worst = min((noise.snr for noise in report.noise), default=None)
    outputs = [value for _, value in report.output_noise]
    steps = len(report.rows)
    cards = [
        ("", number(report.macs), "multiply-accumulates"),
        ("", f"{number(report.constant_bytes)} B", "weights and tables, in flash"),
        ("", f"{number(report.arena_bytes)} B", "arena for activations, in RAM"),
        ("", f"{number(report.port_bytes)} B", "inputs and outputs, in RAM"),
        (
            "bad" if report.fallbacks else "good",
            f"{steps - len(report.fallbacks)} / {steps}",
            "steps with an integer kernel",
        ),
    ]
    if outputs:
        cards.append(("", f"{decibel(min(outputs))} dB", "signal to noise of the output"))
    elif worst is not None:
        cards.append(("", f"{decibel(worst)} dB", "signal to noise of the worst layer"))
    if report.equal is not None:
        cards.append(("good" if report.equal else "bad", "equal" if report.equal else "differs", "from the reference"))
    return cards


def _most(report: Report) -> Dict[str, float]:
    """The largest number in each column of the layers that has bars behind its numbers."""
    columns = ("macs", "constants", "activation", "estimate", "time")
    return {column: max((getattr(row, column) or 0 for row in report.rows), default=0) for column in columns}


def _arena(report: Report) -> Optional[Markup]:
    if not report.bars or not report.arena_bytes:
        return None
    return pictures.arena(report.bars, len(report.rows), report.arena_bytes)


def _histograms(report: Report) -> List[Tuple[TensorNoise, Markup]]:
    """The noisiest tensors that enough samples were counted of, the worst first."""
    worst = sorted((n for n in report.noise if np.isfinite(n.snr) and n.edges is not None), key=lambda n: n.snr)
    return [(n, pictures.histogram(n.float_counts, n.int_counts, n.edges)) for n in worst[:_WORST]]
