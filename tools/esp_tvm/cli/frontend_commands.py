"""The sub-commands of a front end: esp-tvm frontend arrays, check, limits, export, detect."""

from __future__ import annotations

import shlex
from typing import Optional

import click

from ..errors import UserError
from .app import Group, Reads, Writes
from .options import board_options, model_option, project_option, spec_option, target_option, template_option


@click.group(cls=Group)
def frontend() -> None:
    """Pictures or sound to a model's input, by a YAML beside the model: arrays to calibrate with, and C for the board.

    \b
    arrays --spec image.yaml --out calib.npy pictures/
    check --spec image.yaml --model model.onnx
    limits --spec image.yaml
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


@frontend.command()
@spec_option()
@click.option("--model", type=Reads(), help="the float model, whose outputs the YAML describes")
def check(spec: str, model: Optional[str]) -> None:
    """Refuse a YAML with which no project can be made, before the model is quantized."""
    from ..frontend import command

    command.check(spec, model)


@frontend.command()
@spec_option()
def limits(spec: str) -> None:
    """Options of preprocess that limit a detector's outputs to what can make a difference to its boxes, or nothing."""
    from ..frontend import command

    click.echo(" ".join(shlex.quote(word) for word in command.limits(spec)))


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
@click.option("--second_spec", type=Reads(), help="the YAML of a detector that looks at each box again")
@click.option("--second_project", type=Reads(), help="its folder new_project")
@click.argument("files", nargs=-1, required=True)
def detect(
    spec: str,
    project: str,
    out: Optional[str],
    second_spec: Optional[str],
    second_project: Optional[str],
    files: tuple,
) -> None:
    """Find boxes in pictures, or folders of them, with the C of an exported detector: docs/detection.md."""
    from ..frontend.detect import detect as in_pictures

    if (second_spec is None) != (second_project is None):
        raise UserError("--second_spec and --second_project go together: the YAML and the project of a second detector")
    second = (second_project, second_spec) if second_project and second_spec else None
    in_pictures(project, spec, list(files), out, second)
