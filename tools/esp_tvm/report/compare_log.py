"""Compares a log of a board, an emulator or the host with the reference: which layer differs first, how, and why."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Optional, Tuple

import numpy as np

from ..errors import UserError
from ..naming import shown
from ..program.evaluate import Evaluation, output_tensors
from ..program.form import Call, Program, Tensor
from ..program.store import METADATA, MODEL, load
from ..run.reference import Reference, check_same_model, load_steps
from ..terminal import show as print_parts
from ..trace.log import LoggedTensor, LogReader, Run
from .diagnose import Evidence, layout_that_gives, likely_cause
from .profile import measured

_MOST_TRIED = 64
# How often the example application (main/app_main.c) runs the model on its sample.
EXAMPLE_RUNS = 4
# Kernels whose weights begin with what they take from every input value (compile/kernels/packing.py).
_CENTRED = (
    *(f"esp_dl_conv2d_{form}" for form in ("s8_6x2", "s8_6x2_apart", "add_s8_6x2")),
    "esp_dl_dense_s8_8",
)

EQUAL, DIFFERS, MISSING, UNKNOWN = "equal", "differs", "missing", "not compared"


@dataclass
class Expected:
    """One line that a run must have: result `part` of step `step`, which is `tensor`. output: its name if it is one"""

    step: int
    part: int
    title: str
    call: Call
    tensor: Tensor
    output: Optional[str] = None


@dataclass
class Layer:
    """A line that a run must have, and its status. lines: about the difference, for users."""

    expected: Expected
    status: str
    lines: List[str] = field(default_factory=list)
    time: Optional[int] = None
    bytes: int = 0
    differing: Optional[int] = None


@dataclass
class RunComparison:
    """One run of a log. problem: why it cannot be compared at all; sample: index of the sample it was run on."""

    run: Run
    sample: Optional[int] = None
    problem: List[str] = field(default_factory=list)
    layers: List[Layer] = field(default_factory=list)

    def first(self, status: str) -> Optional[Layer]:
        return next((layer for layer in self.layers if layer.status == status), None)

    @property
    def broken_off(self) -> bool:
        """The log ends, or the chip restarts, in the middle: the missing lines are the last ones."""
        missing = [i for i, layer in enumerate(self.layers) if layer.status == MISSING]
        return not self.run.ended and missing == list(range(len(self.layers) - len(missing), len(self.layers)))

    @property
    def equal(self) -> bool:
        """Every layer was there and equal."""
        return not self.problem and all(layer.status in (EQUAL, UNKNOWN) for layer in self.layers) and bool(self.layers)


class LogComparer:
    """Compares the runs of logs with what an exported project must compute for `samples`.

    samples: ONNX input name -> array [N, ...]
    """

    def __init__(self, project: Path, samples: Dict[str, np.ndarray], program: Optional[Program] = None):
        self.program = program or load(project)
        self.samples = samples
        self.count = len(next(iter(samples.values())))
        self._reference = Reference(self.program, project)
        self._evaluations: Dict[int, Evaluation] = {}
        self._arenas = self._zeros()
        self.expected = list(self._expected())

    def _expected(self) -> Iterator[Expected]:
        outputs = {tensor: port.name for port, tensor in output_tensors(self.program).items()}
        for call in self.program.calls():
            if call.is_view:
                continue
            for part, tensor in enumerate(call.writes):
                yield Expected(call.index, part, self._title(call), call, tensor, outputs.get(tensor))

    @staticmethod
    def _title(call: Call) -> str:
        nodes = shown(", ".join(call.all_nodes), 90)
        if call.is_fallback:
            return f"fallback {nodes or shown(', '.join(call.relay), 90)}"
        return f"{call.title} {nodes or '(layout change)'}"

    def evaluation(self, sample: int) -> Evaluation:
        """The reference of one sample."""
        if sample not in self._evaluations:
            if len(self._evaluations) > 7:
                self._evaluations.clear()
            arrays = {name: array[sample] for name, array in self.samples.items()}
            self._evaluations[sample] = self._reference.evaluation(arrays)
        return self._evaluations[sample]

    def runs(self, lines: Iterable[str], reader: Optional[LogReader] = None) -> Iterator[RunComparison]:
        """The runs of a log while they arrive, each compared."""
        for run in (reader or LogReader()).runs(lines):
            yield self.compare(run)

    def compare(self, run: Run) -> RunComparison:
        """Compare a run with the reference of its own sample."""
        result = RunComparison(run)
        own = self.program.model_hash[:8]
        if run.model_hash != own:
            result.problem = [
                f"stale: the program in the log was made from another model ({run.model_hash}) than this one ({own})",
                "export this model again, build and flash the project, and log anew",
            ]
            return result
        if run.is_profile:
            seen = {expected.step: expected for expected in reversed(self.expected)}
            result.layers = [
                Layer(one, UNKNOWN if step in run.times else MISSING, time=run.times.get(step))
                for step, one in sorted(seen.items())
            ]
            return result
        result.sample, result.problem = self._find_sample(run)
        if result.sample is None:
            return result
        evaluation = self.evaluation(result.sample)
        if run.number == 1:
            self._arenas = self._zeros()
        for expected in self.expected:
            layer = self._layer(run, expected, evaluation, result.first(DIFFERS) is None)
            result.layers.append(layer)
        return result

    def _zeros(self) -> Dict[str, bytearray]:
        """The expected content of the arenas at the start."""
        program = self.program
        return {"arena": bytearray(program.arena_bytes), "psram_arena": bytearray(program.psram_arena_bytes)}

    def _memory(self, expected: Expected) -> Optional[memoryview]:
        """The expected bytes in an arena where a result lies; None for a result in a model output."""
        place = expected.tensor.place
        if place is None or place.kind not in self._arenas:
            return None
        return memoryview(self._arenas[place.kind])[place.offset : place.offset + expected.tensor.bytes]

    # --- inputs ---

    def _find_sample(self, run: Run) -> Tuple[Optional[int], List[str]]:
        """(the sample the run had as input, or why there is none); without that line, the sample that fits best."""
        ports = self.program.inputs
        logged = {index: crc for index, crc in run.inputs.items() if index < len(ports)}
        fits = [n for n in range(self.count) if all(self._input_crc(i, n) == crc for i, crc in logged.items())]
        if fits:
            known = len(logged) == len(ports) or len(fits) == 1
            return (fits[0] if known else max(fits[:_MOST_TRIED], key=lambda n: self._alike(run, n))), []
        wrong = next(index for index, crc in sorted(logged.items()) if self._input_crc(index, 0) != crc)
        port = ports[wrong]
        which = "the sample" if self.count == 1 else f"any of the {self.count} samples"
        lines = [f"input: the program's input '{shown(port.name)}' has other bytes than {which}"]
        for sample in range(self.count):
            array = self._input(wrong, sample)
            order = layout_that_gives(array, logged[wrong])
            if order is not None:
                lines.append(
                    f"likely cause: layout: it is sample {sample} with its axes in the order {order}; "
                    f"the model wants {list(port.shape)}"
                )
                return None, lines
        lines.append("likely cause: stale input_data.h, or other preprocessing (scale, mean, order of colours)")
        return None, lines

    def _alike(self, run: Run, sample: int) -> int:
        """How many layers of a run with unknown input equal those of a sample."""
        values = self.evaluation(sample).values
        return sum(
            (e.step, e.part) in run.tensors
            and zlib.crc32(np.ascontiguousarray(values[e.tensor]).tobytes()) == run.tensors[e.step, e.part].crc
            for e in self.expected
        )

    def _input(self, index: int, sample: int) -> np.ndarray:
        port = self.program.inputs[index]
        return np.ascontiguousarray(self.samples[port.name][sample], dtype=port.dtype)

    def _input_crc(self, index: int, sample: int) -> int:
        return zlib.crc32(self._input(index, sample).tobytes())

    # --- layers ---

    def _layer(self, run: Run, expected: Expected, evaluation: Evaluation, explain: bool) -> Layer:
        logged = run.tensors.get((expected.step, expected.part))
        reference = np.ascontiguousarray(evaluation.values[expected.tensor])
        if logged is None or (logged.crc is None and not logged.chunks):
            layer = Layer(expected, MISSING)
        else:
            layer = self._compared(logged, expected, reference, evaluation, explain)
            if layer.status == DIFFERS and _is_inner_float(expected):
                # The next kernel's output shows whether it is right.
                layer = Layer(expected, UNKNOWN, time=logged.time, bytes=logged.size)
        memory = self._memory(expected)
        if memory is not None:
            memory[:] = reference.tobytes()
        return layer

    def _compared(
        self,
        logged: LoggedTensor,
        expected: Expected,
        reference: np.ndarray,
        evaluation: Evaluation,
        explain: bool,
    ) -> Layer:
        layer = Layer(expected, EQUAL, time=logged.time, bytes=reference.nbytes, differing=0)
        if logged.crc is None:
            return self._only_data(logged, layer, reference)
        if logged.size == reference.nbytes and logged.crc == zlib.crc32(reference.tobytes()):
            return layer
        layer.status, layer.differing = DIFFERS, None
        if logged.size != reference.nbytes:
            layer.lines.append(f"it has {logged.size} bytes in the log, {reference.nbytes} in the reference")
            layer.lines.append("likely cause: stale generated code; export, build and flash again")
            return layer
        got = None
        if logged.complete:
            got = np.frombuffer(logged.data(), dtype=reference.dtype).reshape(reference.shape)
            layer.differing = int(np.count_nonzero(_bytes(got) != _bytes(reference)))
            layer.lines += differences(got, reference)
        elif logged.chunks:
            layer.lines.append("its checksum differs, and lines with its bytes were lost")
        else:
            layer.lines.append("its checksum differs; the log has no bytes to say where")
        if not explain:
            return layer
        if expected.call.is_fallback:
            cause = "float arithmetic of TVM's own C: the chip's math functions may round otherwise"
        else:
            memory = self._memory(expected)
            before = None if memory is None else bytes(memory)
            parts = [
                Evidence(call, evaluation.arguments(call), reference, logged.crc, got, before, **rest)
                for call, rest in self._computed(expected, evaluation)
            ]
            cause = likely_cause(parts)
        layer.lines.append(f"likely cause: {cause}")
        return layer

    @staticmethod
    def _computed(expected: Expected, evaluation: Evaluation) -> List[Tuple[Call, dict]]:
        """The calls that one step computes, each with what `Evidence` wants."""
        call = expected.call
        own = {"centre": kernel_centre(call), "part": expected.part}
        return [(call, own), *((one, {}) for one in call.followers)]

    @staticmethod
    def _only_data(logged: LoggedTensor, layer: Layer, reference: np.ndarray) -> Layer:
        """The line with the checksum is lost; bytes were logged."""
        right = reference.tobytes()
        wrong = sum(a != b for start, chunk in logged.chunks.items() for a, b in zip(chunk, right[start:]))
        if wrong:
            layer.status, layer.differing = DIFFERS, None
            layer.lines.append(f"at least {wrong} of the bytes that were logged differ")
        elif logged.data() != right:
            layer.status, layer.differing = MISSING, None
        return layer


def _is_inner_float(expected: Expected) -> bool:
    """Whether a result is an inner float of TVM's own C, which another C library may round differently."""
    return expected.call.is_fallback and expected.output is None and expected.tensor.dtype.startswith("float")


def kernel_centre(call: Call) -> int:
    """What its kernel takes from every input value before it multiplies."""
    if call.kernel not in _CENTRED:
        return 0
    return int(next(one.array for one in call.constants if one.name.endswith("_weights"))[0])


def _bytes(array: np.ndarray) -> np.ndarray:
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)


def differences(got: np.ndarray, reference: np.ndarray) -> List[str]:
    """Lines for users: how much two arrays differ, and where."""
    wrong = got != reference
    if reference.dtype.kind == "f":
        wrong &= ~(np.isnan(got) & np.isnan(reference))
    if not wrong.any():
        return ["only the bits of NaN or of zero's sign differ"]
    count = int(np.count_nonzero(_bytes(got) != _bytes(reference)))
    with np.errstate(invalid="ignore"):
        distance = np.abs(got.astype(np.float64) - reference.astype(np.float64))
    most = np.nanmax(np.where(wrong, distance, 0))
    lines = [f"{count} of {reference.nbytes} bytes differ, values by at most {most:g}"]
    places = np.argwhere(wrong)
    first = tuple(places[0])
    lines.append(f"first at {place(reference.shape, first)}: log {got[first]:g}, reference {reference[first]:g}")
    if reference.ndim > 1:
        spread = []
        for axis, name in _axis_names(reference.ndim):
            values = np.unique(places[:, axis])
            if reference.shape[axis] > 1:
                spread.append(f"{name} {_some(values, reference.shape[axis])}")
        lines.append("where: " + ", ".join(spread))
    return lines


def _axis_names(rank: int) -> List[Tuple[int, str]]:
    if rank == 4:
        return [(3, "channel"), (1, "row"), (2, "column")]
    return [(rank - 1, "channel" if rank > 1 else "element")] + [(i, f"axis {i}") for i in range(rank - 1)]


def place(shape: Tuple[int, ...], index: Tuple[int, ...]) -> str:
    """`channel 3, row 0, column 7` of an index in memory; axes of size 1 are omitted."""
    return (
        ", ".join(f"{name} {index[axis]}" for axis, name in _axis_names(len(shape)) if shape[axis] > 1) or "its value"
    )


def _some(values: np.ndarray, size: int) -> str:
    if len(values) == size:
        return f"(all {size})"
    if len(values) <= 8:
        return " ".join(map(str, values))
    return f"({len(values)} of {size}, from {values[0]} to {values[-1]})"


# --- for people -------------------------------------------------------------------------------------------


def describe_run(comparison: RunComparison, ordinal: int) -> List[str]:
    """The lines that the command prints about one run."""
    run = comparison.run
    head = f"run {ordinal} of the log (model {run.model_hash}"
    head += f", {run.mode})" if run.mode else ", its first line is lost)"
    if comparison.problem:
        return [f"{head}: cannot be compared", *[f"  {line}" for line in comparison.problem]]
    layers = comparison.layers
    if run.is_profile:
        return [f"{head}: times of {sum(layer.time is not None for layer in layers)} of {len(layers)} steps"]
    counts = {s: sum(layer.status == s for layer in layers) for s in (EQUAL, DIFFERS, MISSING, UNKNOWN)}
    head += f", sample {comparison.sample}: {counts[EQUAL]} of {len(layers) - counts[UNKNOWN]} layers equal"
    lines = [head]
    first = comparison.first(DIFFERS)
    if first is not None:
        lines.append(f"  FIRST DIFFERENCE in step {first.expected.step}: {first.expected.title}")
        lines += _tensor_line(first) + [f"    {line}" for line in first.lines]
        later = [layer for layer in layers if layer.status == DIFFERS][1:]
        if later:
            lines.append(f"  {len(later)} later layers differ as well, as they must")
    missing = [layer for layer in layers if layer.status == MISSING]
    if missing and comparison.broken_off:
        before = layers[-len(missing) - 1] if len(missing) < len(layers) else None
        after = f"after step {before.expected.step} ({before.expected.title})" if before else "before the first layer"
        lines.append(f"  BROKEN OFF {after}: the log ends or the chip starts anew there")
    elif missing:
        damaged = f"; {run.damaged} damaged lines were seen" if run.damaged else ""
        for layer in missing[:10]:
            lines.append(f"  LOST LINE of step {layer.expected.step}: {layer.expected.title}{damaged}")
            damaged = ""
        if len(missing) > 10:
            lines.append(f"  ... and of {len(missing) - 10} more")
        lines.append("    the serial line lost characters, or something else printed in between: log once more")
    if counts[UNKNOWN]:
        lines.append(
            f"  {counts[UNKNOWN]} float results inside of what TVM's own C computes are not compared: math functions "
            "round otherwise there than here"
        )
    return lines


def _tensor_line(layer: Layer) -> List[str]:
    call, output = layer.expected.call, layer.expected.tensor
    if call.is_fallback:
        return []
    exponent = "" if output.exponent is None else f", exponent {output.exponent}"
    return [f"    tensor '{shown(output.name)}' {output.dtype}{list(output.shape)}{exponent}, in C: {call.symbol}"]


def only_profiles(comparisons: List[RunComparison]) -> bool:
    """Whether the runs have times alone."""
    return bool(comparisons) and all(c.run.is_profile and not c.problem for c in comparisons)


def judge(comparisons: List[RunComparison], reader: LogReader) -> Tuple[bool, str]:
    """(whether all that the log has is equal and at least one run is complete, the verdict in one line).

    An incomplete run is not a fault by itself: boards are reset, logs are cut.
    """
    if not comparisons:
        if reader.trace_lines or reader.damaged:
            return False, "FAIL: every line of the trace in the log is damaged"
        return False, "FAIL: the log has no trace; export with --debug checksums or --debug tensors, build and flash"
    whole = [c for c in comparisons if c.equal]
    if only_profiles(comparisons):
        verdict = f"{len(whole)} of {len(comparisons)} runs have the times of all steps; bytes are not compared"
        return bool(whole), f"{'PROFILE' if whole else 'FAIL'}: {verdict}"
    cut = [c for c in comparisons if not c.problem and c.broken_off and c.first(DIFFERS) is None and not c.equal]
    bad = [c for c in comparisons if not c.equal and c not in cut]
    if bad:
        return False, f"FAIL: {len(bad)} of {len(comparisons)} runs differ or miss lines"
    if not whole:
        return False, "FAIL: no run of the log is complete"
    note = f", {len(cut)} broke off" if cut else ""
    return True, f"PASS: {len(whole)} of {len(comparisons)} runs equal in every layer{note}"


def project_of(model_path: str, project: Optional[str]) -> Path:
    """The project that was exported from a model: `project`, or new_project beside the model."""
    if project is not None:
        return Path(project)
    found = Path(model_path).parent / "new_project"
    if not (found / MODEL / METADATA).is_file():
        raise UserError(f"{found}: is not there; give --project, the folder new_project that the export step wrote")
    return found


def run_comparison(
    model_path: str,
    input_path: str,
    lines: Iterable[str],
    show=print,
    project: Optional[str] = None,
    chip: Optional[str] = None,
) -> bool:
    """What compare_log.py does: True when all is equal. project: see `project_of`; chip: what it is exported for"""
    from ..model import load_model

    folder = project_of(model_path, project)
    program = load(folder)
    check_same_model(program, folder, load_model(model_path))
    if chip is not None and chip != program.target_chip:
        raise UserError(f"{folder}: was exported for {shown(program.target_chip)}, not for {shown(chip)}; export again")
    comparer = LogComparer(folder, load_steps(input_path, program, folder, EXAMPLE_RUNS), program)
    reader, done = LogReader(), []
    interrupted = False
    try:
        for comparison in comparer.runs(lines, reader):
            done.append(comparison)
            show("\n".join(describe_run(comparison, len(done))), flush=True)
    except KeyboardInterrupt:
        interrupted = True
    equal, verdict = judge(done, reader)
    if interrupted and not done:
        raise UserError("stopped before the log had a complete run")
    profile = measured(program, [c.run for c in done if c.run.is_profile and not c.problem])
    if profile is not None:
        print_parts(*profile.parts())
    show(f"{verdict} ({reader.lines} lines read, {reader.trace_lines} of the trace, {reader.damaged} damaged)")
    return equal
