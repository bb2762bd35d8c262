"""The sub-commands that run, compare, report on and copy an exported project; debug runs the reference of its model."""

from __future__ import annotations

import sys
from typing import Optional

import click

from .app import Choice, Command, Reads, Writes
from .options import input_option, model_option, project_option, target_option


@click.command(cls=Command)
@project_option()
@model_option()
@input_option()
@click.option("--sanitize", is_flag=True, help="with the address and undefined behaviour sanitizers")
@click.option("--summary", is_flag=True, help="without the table of layers")
@click.option("--log", type=Writes(), help="also write what a board prints when exported with --debug, for compare")
@click.option(
    "--log_mode", type=Choice(("checksums", "tensors", "profile")), default="tensors", help="what --log has for a layer"
)
def run(
    project: str, model: str, input: str, sanitize: bool, summary: bool, log: Optional[str], log_mode: str
) -> Optional[int]:
    """Compile an exported project for this machine, run it, and compare every layer with the references."""
    from ..run.command import run_project

    return run_project(project, model, input, sanitize, summary, log, log_mode)


@click.command(cls=Command)
@project_option()
@model_option()
@input_option()
@click.option("--log", type=Writes(), help="also write what it prints with the trace in it, for compare")
@click.option(
    "--log_mode",
    type=Choice(("checksums", "tensors", "profile")),
    default="checksums",
    help="what --log has for a layer",
)
def emulate(project: str, model: str, input: str, log: Optional[str], log_mode: str) -> Optional[int]:
    """Compile an exported project for RV32IMC, run it in QEMU, and compare its outputs with the reference's."""
    from ..run.emulate import emulate_project

    return emulate_project(project, model, input, log, log_mode)


@click.command(cls=Command)
@target_option(required=True)
@model_option("the quantized ONNX model")
@input_option(".npy file with one sample of the model's input")
@click.option("--dump_root", show_default="tvmdbg beside the model", help="folder of the dump")
@click.option(
    "--layer",
    multiple=True,
    metavar="NAME",
    help="print what this layer computes: an ONNX tensor or node, a TVM node or a C function; can be repeated",
)
def debug(target: str, model: str, input: str, dump_root: Optional[str], layer: tuple) -> Optional[int]:
    """Run a quantized model's reference on one sample through TVM's debug executor and keep its dump."""
    from ..run.command import debug as run_debug

    return run_debug(target, model, input, dump_root, list(layer))


@click.command(cls=Command)
@click.option("--log", required=True, help="what the serial monitor showed; - for standard input, live")
@model_option("the quantized ONNX model the program was exported from")
@input_option(".npy with the sample that the program was run on, or many")
@click.option(
    "--project", type=Reads(), show_default="new_project beside the model", help="the folder new_project of the program"
)
@target_option()
def compare(log: str, model: str, input: str, project: Optional[str], target: Optional[str]) -> int:
    """Compare the log of a board, an emulator or the host with the reference; name the first layer that differs.

    The program must have been exported with --debug checksums or --debug tensors. Exit code 0: every layer is equal;
    1: something differs or is missing; 2: a mistake in the arguments.
    """
    from ..errors import UserError
    from ..report.compare_log import run_comparison
    from ..trace.log import text_lines

    if log == "-":
        equal = run_comparison(model, input, text_lines(sys.stdin.buffer), project=project, chip=target)
        return 0 if equal else 1
    try:
        stream = open(log, "rb")
    except OSError as error:
        raise UserError(f"{log}: cannot read this log ({error.strerror})")
    with stream:
        return 0 if run_comparison(model, input, text_lines(stream), project=project, chip=target) else 1


@click.command(cls=Command)
@project_option()
@model_option()
@input_option(".npy file with one sample or many (errors and histograms: 20 or more)")
@click.option(
    "--float_model", type=Reads(), help="the float ONNX model it was quantized from, for the noise of each layer"
)
@click.option("--log", type=Reads(), help="a board's or emulator's log; without it the C is run on this computer")
@click.option("--base", type=Reads(), help="another exported project, to set beside this one")
@click.option("--output", required=True, type=Writes(), help="the HTML file to write; the text goes beside it as .txt")
def report(
    project: str,
    model: str,
    input: str,
    float_model: Optional[str],
    log: Optional[str],
    base: Optional[str],
    output: str,
) -> None:
    """Write the report of an exported model: one HTML file that needs no network, and the same as text."""
    from ..report.command import write_report

    write_report(project, model, input, output, float_model, log, base)


@click.command(cls=Command)
@project_option()
@model_option("the float ONNX model that it was quantized from")
@input_option(".npy file with the samples of a test set")
@click.option(
    "--labels",
    type=Reads(),
    help=".npy with a label for each: whole numbers (classes), or floats of the output's shape (what it should be); "
    ".npz keyed by output name for several outputs",
)
@click.option(
    "--output",
    type=Writes(),
    show_default="evaluation.json beside the project",
    help="the JSON file of figures to write",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    show_default="all samples are one recording",
    help="of a model with states: the samples of one recording, before each of which the states are zeros",
)
def evaluate(
    project: str, model: str, input: str, labels: Optional[str], output: Optional[str], steps: Optional[int]
) -> None:
    """Run the generated C on a test set, beside the float model: accuracy, classes mixed up, the worst samples."""
    from ..test_set.command import evaluate_project

    evaluate_project(project, model, input, labels, output, steps or 0)


@click.command(cls=Command)
@project_option()
@click.option("--to", required=True, help="the application's folder components; or lib, libraries: as a library")
@click.option(
    "--name",
    show_default="tvmgen_default and tvm_model, as exported",
    help="names begin with tvmgen_NAME and tvm_model_NAME, so that there can be several models",
)
@click.option(
    "--form",
    type=click.Choice(["component", "library"]),
    show_default="library where --to is called lib or libraries",
    help="component: for ESP-IDF; library: for PlatformIO, Arduino and plain CMake",
)
def component(project: str, to: str, name: Optional[str], form: Optional[str]) -> None:
    """Copy the model of an exported project into another application, with names of its own: as components of ESP-IDF,
    or as a library for PlatformIO, Arduino and plain CMake."""
    from pathlib import Path

    from ..project.component import copy_model
    from ..project.library import LIBRARY_FOLDERS, copy_library

    if form is None:
        form = "library" if Path(to).resolve().name in LIBRARY_FOLDERS else "component"
    copy = copy_library if form == "library" else copy_model
    click.echo("\n".join(copy(Path(project), Path(to), name)))
