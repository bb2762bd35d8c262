"""The report as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Dict, List, Tuple

import jinja2
import numpy as np
from markupsafe import Markup

from .. import pictures
from ..data_check import FEW
from ..frontend.detections import landmarks_text
from ..naming import shown
from .arena import SCRATCH, TENSOR, WINDOW
from .brief import decibel, in_brief, number, percent, remark, tensor_type
from .compare_log import DIFFERS, EQUAL, MISSING
from .facts import Report
from .graph import arenas, graph
from .noise import TensorNoise
from .text import boxes_of, lost_text, pair_cells, sources

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
    filters = (shown, number, decibel, percent, remark, tensor_type, sources, lost_text, pair_cells, zip)
    for function in (*filters, landmarks_text):
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
            brief=[(kind, _unbroken(value), _unbroken(what)) for kind, value, what in in_brief(report)],
            graph=graph(report),
            most=_most(report),
            status_class=_STATUS,
            legend=_legend(report),
            arenas=arenas(report),
            few=FEW,
            most_lost=max([1.0, *(row.lost for row in report.rows if row.lost is not None)]),
            lost={row.step: row.lost for row in report.rows},
            blocks={bar.step for bar in report.bars if bar.kind != SCRATCH},
            noisy={noise.step for noise in report.noise},
            most_snr=max([1.0, *(noise.snr for noise in report.noise if np.isfinite(noise.snr))]),
            histograms=_histograms(report),
            boxes=boxes_of(report),
        )
    )


def _unbroken(text: str) -> str:
    """Numbers stay whole and beside their unit where a line ends."""
    return re.sub(r"(?<=\d) (?=\d|%|B\b|ms\b|dB\b)", "\u00a0", text)


def _most(report: Report) -> Dict[str, float]:
    """The largest number in each column of the layers that has bars behind its numbers."""
    columns = ("macs", "constants", "activation", "estimate", "time", "measured")
    return {column: max((getattr(row, column) or 0 for row in report.rows), default=0) for column in columns}


def _legend(report: Report) -> List[Tuple[str, str]]:
    """(classes, what it is) of what the picture has."""
    kinds = {bar.kind for bar in report.bars}
    found = [
        (TENSOR in kinds, "block", "a tensor"),
        (WINDOW in kinds, "block window", "a window: some rows of an image at a time"),
        (any(bar.over for bar in report.bars), "shared", "computed in place: written over what is read"),
        (SCRATCH in kinds, "scratch", "scratch memory of a kernel"),
        (bool(report.loops), "strips", "these run together, strip by strip"),
    ]
    return [(kind, what) for there, kind, what in found if there]


def _histograms(report: Report) -> List[Tuple[TensorNoise, Markup]]:
    """The noisiest tensors that enough samples were counted of, the worst first."""
    worst = sorted((n for n in report.noise if np.isfinite(n.snr) and n.edges is not None), key=lambda n: n.snr)
    return [(n, pictures.histogram(n.float_counts, n.int_counts, n.edges)) for n in worst[:_WORST]]
