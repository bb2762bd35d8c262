"""The export step: a quantized ONNX model becomes a project."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ..boards import DEFAULT_SLOWDOWN, check_arena, check_slowdown, choose_board
from ..c_text import tensor_text
from ..chips import CHIPS, check_cores
from ..compile import import_model
from ..data import load_sample, stored_form
from ..estimate.text import estimate_lines
from ..evaluate import NumpyEvaluator
from ..model import inputs_of, is_quantized, load_model
from ..naming import one_line, shown
from ..port_options import PortOptions
from ..program import Loop, Program, nodes_text
from ..program.both_cores import cores_lines
from ..program.evaluate import zero_states
from ..program.in_strips import strips_line
from ..program.ports import all_to_onnx, to_port
from ..program.samples import load_port_sample
from ..states import own_inputs, states_of
from ..terminal import Table, show
from ..trace.header import check_mode
from .compile_for_board import compile_for_board
from .constants import fit_and_estimate
from .fit import check_constants, exported_facts, fit_parts
from .verify import verify
from .write import check_places, write_project


def export_onnx_model(
    target_chip: Optional[str],
    model_path: str,
    img_path: str,
    template_path: str,
    out_path: str,
    debug: str = "off",
    constants: str = "auto",
    vector: bool = True,
    cores: int = 1,
    board: Optional[str] = None,
    flash: Optional[str] = None,
    psram: Optional[str] = None,
    internal: Optional[str] = None,
    arena: str = "auto",
    slowdown: str = "",
    ports: PortOptions = PortOptions(),  # noqa: B008
) -> Path:
    """Write `out_path/new_project` for `target_chip`: the model's C, the kernels, the sample and its expected output.

    debug: off, checksums or tensors: what the program prints about every kernel's output
    constants: flash, ram, partition or psram: where weights and tables are stored; auto: flash or psram (constants.py)
    vector: use the kernels for the vector unit of the chip (esp32s3), or for its MAC16 unit (esp32), if it has one
    cores: 2: both cores compute, on a chip that has them (esp32, esp32s3, esp32p4)
    board, flash, psram, internal: the board's name, or its memory (boards.py: `choose_board`); with a board's name
        target_chip may be None
    arena: bytes that the arena may have; "least": as few as can be within `slowdown`; "auto": as many as the board has
        inside. Layers run together in strips of rows where it would have more.
    slowdown: with "least": by how many percent the program may take longer than the fastest one without strips, by the
        estimate; "": DEFAULT_SLOWDOWN
    ports: types and layouts of inputs and outputs; without it those of the ONNX model
    """
    hardware = choose_board(target_chip, board, flash, psram, internal)
    chip = CHIPS[hardware.chip]
    check_mode(debug)
    check_constants(constants)
    check_cores(chip, cores)
    longer = check_slowdown(slowdown, check_arena(arena))
    # Mistakes of the user are reported before the long compile.
    check_places(template_path, out_path)
    model = load_model(model_path)
    states_of(model, f"{model_path}: ")  # Damaged ones are told here.
    ports.check_names([name for name, _, _ in inputs_of(model)], [value.name for value in model.graph.output])
    if ports == PortOptions():
        load_sample(img_path, own_inputs(model))
    else:
        stored_form(img_path, own_inputs(model))
    options = {"vector": vector, "cores": cores, "constants": constants, "traced": debug != "off"}
    compiled = compile_for_board(model, import_model(model), hardware, arena, ports, slowdown=longer, **options)
    program = compiled.program
    fit = fit_and_estimate(compiled, hardware, constants)
    program.board = "" if chip.is_host else hardware.text
    options = {"debug": debug, "constants": fit.constants, "vector": "on" if vector else "off", "cores": str(cores)}
    options.update({"arena": arena, **({"slowdown": slowdown or DEFAULT_SLOWDOWN} if arena == "least" else {})})
    program.exported = exported_facts(fit, chip, options)
    if not is_quantized(model):
        fit.notes.append(f"{model_path} is a float model and runs in float, slowly; quantize it first (make quantize)")
    if any(call.split is not None for call in program.calls()) and not chip.is_host:
        fit.sdkconfig.extend(["# The other core computes parts of the kernels.", "CONFIG_INFERENCE_TASK_CORE=1"])
    if debug != "off":
        fit.sdkconfig.append(f"CONFIG_TVM_MODEL_TRACE_{debug.upper()}=y")
    sample = {**load_port_sample(img_path, program.callers_inputs), **zero_states(program)}
    # The references compute what the ONNX model does, with its types.
    onnx_sample = all_to_onnx(program.inputs, sample)
    evaluator = NumpyEvaluator(compiled.imported, compiled.partitioned)
    evaluation = evaluator.run(onnx_sample)
    verification = verify(model, compiled, onnx_sample, evaluation, evaluator)
    program.verification = verification.describe()
    expected = {port.name: to_port(port, evaluation.outputs[port.name]) for port in program.outputs}
    project = write_project(compiled, sample, expected, template_path, out_path, chip.name, fit, debug)
    print_export(program, project, verification.line)
    if compiled.saving is not None:
        print(compiled.saving.line)
    if compiled.port_notes.offers:
        print("; ".join(compiled.port_notes.offers))
    show(*fit_parts(compiled, chip, fit), *estimate_lines(program))
    if arena.isdigit() and program.arena_bytes > int(arena):
        fit.notes.append(f"--arena {arena}: the least that was found are {program.arena_bytes} bytes")
    for note in [*compiled.port_notes.notes, *fit.notes]:
        print(f"note: {note}")
    return project


def print_export(program: Program, project: Path, verified: str) -> None:
    """Print which nodes have kernels, which do not and why, the memory needed, and the result of the comparison with
    ONNX Runtime."""
    rows = [(c.title, shown(nodes_text(c), 60), tensor_text(c.writes[0]), c.macs or "") for c in program.kernels]
    show(Table(("kernel", "ONNX nodes", "output", "MAC"), rows, "lllr"))
    for index, why in sorted(program.refusals.items()):
        if index >= 0:
            print(f"no kernel for {shown(program.nodes[index], 80)}: {why}")
    for call in program.fallbacks:
        cost, why = f"{call.operations} operations in float", one_line(call.reason, 160)
        print(f"falls back to TVM's C, slow: {shown(nodes_text(call), 100)} ({cost}): {why}")
    if program.cores > 1:
        print("\n".join(cores_lines(program)))
    for loop in (item for item in program.items if isinstance(item, Loop)):
        print(strips_line(loop))
    arena = f"{program.arena_bytes} bytes"
    if program.psram_arena_bytes:
        arena += f" and {program.psram_arena_bytes} in PSRAM"
    ram = program.arena_bytes + program.psram_arena_bytes
    ram += sum(port.bytes for port in [*program.inputs, *program.outputs])
    print(
        f"{len(program.kernels)} kernels, {len(program.fallbacks)} fallbacks, {program.macs} MAC; "
        f"arena {arena} ({ram} with inputs and outputs), constants {program.constant_bytes} bytes"
    )
    for state in program.states:
        before, after = state.before, state.after
        print(
            f"state: output '{shown(after.name)}' is input '{shown(before.name)}' of the next call, kept as "
            f"{before.dtype}[{','.join(map(str, before.shape))}]; tvmgen_default_reset() makes it zeros again"
        )
    print(verified)
    print(f"wrote {project}")
