"""Everything the report of a model shows, gathered once; `text.py` and `html.py` only show it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np
import onnx

from ..data_check import FEW
from ..errors import UserError
from ..estimate import ERROR, sum_of
from ..estimate.text import estimate_lines
from ..frontend.detections import Detections
from ..program.both_cores import cores_lines
from ..program.evaluate import output_tensors
from ..program.form import Call, Loop, Place, Program, Tensor
from ..program.in_strips import strips_line
from ..program.ports import all_to_onnx, centred_text
from ..program.store import load
from ..run.host_log import LoggingProgram
from ..run.reference import check_same_model
from ..terminal import Part
from ..test_set.figures import Figures
from ..trace.log import LogReader, text_lines
from .arena import IN_ARENA, Bar, arena_bars
from .base import BaseComparison
from .compare_log import DIFFERS, EQUAL, LogComparer, RunComparison, describe_run, judge, only_profiles
from .memory import MemoryRow, memory_rows
from .noise import NoiseMeter, TensorNoise, noted
from .profile import clock_of, measured
from .provenance import provenance

# Samples that are run on this computer for the report, and looked at beside the float model.
NOISE_SAMPLES = 32


@dataclass
class Row:
    """One call of the program.

    kernel: the C function that computes it, "" where no code is needed; reason: why it has no kernel of ours
    shape: as in memory; macs: multiply-accumulates; constants: bytes of weights and tables; activation: of its output
    reads: the rows that make what it reads, by their places in `Report.rows`; feeds, gives: model inputs that it reads
        and model outputs that it writes, by their places among those ports
    loop: which of `Report.loops` it runs in, None: none
    block: the step whose block of the arena has its output, None: it lies elsewhere
    time: in `Report.time_unit`, of a board or an emulator; measured: the same in milliseconds, of a chip alone
    estimate: milliseconds on the chip, None where there is none; status: of the comparison
    snr: of its output, dB; lost: by how much that is less than of what it reads, None where that has no noise
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
    reads: List[int] = field(default_factory=list)
    feeds: List[int] = field(default_factory=list)
    gives: List[int] = field(default_factory=list)
    loop: Optional[int] = None
    block: Optional[int] = None
    time: Optional[int] = None
    measured: Optional[float] = None
    estimate: Optional[float] = None
    status: str = ""
    snr: Optional[float] = None
    lost: Optional[float] = None

    @property
    def is_fallback(self) -> bool:
        return bool(self.reason)


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
    zero_point: int = 0

    @property
    def steps(self) -> str:
        """How many steps the integers inside stand for: `int8`, `(int8 + 128)`."""
        return centred_text(self.inside, self.zero_point)


@dataclass
class Report:
    """See the fields' names; cores: what two cores compute, empty for a program on one; estimate: its lines

    loops: a line about each group of calls that run together in strips
    total_estimate: milliseconds of an inference (likely, least, most), None where there is no estimate
    total_measured: milliseconds on the board by its log; board_memory: lines about what the board
        said of its memory
    comparison: the lines that compare_log prints, equal: its verdict, None where nothing was compared
    evaluation: lines and tables about the test set, empty where there was none; figures: the same as numbers
    detections: what a detector found in pictures, None where it was not tried
    provenance: (what, value) of what it was made from and with
    base: beside another export, None without one
    """

    title: str
    model_hash: str
    chip: str
    ports: List[PortRow]
    rows: List[Row]
    bars: List[Bar]
    arena_bytes: int
    constant_bytes: int
    psram_arena_bytes: int = 0
    board: str = ""
    memory: List[MemoryRow] = field(default_factory=list)
    loops: List[str] = field(default_factory=list)
    cores: List[str] = field(default_factory=list)
    estimate: List[str] = field(default_factory=list)
    total_estimate: Optional[Tuple[float, float, float]] = None
    total_measured: Optional[float] = None
    board_memory: List[str] = field(default_factory=list)
    noise: List[TensorNoise] = field(default_factory=list)
    noise_where: str = ""
    output_noise: List[Tuple[str, float]] = field(default_factory=list)
    time_unit: str = ""
    time_source: str = ""
    comparison: List[str] = field(default_factory=list)
    equal: Optional[bool] = None
    compared: str = ""
    evaluation: List[Part] = field(default_factory=list)
    figures: Optional[Figures] = None
    detections: Optional[Detections] = None
    provenance: List[Tuple[str, str]] = field(default_factory=list)
    base: Optional[BaseComparison] = None

    @property
    def shows_time(self) -> bool:
        """Whether a log had times worth showing: this computer's (in us) say nothing of a chip."""
        return self.time_unit not in ("", "us")

    @property
    def is_measured(self) -> bool:
        """Whether there are milliseconds of the chip itself."""
        return any(row.measured is not None for row in self.rows)

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)

    @property
    def port_bytes(self) -> int:
        return sum(port.bytes for port in self.ports)

    @property
    def before_softmax(self) -> Optional[float]:
        """The worst ratio in dB of what a softmax at an output reads, None without one: that hides noise of large
        logits."""
        found = []
        for row in self.rows:
            last = row if row.gives else None
            if last is not None and last.operator == "quantize" and len(last.reads) == 1:
                last = self.rows[last.reads[0]]
            if last is not None and last.operator.startswith("softmax"):
                found += [_ratio_before(self.rows, place) for place in last.reads]
        return min((ratio for ratio in found if ratio is not None), default=None)

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
    report = described(program, title)
    report.provenance = provenance(program, project, model)
    comparer = LogComparer(project, samples, program)
    _compare(report, comparer, project, log_path)
    _gather_noise(report, comparer, model, float_model)
    return report


def described(program: Program, title: str) -> Report:
    """What the project alone tells."""
    return Report(
        title=title,
        model_hash=program.model_hash,
        chip=program.target_chip,
        board=program.board,
        ports=_ports(program),
        rows=_rows(program),
        bars=arena_bars(program),
        memory=memory_rows(program),
        loops=[strips_line(item) for item in program.items if isinstance(item, Loop)],
        cores=cores_lines(program) if program.cores > 1 else [],
        estimate=estimate_lines(program),
        total_estimate=_total_estimate(program),
        arena_bytes=program.arena_bytes,
        psram_arena_bytes=program.psram_arena_bytes,
        constant_bytes=program.constant_bytes,
    )


# --- the model --------------------------------------------------------------------------------------------


def _ports(program: Program) -> List[PortRow]:
    return [
        PortRow(kind, port.name, port.dtype, port.shape, port.exponent, port.bytes, port.inside or "", port.zero_point)
        for kind, ports in (("input", program.inputs), ("output", program.outputs))
        for port in ports
    ]


def _rows(program: Program) -> List[Row]:
    """A row for each call, with what it reads and writes."""
    rows = [_row(call) for call in program.calls()]
    made: Dict[Tensor, int] = {}
    outputs = output_tensors(program)
    for place, (row, call) in enumerate(zip(rows, program.calls())):
        for tensor in call.reads:
            if tensor in made:
                row.reads.append(made[tensor])
            elif tensor in program.inputs:
                row.feeds.append(program.inputs.index(tensor))
        row.reads, row.feeds = (list(dict.fromkeys(found)) for found in (row.reads, row.feeds))
        made.update(dict.fromkeys(call.writes, place))
        row.gives = [i for i, port in enumerate(program.outputs) if outputs.get(port) in call.writes]
        root = call.writes[0].root
        in_arena = root.place is not None and root.place.kind in IN_ARENA
        row.block = rows[made[root]].step if in_arena and root in made else None
    for number, loop in enumerate(item for item in program.items if isinstance(item, Loop)):
        indices = {call.index for call in loop.calls}
        for row in rows:
            row.loop = number if row.step in indices else row.loop
    return rows


def _total_estimate(program: Program) -> Optional[Tuple[float, float, float]]:
    """Milliseconds (likely, least, most), None for the host."""
    if not any(call.estimate is not None for call in program.calls()):
        return None
    time = sum_of(program)[0].microseconds / 1000
    return time, time / ERROR, time * ERROR


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
    if place.kind == "psram_arena":
        return f"PSRAM: {place.offset}"
    return str(place.offset) if place.kind == "arena" else place.kind


def _milliseconds(call: Call) -> Optional[float]:
    """Of the estimate, where it knows all of a call."""
    time = call.estimate
    return None if time is None or time.instructions is None else time.microseconds / 1000


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
    if only_profiles(runs):
        report.equal = None
    wrong = [(i, run) for i, run in enumerate(runs) if not run.equal]
    for ordinal, run in wrong[:3]:
        report.comparison += describe_run(run, ordinal + 1)
    report.comparison.append(verdict)
    _put_status(report, comparer.program, runs)


def _put_status(report: Report, program: Program, runs: List[RunComparison]) -> None:
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
    told = next((run.run.memory for run in reversed(runs) if run.run.memory), {})
    mhz = clock_of(program, report.time_unit, told)
    profile = measured(program, [run.run for run in runs])
    report.board_memory = profile.memory_lines() if profile is not None else []
    if mhz is not None:
        for row in report.rows:
            row.measured = None if row.time is None else row.time / mhz / 1000
        report.total_measured = sum(row.measured or 0.0 for row in report.rows) if times else None


# --- the noise --------------------------------------------------------------------------------------------


def _gather_noise(
    report: Report, comparer: LogComparer, model: onnx.ModelProto, float_model: Optional[onnx.ModelProto]
) -> None:
    """The quantizer's figures; on enough samples also what the tensors look like beside the float model's.

    One sample says little: what the quantizer did to a tensor on purpose, and noise, cannot be told apart.
    """
    calls, outputs = _computations(comparer.program)
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
    put_noted_noise(report, comparer.program, model)


def _computations(program: Program) -> Tuple[List[Tuple[int, Call]], List[str]]:
    """([(step, what a kernel computes)], names of the outputs)"""
    calls = [(call.index, one) for call in program.kernels for one in (call, *call.followers)]
    return calls, [port.name for port in program.outputs]


def put_noted_noise(report: Report, program: Program, model: onnx.ModelProto) -> None:
    """The ratios that the quantizer noted in `model`, in place of those measured here; then what each step lost."""
    found = noted(model, *_computations(program))
    if found is not None:
        own, report.output_noise, report.noise_where = found
        seen = {noise.name: noise for noise in report.noise}
        report.noise = [replace(seen.get(noise.name, noise), snr=noise.snr) for noise in own]
    ratios = {noise.step: noise.snr for noise in report.noise}
    for row in report.rows:
        row.snr = ratios.get(row.step)
    for row in report.rows:
        before = [ratio for ratio in (_ratio_before(report.rows, place) for place in row.reads) if ratio is not None]
        if row.snr is not None and np.isfinite(row.snr) and before and np.isfinite(min(before)):
            row.lost = min(before) - row.snr


def _ratio_before(rows: List[Row], place: int) -> Optional[float]:
    """The signal-to-noise ratio of what row `place` gives; of one that moves values that of what it reads."""
    while rows[place].snr is None:
        if len(rows[place].reads) != 1:
            return None
        (place,) = rows[place].reads
    return rows[place].snr
