"""The sub-commands of esp-tvm and their options; each script of tools/tvm is one of them by its documented names.

What a sub-command does is imported when it runs: --help and completion answer at once, and outside the environment one
line says what is missing.
"""

from __future__ import annotations

import sys
from typing import Any, Dict, Mapping, Optional, Sequence

import click

from .. import __version__
from .app import Chip, Choice, Command, Group, Reads, Writes
from .options import (
    board_options,
    input_option,
    model_option,
    pass_options,
    project_option,
    spec_option,
    target_option,
    template_option,
)

_CONTEXT = {"show_default": True, "max_content_width": 110, "help_option_names": ["-h", "--help"]}


@click.group(cls=Group, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="esp-tvm")
def esp_tvm() -> None:
    """From a trained float model (ONNX) to a verified int8 program on an Espressif chip."""


@esp_tvm.command()
@model_option("the float ONNX model")
@click.option("--output", required=True, type=Writes(), help="the ONNX model to write")
@click.option(
    "--shape",
    multiple=True,
    metavar="[NAME=]1,3,96,96",
    help="the size of an input that the model leaves free (time, height, width); once for each such input",
)
@click.option(
    "--state",
    multiple=True,
    metavar="INPUT=OUTPUT|none",
    show_default="what the model itself says",
    help="an output that is an input of the next call: the generated program keeps it; once for each state",
)
@click.option(
    "--end",
    multiple=True,
    metavar="TENSOR",
    show_default="the model's outputs",
    help="end the model here: what follows (TopK, NonMaxSuppression) is left to the application; once for each output",
)
def preprocess(model: str, output: str, shape: Sequence[str], state: Sequence[str], end: Sequence[str]) -> None:
    """Fold and simplify a float ONNX model before quantization."""
    from ..convert.sizes import parse_shapes
    from ..preprocess import preprocess_onnx, summary

    click.echo("\n".join(summary(preprocess_onnx(model, output, parse_shapes(shape), state, end))))


@esp_tvm.command()
@model_option("the float ONNX model, preprocessed")
@click.option("--output", required=True, type=Writes(), help="the quantized ONNX model to write")
@click.option(
    "--calib",
    type=Reads(),
    help=".npy with N samples of the input; .npz or folder keyed by input name for several inputs (not needed for a "
    "model that is quantized already)",
)
@click.option("--method", default="auto", help="auto, minmax, percentile, mse or entropy: scales of activations")
@click.option("--percentile", type=float, default=99.99, help="share of the values that --method percentile covers")
@pass_options
@click.option(
    "--int16",
    default="",
    show_default="none",
    help="layers whose results are int16 in place of int8: auto, or their names with commas between",
)
@click.option("--int16_gain", type=float, default=6.0, help="dB that --int16 auto has to gain, with few layers")
@click.option(
    "--budget",
    default="",
    show_default="next to nothing",
    help="what int16 may cost: instructions=5%,arena=5%, shares of the int8 network",
)
@click.option(
    "--effort",
    type=Choice(("quick", "default", "thorough")),
    default="default",
    help="how much is tried: on how many samples, how often",
)
@click.option("--evaluate", type=Reads(), help="samples like --calib: judge the result on them")
@click.option("--labels", type=Reads(), help=".npy with one whole number per evaluation sample: also tell the accuracy")
def quantize(
    model: str, output: str, calib: Optional[str], evaluate: Optional[str], labels: Optional[str], **settings: Any
) -> None:
    """Quantize a float ONNX model to int8 with power-of-two scales."""
    if labels and not evaluate:
        raise click.UsageError("--labels needs --evaluate")
    from ..quantize import quantize_onnx
    from ..quantize.command import evaluate_quantized
    from ..terminal import show

    result = quantize_onnx(model, output, calib, **settings)
    show(*result.parts())
    if evaluate:
        show(*evaluate_quantized(model, output, result, evaluate, labels))


@esp_tvm.command()
@target_option()
@board_options
@model_option("the quantized ONNX model")
@input_option(".npy file with one sample of the model's input")
@template_option()
@click.option("--out", required=True, help="folder in which new_project is made")
@click.option(
    "--debug",
    type=Choice(("off", "checksums", "tensors", "profile")),
    default="off",
    help="what the program prints of every layer (off costs nothing); esp-tvm compare compares it with the reference",
)
@click.option(
    "--constants",
    type=Choice(("flash", "ram", "partition", "psram")),
    default="flash",
    help="where weights and tables lie: in the program, copied to RAM or PSRAM at start, or in a data partition of "
    "their own; menuconfig changes it",
)
@click.option(
    "--vector",
    type=Choice(("on", "off")),
    default="on",
    help="kernels for the vector unit of the esp32s3, the MAC16 unit of the esp32",
)
@click.option(
    "--cores",
    type=Choice(("1", "2")),
    default="1",
    help="2: both cores compute, on esp32, esp32s3 and esp32p4; faster, may take more RAM",
)
@click.option(
    "--arena",
    default="auto",
    help="bytes that the arena may have, or least: layers run together in strips of rows where it would have more; "
    "auto: the internal RAM of the board",
)
@click.option(
    "--input_type",
    multiple=True,
    metavar="[NAME=]float|int8|int16|uint8",
    help="what inputs are on the board (without it as in the model): float; int8 or int16 as the kernels read it; "
    "uint8 pixels, see --input_mean",
)
@click.option(
    "--output_type",
    multiple=True,
    metavar="[NAME=]float|int8|int16",
    help="what outputs are on the board, likewise",
)
@click.option(
    "--input_layout",
    multiple=True,
    metavar="[NAME=]NCHW|NHWC",
    help="the order of an image input's axes on the board (without it as in the model); cameras give NHWC",
)
@click.option(
    "--output_layout",
    multiple=True,
    metavar="[NAME=]NCHW|NHWC",
    help="the order of an image output's axes, likewise; the kernels write NHWC",
)
@click.option("--input_scale", default="", metavar="NUMBER", show_default="1", help="of uint8 inputs, such as 1/255")
@click.option(
    "--input_mean",
    default="",
    metavar="NUMBERS",
    show_default="0",
    help="of uint8 inputs, one for all channels or one for each, with commas between: a pixel p is worth "
    "(p * input_scale - input_mean) / input_std to the model",
)
@click.option("--input_std", default="", metavar="NUMBERS", show_default="1", help="of uint8 inputs, as input_mean")
def export(
    target: Optional[str],
    model: str,
    input: str,
    template: str,
    out: str,
    debug: str,
    constants: str,
    vector: str,
    cores: str,
    arena: str,
    input_type: Sequence[str],
    output_type: Sequence[str],
    input_layout: Sequence[str],
    output_layout: Sequence[str],
    input_scale: str,
    input_mean: str,
    input_std: str,
    **board: Optional[str],
) -> None:
    """Export a quantized ONNX model as an ESP-IDF project for a chip (--target) or a board (--board)."""
    if not target and not board["board"]:
        raise click.UsageError("neither a chip nor a board is given; give --target or --board")
    from ..port_options import read_port_options

    layouts = input_layout, output_layout
    ports = read_port_options(input_type, output_type, *layouts, input_scale, input_mean, input_std)
    from ..project.export import export_onnx_model

    more = {"arena": arena, "ports": ports, **board}
    export_onnx_model(target, model, input, template, out, debug, constants, vector == "on", int(cores), **more)


@esp_tvm.command()
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


@esp_tvm.command()
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


@esp_tvm.command()
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


@esp_tvm.command()
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


@esp_tvm.command()
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


@esp_tvm.command()
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
def evaluate(project: str, model: str, input: str, labels: Optional[str], output: Optional[str]) -> None:
    """Run the generated C on a test set, beside the float model: accuracy, classes mixed up, the worst samples."""
    from ..test_set.command import evaluate_project

    evaluate_project(project, model, input, labels, output)


@esp_tvm.command()
@click.argument("model", type=Reads())
@click.option("--output", required=True, type=Writes(), help="the ONNX model to write")
@click.option("--opset", type=int, default=13, help="13 to 17")
@click.option(
    "--shape",
    multiple=True,
    metavar="[NAME=]1,3,32,32",
    help="shape of an input, batch first, where the file does not say (TorchScript); once for each input",
)
@click.option(
    "--signature",
    show_default="serving_default",
    help="the SavedModel's signature; of a pack of .espdl models, the name of one",
)
@click.option(
    "--samples",
    type=Reads(),
    show_default="random",
    help=".npy (.npz for several inputs) of real samples to compare on",
)
@click.option(
    "--tolerance",
    type=float,
    show_default="1e-4; int8: 0.1",
    help="largest difference, as a part of an output's largest value",
)
@click.option(
    "--python",
    show_default="build/env/<framework>, else this one",
    help="the Python that has the framework",
)
@click.option("--trust_pickle", is_flag=True, help="the file may run Python code of its own")
@click.option(
    "--samples_out",
    type=Writes(),
    help=".npz to write what was compared on to; of a model with states, with the state before each sample",
)
@click.option(
    "--float",
    "as_float",
    is_flag=True,
    help="of an .espdl the float model that its integers stand for, to be quantized anew",
)
def convert(model: str, output: str, shape: tuple, trust_pickle: bool, **settings: Any) -> None:
    """Convert a model of Keras, TensorFlow (Lite), PyTorch, scikit-learn or ESP-DL to ONNX; check that both compute the
    same.

    MODEL: .h5 .keras, a SavedModel's folder, .tflite, .pt (TorchScript), .pt2 (torch.export), .pkl .joblib, .espdl
    """
    from ..convert.convert import convert as convert_model
    from ..convert.convert import summary

    result = convert_model(model, output, shapes=list(shape), trust=trust_pickle, **settings)
    click.echo("\n".join(summary(result, model, output)))


@esp_tvm.command()
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


@esp_tvm.group(cls=Group)
def frontend() -> None:
    """Pictures or sound to a model's input, by a YAML beside the model: arrays to calibrate with, and C for the board.

    \b
    arrays --spec image.yaml --out calib.npy pictures/
    export --spec image.yaml --model model_quant.onnx --sample picture.jpg --out build/board
    detect --spec image.yaml --project build/board/new_project --out build/found pictures/
    """


@frontend.command()
@spec_option()
@click.option("--out", required=True, type=Writes(), help=".npy to write, [N, ...]")
@click.argument("files", nargs=-1, required=True)
def arrays(spec: str, out: str, files: tuple) -> None:
    """Write the float model's inputs as .npy, from pictures or sound files, or folders of them."""
    from ..frontend import command

    array = command.write_arrays(spec, list(files), out)
    click.echo(f"wrote {out}: {list(array.shape)} {array.dtype}, {array.min():.4g} to {array.max():.4g}")


@frontend.command(name="export")
@spec_option()
@model_option("the quantized ONNX model")
@click.option("--sample", required=True, type=Reads(), help="a picture or a sound file: the sample in the project")
@target_option()
@board_options
@template_option()
@click.option("--out", required=True, help="folder in which new_project is made")
@click.option("--app", type=Reads(), help="folder with main/app_main.c, ...: laid over the project")
def frontend_export(
    spec: str,
    model: str,
    sample: str,
    target: Optional[str],
    template: str,
    out: str,
    app: Optional[str],
    **board: Optional[str],
) -> None:
    """Write new_project with the front end in components/frontend (for esp32s3 without --target and --board)."""
    from ..frontend import command

    if not target and not board["board"]:
        target = "esp32s3"
    command.export(spec, model, sample, target, template, out, app, **board)


@frontend.command()
@spec_option()
@project_option()
@click.option("--out", type=Writes(), help="folder for the pictures with their boxes")
@click.argument("files", nargs=-1, required=True)
def detect(spec: str, project: str, out: Optional[str], files: tuple) -> None:
    """Find boxes in pictures, or folders of them, with the C of an exported detector: docs/detection.md."""
    from ..frontend.detect import detect as in_pictures

    in_pictures(project, spec, list(files), out)


@esp_tvm.command()
@click.option("--target", type=Chip(), help="only boards with this chip")
def boards(target: Optional[str]) -> None:
    """List the boards that --board knows: chip, flash and PSRAM, and where that stands."""
    from ..boards import BOARDS
    from ..terminal import Table, show

    rows = []
    for board in BOARDS.values():
        if target in (None, board.chip):
            psram = "-" if board.psram is None else f"{board.psram.mib} MB {board.psram.mode}"
            rows.append((board.name, board.chip, f"{board.flash_mib} MB", psram, board.source))
    show(Table(("board", "chip", "flash", "PSRAM", "source"), rows, "llrr"))


@esp_tvm.command()
@click.argument("shell", type=Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """Print what makes this shell complete esp-tvm: eval "$(esp-tvm completion bash)" in its start-up file."""
    from click.shell_completion import get_completion_class

    maker = get_completion_class(shell)
    assert maker is not None
    click.echo(maker(esp_tvm, {}, "esp-tvm", "_ESP_TVM_COMPLETE").source())


# What the documented scripts of tools/tvm call the options: {esp-tvm's: the script's}. They stay as they are typed.
SCRIPTS: Dict[str, Mapping[str, str]] = {
    "preprocess": {"--model": "--input"},
    "quantize": {"--model": "--input_model", "--output": "--output_model", "--calib": "--calibrate_dataset"},
    "export": {
        "--target": "--target_chip",
        "--model": "--model_path",
        "--input": "--img_path",
        "--template": "--template_path",
        "--out": "--out_path",
    },
    "run": {},
    "emulate": {},
    "debug": {"--target": "--target_chip", "--model": "--model_path", "--input": "--img_path"},
    "compare": {"--target": "--target_chip"},
    "report": {},
    "evaluate": {},
    "convert": {"--trust_pickle": "--trust-pickle"},
    "component": {},
    "frontend arrays": {},
    "frontend export": {"--target": "--target_chip", "--template": "--template_path", "--out": "--out_path"},
    "frontend detect": {},
}


def command_of(name: str) -> Command:
    """The sub-command called `name`, as typed: `export`, `frontend arrays`."""
    command: Any = esp_tvm
    for word in name.split():
        command = command.commands[word]
    return command


for _name, _spellings in SCRIPTS.items():
    command_of(_name).spellings = _spellings


def script(name: str) -> click.Command:
    """What a script of tools/tvm runs: a sub-command, or a group of them, by the documented names of its options."""
    command = command_of(name)
    if not isinstance(command, Group):
        renamed = command.renamed(SCRIPTS[name])
        renamed.context_settings = _CONTEXT
        return renamed
    group = Group(command.name, help=command.help, context_settings=_CONTEXT)
    for inner in command.commands:
        group.add_command(script(f"{name} {inner}"), inner)
    return group
