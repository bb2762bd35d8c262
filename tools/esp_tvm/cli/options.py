"""Options that several sub-commands share, and groups of options."""

from __future__ import annotations

from typing import Any

import click

from ..places import TEMPLATE
from .app import Chip, Reads


def model_option(help: str = "the quantized ONNX model that the project was exported from") -> Any:
    """A quantized or float ONNX model, which is read."""
    return click.option("--model", required=True, type=Reads(), help=help)


def input_option(help: str = ".npy file with one sample or many") -> Any:
    """Samples, which are read."""
    return click.option("--input", required=True, type=Reads(), help=help)


def project_option() -> Any:
    """The folder of an exported project."""
    return click.option("--project", required=True, type=Reads(), help="the folder new_project")


def target_option(**options: Any) -> Any:
    """A chip; options: of `click.option`."""
    from ..chips import CHIPS

    return click.option("--target", type=Chip(), help=", ".join(CHIPS), **options)


def template_option() -> Any:
    """The template project of an export."""
    return click.option(
        "--template", type=Reads(), default=str(TEMPLATE), show_default="the project's own", help="template project"
    )


# Passes of the quantization that can be left out.
_PASSES = {
    "per_channel": "one weight scale per output channel",
    "equalize": "even out the ranges of a tensor's channels",
    "centre": "store inputs, and what is never negative, minus a constant, where that helps",
    "correct_bias": "let biases take what rounding does to the mean",
    "int16_outputs": "with --method auto, outputs of a last Gemm or small Conv in int16, before a softmax too",
    "fit": "round weights so that their errors make up for each other",
}


def pass_options(command: Any) -> Any:
    """One option for each pass of the quantization that can be left out."""
    for name, what in reversed(list(_PASSES.items())):
        command = click.option(f"--{name}", type=click.BOOL, default="true", metavar="true|false", help=what)(command)
    return command


class _BoardName(click.ParamType):
    """A board's name; the shell completes those that are known."""

    name = "board"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list:
        from click.shell_completion import CompletionItem

        from ..boards import BOARDS

        return [CompletionItem(name) for name in BOARDS if name.startswith(incomplete)]


# What a board has, where its name does not say it.
_MEMORY = {
    "flash": ("4MB", "size of its flash chip (default: the smallest that holds the program)"),
    "psram": ("8MB:octal", "its PSRAM: 2MB:quad, 8MB:octal, 32MB:hex or none (default: that of the chip's modules)"),
    "internal": ("200kB", "internal RAM that the model may take (default: all but 96 kB for the system)"),
}


def board_options(command: Any) -> Any:
    """A board by its name, or what it has."""
    for name, (metavar, what) in reversed(list(_MEMORY.items())):
        command = click.option(f"--{name}", metavar=metavar, help=what)(command)
    text = "the board by its name, like esp32-s3-devkitc-1-n8r8: its chip, flash and PSRAM (docs/choosing-a-chip.md)"
    return click.option("--board", type=_BoardName(), help=text)(command)


def spec_option() -> Any:
    """The YAML of a front end."""
    return click.option("--spec", required=True, type=Reads(), help="YAML: docs/image-input.md, docs/audio-input.md")
