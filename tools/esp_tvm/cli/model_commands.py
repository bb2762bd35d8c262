"""The sub-commands that make another model or a project of a model: convert, preprocess, quantize, export."""

from __future__ import annotations

from typing import Any, Optional, Sequence

import click
from click.core import ParameterSource

from ..boards import DEFAULT_SLOWDOWN
from .app import Choice, Command, Reads, Writes
from .options import board_options, input_option, model_option, pass_options, target_option, template_option


@click.command(cls=Command)
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


@click.command(cls=Command)
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
    help="end the model here: what follows (NonMaxSuppression) is left to the application; once for each output",
)
@click.option(
    "--limit",
    multiple=True,
    metavar="OUTPUT=LEAST:LARGEST",
    show_default="none",
    help="only these values of an output matter: int8 is for them, others become the limits; once for each output",
)
def preprocess(
    model: str, output: str, shape: Sequence[str], state: Sequence[str], end: Sequence[str], limit: Sequence[str]
) -> None:
    """Fold and simplify a float ONNX model before quantization."""
    from ..convert.sizes import parse_shapes
    from ..preprocess import preprocess_onnx, summary

    click.echo("\n".join(summary(preprocess_onnx(model, output, parse_shapes(shape), state, end, limit))))


@click.command(cls=Command)
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
    help="what int16 and centering may cost: instructions=5%,arena=5%, shares of the int8 network",
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
    given = click.get_current_context().get_parameter_source
    for option, other, value in (("int16_gain", "int16", "auto"), ("percentile", "method", "percentile")):
        if given(option) is ParameterSource.COMMANDLINE and settings[other] != value:
            raise click.UsageError(f"--{option} needs --{other} {value}")
    from ..quantize import quantize_onnx
    from ..quantize.command import evaluate_quantized
    from ..terminal import show

    result = quantize_onnx(model, output, calib, **settings)
    show(*result.parts())
    if evaluate:
        show(*evaluate_quantized(model, output, result, evaluate, labels))


@click.command(cls=Command)
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
    type=Choice(("auto", "flash", "ram", "partition", "psram")),
    default="auto",
    help="where weights and tables lie: in the program, copied to RAM or PSRAM at start, or in a data partition of "
    "their own; menuconfig changes it; auto: in the program, or copied to PSRAM where the board is known to have it "
    "and that saves a tenth of the estimate, 10 ms at least unless PSRAM is used anyway",
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
    "--slowdown",
    default="",
    metavar="PERCENT",
    show_default=DEFAULT_SLOWDOWN,
    help="with --arena least: by how much longer the program may take, by the estimate, than the fastest one without "
    "strips",
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
    slowdown: str,
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

    more = {"arena": arena, "slowdown": slowdown, "ports": ports, **board}
    export_onnx_model(target, model, input, template, out, debug, constants, vector == "on", int(cores), **more)
