"""The report as plain text: the same sections as the page, in the same order."""

from __future__ import annotations

from typing import Callable, List, Tuple

from ..frontend.detections import FoundBox, FoundInPicture, landmarks_text
from ..naming import one_line, shown
from ..terminal import Table, lines_of
from .base import LayerPair
from .brief import decibel, in_brief, number, percent, remark, steps_of, tensor_type
from .facts import Report, Row

# So many boxes are listed; detections.json has all.
_BOXES = 100
# Title, side (r: right), the cell of a row.
Column = Tuple[str, str, Callable[[Row], str]]


def as_text(report: Report) -> str:
    """The whole report."""
    sections = (
        _summary,
        _memory,
        _layers,
        _cores,
        _fallbacks,
        _arena,
        _noise,
        _evaluation,
        _boxes,
        _base,
        _comparison,
        _provenance,
    )
    parts = [section(report) for section in sections]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _summary(report: Report) -> List[str]:
    kernels = len(report.rows) - len(report.fallbacks)
    lines = [
        f"Report of {one_line(report.title)}" + (f", for {report.board or report.chip}" if report.chip else ""),
        f"model {report.model_hash[:16]}; {kernels} kernel calls, {len(report.fallbacks)} fallbacks, "
        f"{number(report.macs)} MAC",
    ]
    lines += [f"{value:>24}  {what}" for _, value, what in in_brief(report)]
    for port in report.ports:
        exponent = "" if port.exponent is None else f", inside {port.steps} * 2^{port.exponent}"
        shape = "x".join(map(str, port.shape))
        lines.append(f"{port.kind:<6} {shown(port.name)}: {port.dtype} {shape}, {number(port.bytes)} bytes{exponent}")
    return lines


def _memory(report: Report) -> List[str]:
    rows = [(row.what, row.memory, number(row.bytes), percent(row.share)) for row in report.memory]
    return ["MEMORY", *Table(("what", "lies in", "bytes", "share"), rows, "llrr").lines(), *report.board_memory]


def _layers(report: Report) -> List[str]:
    columns = _columns(report)
    rows = [[cell(row) for _, _, cell in columns] for row in report.rows]
    table = Table([title for title, _, _ in columns], rows, "".join(side for _, side, _ in columns))
    return ["LAYERS", *table.lines(), *report.loops, *report.estimate]


def _columns(report: Report) -> List[Column]:
    def counted(name: str) -> Callable[[Row], str]:
        return lambda row: number(getattr(row, name)) if getattr(row, name) else ""

    found: List[Column] = [
        ("step", "r", lambda row: str(row.step)),
        ("operator", "l", lambda row: row.operator),
        ("ONNX nodes", "l", lambda row: shown(row.nodes, 44)),
        ("reads", "l", lambda row: sources(report, row)),
        ("kernel", "l", lambda row: row.kernel),
        ("output", "l", tensor_type),
        ("exponent", "r", lambda row: "" if row.exponent is None else str(row.exponent)),
        ("MAC", "r", counted("macs")),
        ("constants", "r", counted("constants")),
        ("activation", "r", counted("activation")),
        ("arena", "r", lambda row: row.where),
    ]
    if report.estimate:
        found.append(("ms, estimate", "r", lambda row: "" if row.estimate is None else f"{row.estimate:.3f}"))
    if report.is_measured:
        found.append(("ms, measured", "r", lambda row: "" if row.measured is None else f"{row.measured:.3f}"))
    if report.shows_time:
        found.append((report.time_unit, "r", lambda row: "" if row.time is None else number(row.time)))
    return [*found, ("SNR dB", "r", lambda row: decibel(row.snr)), ("status", "l", lambda row: row.status)]


def sources(report: Report, row: Row) -> str:
    """Where a step reads: numbers of steps, `input` of the model."""
    inputs = [port for port in report.ports if port.kind == "input"]
    own = ["input" if len(inputs) == 1 else f"input {shown(inputs[port].name, 20)}" for port in row.feeds]
    return ", ".join([*own, *(str(report.rows[place].step) for place in row.reads)])


def _cores(report: Report) -> List[str]:
    return ["CORES", *report.cores] if report.cores else []


def _fallbacks(report: Report) -> List[str]:
    if not report.fallbacks:
        return []
    return ["FALLBACKS (TVM's C, slow)", *[f"{shown(row.nodes, 70)}: {row.reason}" for row in report.fallbacks]]


def _arena(report: Report) -> List[str]:
    """A table of what lies in each arena."""
    lines: List[str] = []
    for second, title in ((False, "ARENA"), (True, "SECOND ARENA, in PSRAM")):
        bars = [bar for bar in report.bars if bar.second == second]
        rows = [(b.offset, b.size, steps_of(report, b), shown(b.label, 70), b.how) for b in bars]
        if rows or not second:
            lines += [*([""] if second else []), title]
            lines += Table(["offset", "bytes", "steps", "holds", "how"], rows, "rrlll").lines()
    return lines


def _noise(report: Report) -> List[str]:
    if not report.noise:
        return []
    lost = {row.step: row.lost for row in report.rows}
    last = {noise.step: noise for noise in report.noise}
    rows = [
        [
            str(noise.step),
            shown(noise.name, 44),
            str(noise.exponent),
            decibel(noise.snr),
            lost_text(lost.get(noise.step)) if last[noise.step] is noise else "",
            "" if noise.worst is None else f"{noise.worst:.3g}",
            "" if noise.offset is None else f"{noise.offset:+.2g}",
            "" if noise.clipped is None else f"{100 * noise.clipped:.2f}",
            remark(noise),
        ]
        for noise in report.noise
    ]
    head = ["step", "tensor", "exponent", "SNR dB", "lost dB", "worst error", "mean error", "% clipped", ""]
    lines = [f"NOISE, int8 against float, {report.noise_where}", *Table(head, rows, "rlrrrrrrl").lines()]
    return lines + [f"output {shown(name)}: {decibel(value)} dB" for name, value in report.output_noise]


def lost_text(lost: float | None) -> str:
    """How many dB a step loses; what it gains, by averaging, has a plus."""
    return "" if lost is None else f"{-lost:+.1f}" if lost < 0 else f"{lost:.1f}"


def _evaluation(report: Report) -> List[str]:
    return ["TEST SET", *lines_of(report.evaluation)] if report.evaluation else []


def boxes_of(report: Report) -> List[Tuple[FoundInPicture, FoundBox]]:
    """The boxes that are listed, each with its picture: the first ones."""
    found = report.detections
    return [] if found is None else [(one, box) for one in found.pictures for box in one.boxes][:_BOXES]


def _boxes(report: Report) -> List[str]:
    found = report.detections
    if found is None:
        return []
    rows = [
        (shown(picture.name, 44), shown(box.label, 30), f"{box.score:.2f}", *map(str, box.edges))
        + ((shown(landmarks_text(box.landmarks), 60),) if found.has_landmarks else ())
        for picture, box in boxes_of(report)
    ]
    head = ("picture", "label", "score", "left", "top", "right", "bottom", "landmarks")
    return [
        "BOXES",
        f"{found.count} boxes in {len(found.pictures)} pictures; those of detection.c are those of NumPy",
        *Table(head[: 7 + found.has_landmarks], rows, "llrrrrrl"[: 7 + found.has_landmarks]).lines(),
    ]


def _base(report: Report) -> List[str]:
    base = report.base
    if base is None:
        return []
    rows = [(one.what, one.text(one.base), one.text(one.own), one.change, one.verdict) for one in base.quantities]
    lines = [
        f"BESIDE THE BASE {one_line(base.title)}" + (f", for {base.chip}" if base.chip else ""),
        *Table(("", "base", "this", "change", ""), rows, "lrrrl").lines(),
    ]
    head = ("ONNX nodes", "ms base", "ms this", "bytes base", "bytes this", "dB base", "dB this", "kernel")
    return [*lines, "", *Table(head, [pair_cells(pair) for pair in base.layers], "lrrrrrrl").lines()]


def pair_cells(pair: LayerPair) -> List[str]:
    """A layer in both programs: milliseconds of the estimate, bytes of its output, dB, its kernel in each."""

    def both(get: Callable[[Row], str]) -> List[str]:
        return ["" if row is None else get(row) for row in (pair.base, pair.own)]

    base, own = both(lambda row: row.kernel.replace("esp_dl_", ""))
    kernel = "the same" if base == own else f"{base} -> {own}"
    if pair.base is None or pair.own is None:
        kernel = f"only in this: {own}" if pair.base is None else f"only in the base: {base}"
    return [
        shown(pair.nodes, 44),
        *both(lambda row: "" if row.estimate is None else f"{row.estimate:.3f}"),
        *both(lambda row: number(row.activation)),
        *both(lambda row: decibel(row.snr)),
        kernel,
    ]


def _comparison(report: Report) -> List[str]:
    return [f"COMPARISON of {report.compared} with the reference", *report.comparison] if report.comparison else []


def _provenance(report: Report) -> List[str]:
    if not report.provenance:
        return []
    return ["MADE FROM", *Table(("what", "value"), report.provenance).lines()]
