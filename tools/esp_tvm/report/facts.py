"""Everything the report of a model shows, gathered once; `text.py` and `html.py` only show it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np
import onnx

from ..compile import CompiledModel, compile_model
from ..errors import UserError
from ..naming import shown
from ..operators import OPERATORS
from ..run.compare import check_same_model
from ..run.host import HostProgram
from .compare_log import DIFFERS, EQUAL, LogComparer, RunComparison, describe_run, judge
from .cores import cores_lines
from .host_log import LoggingProgram
from .log import LogReader, text_lines
from .noise import NoiseMeter, TensorNoise

NOISE_SAMPLES = 16


@dataclass
class Row:
    """One step of main.

    kernel: the C function that computes it, "" where no code is needed; reason: why it has no kernel of ours
    shape: as in memory; macs: multiply-accumulates; constants: bytes of weights and tables; activation: of its output
    time: in `Report.time_unit`; status: of the comparison
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
    """See the fields' names; cores: what two cores compute, empty for a program on one.

    comparison: the lines that compare_log prints, equal: its verdict
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
    noise: List[TensorNoise] = field(default_factory=list)
    noise_samples: int = 0
    output_noise: List[Tuple[str, float]] = field(default_factory=list)
    time_unit: str = ""
    time_source: str = ""
    comparison: List[str] = field(default_factory=list)
    equal: Optional[bool] = None
    compared: str = ""

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
    program = ProjectFacts(project)
    check_same_model(program, model)
    made = program.metadata
    compiled = compile_model(
        model, chip=made.get("kernels_for"), cores=made.get("cores", 1), room=made.get("arena_room")
    )
    report = Report(
        title=title,
        model_hash=compiled.model_hash,
        chip=program.chip,
        ports=_ports(compiled),
        rows=_rows(compiled),
        bars=_bars(compiled),
        cores=cores_lines(compiled) if compiled.cores > 1 else [],
        arena_bytes=compiled.arena_bytes,
        constant_bytes=compiled.weight_bytes,
    )
    comparer = LogComparer(model, samples, compiled)
    _compare(report, comparer, project, log_path)
    if float_model is not None:
        _measure_noise(report, comparer, float_model)
    return report


class ProjectFacts(HostProgram):
    """What a project says of itself; nothing is compiled."""

    def _build(self, sanitize: bool) -> Path:
        return Path()

    @property
    def chip(self) -> str:
        return self.metadata.get("target_chip", "")


# --- the model --------------------------------------------------------------------------------------------


def _ports(compiled: CompiledModel) -> List[PortRow]:
    rows = []
    for kind, ports in (("input", compiled.inputs), ("output", compiled.outputs)):
        for port in ports:
            size = int(np.prod(port.shape, dtype=np.int64)) * np.dtype(port.dtype).itemsize
            rows.append(PortRow(kind, port.name, port.dtype, tuple(port.shape), port.exponent, size, port.inside))
    return rows


def _kernel_of(lib1: str, symbol: str) -> str:
    """The kernel that a function of default_lib1.c calls."""
    body = re.search(rf"(?ms)^int32_t {symbol}\(.*?^}}", lib1)
    pattern = r"^    (esp_dl_(?!begin_part|finish_part)\w+|memcpy|memmove)\("
    called = re.search(pattern, body.group(), re.M) if body else None
    return called.group(1) if called else ""


def _rows(compiled: CompiledModel) -> List[Row]:
    rows = []
    for index, step in enumerate(compiled.lowered.steps):
        value = step.results[0]
        block = compiled.plan.where.get(value)
        size = sum(compiled.lowered.bytes[result] for result in step.results)
        where = f"{block.offset}" if block is not None else value.kind
        call = compiled.partitioned.calls.get(step.symbol)
        if call is None:
            rows.append(_fallback_row(compiled, index, size, where))
            continue
        kernel, activation = _kernel_of(compiled.lib1, step.symbol), size
        if index in compiled.choices.fused:
            kernel, where, activation = f"in step {compiled.choices.fused[index]}", "-", 0
        elif index in compiled.plan.skipped:
            kernel, activation = "nothing to do", 0
        split = None if index in compiled.choices.fused else compiled.choices.split_at(index)
        if split is not None:
            kernel += f", {split.axis} cut at {split.parts[0].end}"
        output = call.output
        rows.append(
            Row(
                step=index,
                nodes=", ".join(call.nodes) or "(layout change)",
                operator=call.operator,
                kernel=kernel,
                tensor=output.name,
                dtype=output.dtype,
                shape=tuple(output.shape),
                exponent=output.exponent,
                macs=OPERATORS[call.operator].macs(call),
                constants=compiled.constant_bytes.get(step.symbol, 0),
                activation=activation,
                where=where,
                symbol=step.symbol,
            )
        )
    for convolution, addition in compiled.choices.fused.items():
        inner, outer = rows[convolution], rows[addition]
        outer.operator, outer.macs, inner.macs = f"{inner.operator} + {outer.operator}", outer.macs + inner.macs, 0
        outer.nodes = f"{inner.nodes}, {outer.nodes}"
    return rows


def _fallback_row(compiled: CompiledModel, index: int, size: int, where: str) -> Row:
    fallback, nodes = compiled.fallbacks[index], compiled.imported.nodes
    reasons = [compiled.partitioned.refusals[i] for i in fallback.node_indices if i in compiled.partitioned.refusals]
    operators = ", ".join(dict.fromkeys(name.rsplit(".", 1)[-1] for name in fallback.operators))
    return Row(
        step=index,
        nodes=", ".join(str(nodes[i]) for i in fallback.node_indices) or operators,
        operator="fallback",
        kernel="TVM's C",
        tensor="",
        dtype="",
        shape=(),
        exponent=None,
        macs=0,
        constants=0,
        activation=size,
        where=where,
        symbol=fallback.symbol,
        reason="; ".join(dict.fromkeys(reasons)) or f"no kernel for {operators} in this form",
    )


def _bars(compiled: CompiledModel) -> List[Bar]:
    """The blocks of the arena, named by what they hold."""
    names = {}
    for index, step in enumerate(compiled.lowered.steps):
        call = compiled.partitioned.calls.get(step.symbol)
        for value in step.results:
            tensor = call.output.name if call is not None else ""
            names[value] = shown(tensor, 40) or f"step {index}"
    bars = []
    for block in compiled.plan.blocks:
        label = ", ".join(dict.fromkeys(names[value] for value in block.values if value in names))
        bars.append(Bar(block.offset, block.size, block.first, block.last, label or "scratch"))
    held = {id(block) for block in compiled.plan.blocks}
    for step, block in compiled.plan.scratch.items():
        if id(block) not in held:
            bars.append(Bar(block.offset, block.size, block.first, block.last, f"scratch of step {step}"))
    return sorted(bars, key=lambda bar: (bar.first, bar.offset))


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
    for run in runs:
        report.time_unit = report.time_unit or run.run.unit
        for layer in run.layers:
            row = report.rows[layer.expected.step]
            if layer.time is not None:
                times.setdefault(row.step, []).append(layer.time)
            if row.status in ("", EQUAL) or layer.status == DIFFERS:
                row.status = layer.status
    for step, values in times.items():
        report.rows[step].time = int(np.median(values))


# --- the noise --------------------------------------------------------------------------------------------


def _measure_noise(report: Report, comparer: LogComparer, float_model: onnx.ModelProto) -> None:
    compiled = comparer.compiled
    calls = [
        (index, compiled.partitioned.calls[step.symbol])
        for index, step in enumerate(compiled.lowered.steps)
        if step.symbol in compiled.partitioned.calls
    ]
    outputs = [port.name for port in compiled.outputs]
    meter = NoiseMeter(float_model, calls, outputs)
    report.noise_samples = min(comparer.count, NOISE_SAMPLES)
    for index in range(report.noise_samples):
        sample = {name: array[index] for name, array in comparer.samples.items()}
        meter.add(sample, comparer.evaluation(index))
    report.noise = meter.result()
    report.output_noise = meter.outputs()
    for noise in report.noise:
        report.rows[noise.step].snr = noise.snr
