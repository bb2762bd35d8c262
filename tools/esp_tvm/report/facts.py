"""Everything the report of a model shows, gathered once; `text.py` and `html.py` only show it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np
import onnx

from ..data_check import FEW
from ..errors import UserError
from ..estimate.text import estimate_lines
from ..naming import shown
from ..program.both_cores import cores_lines
from ..program.form import Call, Loop, Place, Program, Tensor
from ..program.ports import all_to_onnx
from ..program.store import load
from ..run.host_log import LoggingProgram
from ..run.reference import check_same_model
from ..terminal import Part
from ..trace.log import LogReader, text_lines
from .compare_log import DIFFERS, EQUAL, LogComparer, RunComparison, describe_run, judge
from .noise import NoiseMeter, TensorNoise, noted

# Samples that are run on this computer for the report, and looked at beside the float model.
NOISE_SAMPLES = 32


@dataclass
class Row:
    """One call of the program.

    kernel: the C function that computes it, "" where no code is needed; reason: why it has no kernel of ours
    shape: as in memory; macs: multiply-accumulates; constants: bytes of weights and tables; activation: of its output
    time: in `Report.time_unit`, of a board or an emulator; status: of the comparison
    estimate: milliseconds on the chip, None where there is none
    """

    step: int
    nodes: str
    operator: str
    kernel: str
    tensor: str
    dtype: str
    shape: Tuple[int, ...]
    exponent: Optional[int]
    macs: int
    constants: int
    activation: int
    where: str
    symbol: str
    reason: str = ""
    time: Optional[int] = None
    estimate: Optional[float] = None
    status: str = ""
    snr: Optional[float] = None

    @property
    def is_fallback(self) -> bool:
        return bool(self.reason)


@dataclass
class Bar:
    """A stretch of the arena that one or more tensors hold from step `first` to `last`."""

    offset: int
    size: int
    first: int
    last: int
    label: str


@dataclass
class PortRow:
    """A model input or output."""

    kind: str
    name: str
    dtype: str
    shape: Tuple[int, ...]
    exponent: Optional[int]
    bytes: int
    inside: str = "int8"


@dataclass
class Report:
    """See the fields' names; cores: what two cores compute, empty for a program on one; estimate: its lines

    comparison: the lines that compare_log prints, equal: its verdict
    evaluation: lines and tables about the test set, empty where there was none
    """

    title: str
    model_hash: str
    chip: str
    ports: List[PortRow]
    rows: List[Row]
    bars: List[Bar]
    arena_bytes: int
    constant_bytes: int
    cores: List[str] = field(default_factory=list)
    estimate: List[str] = field(default_factory=list)
    noise: List[TensorNoise] = field(default_factory=list)
    noise_where: str = ""
    output_noise: List[Tuple[str, float]] = field(default_factory=list)
    time_unit: str = ""
    time_source: str = ""
    comparison: List[str] = field(default_factory=list)
    equal: Optional[bool] = None
    compared: str = ""
    evaluation: List[Part] = field(default_factory=list)

    @property
    def time_label(self) -> str:
        """The unit of the times; microseconds are always a computer's, chips count cycles."""
        return "us, this computer" if self.time_unit == "us" else self.time_unit or "time"

    @property
    def shows_time(self) -> bool:
        """Whether there are times to show: this computer's say nothing of a chip, for which there is an estimate."""
        return bool(self.time_unit) and not (self.time_unit == "us" and self.estimate)

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)

    @property
    def port_bytes(self) -> int:
        return sum(port.bytes for port in self.ports)

    @property
    def fallbacks(self) -> List[Row]:
        return [row for row in self.rows if row.is_fallback]


def gather(
    model: onnx.ModelProto,
    title: str,
    project: Path,
    samples: Dict[str, np.ndarray],
    float_model: Optional[onnx.ModelProto] = None,
    log_path: Optional[str] = None,
) -> Report:
    """The report of a quantized model and its exported project.

    samples: ONNX input name -> array [N, ...]; float_model: what it was quantized from, for the noise
    log_path: a log to compare and to take times from; without one the generated C is run on this computer
    """
    program = load(project)
    check_same_model(program, project, model)
    report = Report(
        title=title,
        model_hash=program.model_hash,
        chip=program.target_chip,
        ports=_ports(program),
        rows=[_row(call) for call in program.calls()],
        bars=arena_bars(program),
        cores=cores_lines(program) if program.cores > 1 else [],
        estimate=estimate_lines(program),
        arena_bytes=program.arena_bytes,
        constant_bytes=program.constant_bytes,
    )
    comparer = LogComparer(project, samples, program)
    _compare(report, comparer, project, log_path)
    _gather_noise(report, comparer, model, float_model)
    return report


# --- the model --------------------------------------------------------------------------------------------


def _ports(program: Program) -> List[PortRow]:
    return [
        PortRow(kind, port.name, port.dtype, port.shape, port.exponent, port.bytes, port.inside or "")
        for kind, ports in (("input", program.inputs), ("output", program.outputs))
        for port in ports
    ]


def _row(call: Call) -> Row:
    output, place = call.writes[0], call.writes[0].place
    kernel = "TVM's C" if call.is_fallback else call.kernel
    if call.is_view:
        kernel = "nothing to do"
    if call.split is not None:
        kernel += f", {call.split.axis} cut at {call.split.cut}"
    if call.slowest > 1:
        kernel += f", for some data up to {call.slowest:.1f} times as long"
    relay = ", ".join(dict.fromkeys(name.rsplit(".", 1)[-1] for name in call.relay))
    return Row(
        step=call.index,
        nodes=", ".join(call.all_nodes) or relay or "(layout change)",
        operator=call.title if call.operator else "fallback",
        kernel=kernel,
        tensor=output.name,
        dtype="" if call.is_fallback else output.dtype,
        shape=output.shape,
        exponent=output.exponent if output.dtype.startswith("int") else None,
        macs=call.macs,
        constants=sum(constant.array.nbytes for constant in call.constants),
        activation=0 if call.is_view else sum(tensor.bytes for tensor in call.writes),
        where=_where(place),
        symbol=call.symbol,
        reason=call.reason,
        estimate=_milliseconds(call),
    )


def _where(place: Optional[Place]) -> str:
    """The offset in the arena, of a window with its rows; else what the tensor lies in."""
    if place is None:
        return "-"
    if place.kind == "window":
        return f"{place.offset} ({place.rows} rows)"
    return str(place.offset) if place.kind == "arena" else place.kind


def _spans(program: Program) -> Dict[Call, Tuple[int, int]]:
    """The first and the last step of the loop that a call is in, or its own twice."""
    spans: Dict[Call, Tuple[int, int]] = {}
    for item in program.items:
        calls = item.calls if isinstance(item, Loop) else [item]
        spans.update(dict.fromkeys(calls, (len(spans), len(spans) + len(calls) - 1)))
    return spans


def _milliseconds(call: Call) -> Optional[float]:
    """Of the estimate, where it knows all of a call."""
    time = call.estimate
    return None if time is None or time.instructions is None else time.microseconds / 1000


def arena_bars(program: Program) -> List[Bar]:
    """What lies in the arena: every tensor that owns its bytes, and scratch memory, by the calls that need it.

    Bars count calls by their places in the order of execution.
    """
    bars: Dict[Tensor, Bar] = {}
    more: List[Bar] = []
    spans = _spans(program)
    for step, call in enumerate(program.calls()):
        first, last = spans[call]
        for tensor in call.reads:
            if tensor.root in bars:
                # A loop reads what others made until its last strip.
                made_here = bars[tensor.root].first >= first
                bars[tensor.root].last = max(bars[tensor.root].last, step if made_here else last)
        for tensor in call.writes:
            place = tensor.place
            if tensor.source is None and place is not None and place.kind in ("arena", "window"):
                label = shown(tensor.name, 40) or f"step {call.index}"
                whole = place.kind == "arena" or place.kept
                label += f" ({place.rows} rows)" if place.kind == "window" else ""
                bars[tensor] = Bar(place.offset, tensor.lying, first if whole else step, last if whole else step, label)
        if call.scratch is not None and call.scratch.bytes:
            more.append(Bar(call.scratch.offset, call.scratch.bytes, step, step, f"scratch of step {call.index}"))
    return sorted([*bars.values(), *more], key=lambda bar: (bar.first, bar.offset))


# --- the comparison ---------------------------------------------------------------------------------------


def _compare(report: Report, comparer: LogComparer, project: Path, log_path: Optional[str]) -> None:
    """Compare and take times, from a log or from a run on this computer."""
    reader = LogReader()
    if log_path is not None:
        report.compared = report.time_source = f"the log {Path(log_path).name}"
        try:
            with open(log_path, "rb") as stream:
                runs = list(comparer.runs(text_lines(stream), reader))
        except OSError as error:
            raise UserError(f"{log_path}: cannot read this log ({error.strerror})")
    else:
        report.compared = report.time_source = "the generated C on this computer"
        log = LoggingProgram(project, "tensors").log({n: a[:NOISE_SAMPLES] for n, a in comparer.samples.items()})
        runs = list(comparer.runs(log.splitlines(), reader))
    report.equal, verdict = judge(runs, reader)
    wrong = [(i, run) for i, run in enumerate(runs) if not run.equal]
    for ordinal, run in wrong[:3]:
        report.comparison += describe_run(run, ordinal + 1)
    report.comparison.append(verdict)
    _put_status(report, runs)


def _put_status(report: Report, runs: List[RunComparison]) -> None:
    """The worst status and the median time of every step."""
    times: Dict[int, List[int]] = {}
    rows = {row.step: row for row in report.rows}
    for run in runs:
        report.time_unit = report.time_unit or run.run.unit
        for layer in run.layers:
            row = rows[layer.expected.step]
            if layer.time is not None:
                times.setdefault(row.step, []).append(layer.time)
            if row.status in ("", EQUAL) or layer.status == DIFFERS:
                row.status = layer.status
    for step, values in times.items():
        rows[step].time = int(np.median(values))


# --- the noise --------------------------------------------------------------------------------------------


def _gather_noise(
    report: Report, comparer: LogComparer, model: onnx.ModelProto, float_model: Optional[onnx.ModelProto]
) -> None:
    """The quantizer's figures; on enough samples also what the tensors look like beside the float model's.

    One sample says little: what the quantizer did to a tensor on purpose, and noise, cannot be told apart.
    """
    calls = [(call.index, one) for call in comparer.program.kernels for one in (call, *call.followers)]
    outputs = [port.name for port in comparer.program.outputs]
    found = noted(model, calls, outputs)
    if float_model is not None and comparer.count >= FEW:
        meter = NoiseMeter(float_model, calls, outputs)
        count = min(comparer.count, NOISE_SAMPLES)
        for index in range(count):
            sample = {name: array[index] for name, array in comparer.samples.items()}
            evaluation, program = comparer.evaluation(index), comparer.program
            outputs = all_to_onnx(program.outputs, evaluation.outputs)
            meter.add(all_to_onnx(program.inputs, sample), replace(evaluation, outputs=outputs))
        report.noise, report.output_noise = meter.result(), meter.outputs()
        report.noise_where = f"on {count} samples of INPUT"
    if found is not None:
        own, report.output_noise, report.noise_where = found
        seen = {noise.name: noise for noise in report.noise}
        report.noise = [replace(seen.get(noise.name, noise), snr=noise.snr) for noise in own]
    ratios = {noise.step: noise.snr for noise in report.noise}
    for row in report.rows:
        row.snr = ratios.get(row.step)
