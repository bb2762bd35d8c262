"""The command esp-tvm: its sub-commands, and the scripts of tools/tvm, which are the same by their documented names.

The sub-commands of a model, of an exported project and of a front end are in files beside this one. What a sub-command
does is imported when it runs: --help and completion answer at once, and outside the environment one line says what is
missing.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

import click

from .. import __version__
from .app import Chip, Choice, Command, Group
from .frontend_commands import frontend
from .model_commands import convert, export, preprocess, quantize
from .project_commands import compare, component, debug, emulate, evaluate, report, run

_CONTEXT = {"show_default": True, "max_content_width": 110, "help_option_names": ["-h", "--help"]}


@click.group(cls=Group, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="esp-tvm")
def esp_tvm() -> None:
    """From a trained float model (ONNX) to a verified int8 program on an Espressif chip."""


for _command in (preprocess, quantize, export, run, emulate, debug, compare, report, evaluate, convert, component):
    esp_tvm.add_command(_command)
esp_tvm.add_command(frontend)


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
    "frontend check": {},
    "frontend limits": {},
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
