"""The command line: shared by all sub-commands, with one-line messages for typing errors."""

from __future__ import annotations

import copy
import os
import stat
from typing import Any, List, Mapping, Optional, Sequence

import click

from ..errors import UserError, did_you_mean
from ..naming import one_line, shown


class Choice(click.Choice):
    """One of a few words; for a misspelt one the closest is suggested."""

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> Any:
        if value in self.choices:
            return value
        near = did_you_mean(str(value), self.choices)
        self.fail(f"'{shown(str(value))}' is none of {', '.join(self.choices)}{near}", param, ctx)


class Chip(click.ParamType):
    """A chip's name in any usual spelling: ESP32-S3 is esp32s3."""

    name = "chip"

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> str:
        from ..chips import check_chip

        return check_chip(value).name

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list:
        from click.shell_completion import CompletionItem

        from ..chips import CHIPS

        return [CompletionItem(name) for name in CHIPS if name.startswith(incomplete)]


class _FilePath(click.ParamType):
    """A path that the shell completes."""

    name = "path"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class Reads(_FilePath):
    """A file or folder that is only read. Its reader checks whether it exists and what it contains."""

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> str:
        mode = _mode_of(value)
        if mode is not None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise UserError(f"{value}: is neither a file nor a folder; a pipe or a device is not read")
        return value


class Writes(_FilePath):
    """A file that is written: never one that the same command reads."""


def _mode_of(path: str) -> Optional[int]:
    try:
        return os.stat(path).st_mode
    except (OSError, ValueError):
        return None


class Command(click.Command):
    """A sub-command. `spellings` are the names of its options in a script of tools/tvm, for hints to users who know
    those."""

    spellings: Mapping[str, str] = {}

    def invoke(self, ctx: click.Context) -> Any:
        self._keep_inputs(ctx)
        return super().invoke(ctx)

    def _keep_inputs(self, ctx: click.Context) -> None:
        """A file that is read is never written, however the two paths are spelled."""
        paths = [(p, ctx.params.get(p.name)) for p in self.params]
        reads = [(p.opts[-1], value) for p, value in paths if isinstance(p.type, Reads) and isinstance(value, str)]
        for param, value in paths:
            if not isinstance(param.type, Writes) or not isinstance(value, str) or not os.path.exists(value):
                continue
            for option, read in reads:
                if os.path.exists(read) and os.path.samefile(value, read):
                    raise UserError(f"{value}: would be overwritten, {option} names the same file; write to another")

    def renamed(self, spellings: Mapping[str, str]) -> Command:
        """The same command with other names for its options: {esp-tvm's: the script's}."""
        script = copy.copy(self)
        script.params = []
        for param in self.params:
            param = copy.copy(param)
            param.opts = [spellings.get(option, option) for option in param.opts]
            script.params.append(param)
        return script


class Group(click.Group):
    """Sub-commands; for a misspelt one the closest is suggested."""

    command_class = Command

    def resolve_command(self, ctx: click.Context, args: List[str]) -> Any:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = did_you_mean(args[0], self.commands)
            ctx.fail(f"'{shown(args[0])}' is no command of {ctx.command_path}{near}")
        return super().resolve_command(ctx, args)


def call(command: click.Command, arguments: Optional[Sequence[str]], name: str) -> Optional[int]:
    """Run `command` (of `sys.argv` where there are no arguments); a typing error becomes a `UserError` of one line."""
    try:
        return command.main(arguments, prog_name=name, standalone_mode=False)
    except click.UsageError as error:
        raise UserError(_usage_line(error, name))
    except click.Abort:
        raise KeyboardInterrupt


def _usage_line(error: click.UsageError, name: str) -> str:
    path = error.ctx.command_path if error.ctx else name
    text = error.format_message()
    if isinstance(error, click.NoSuchOption):
        text = f"{path} has no option {one_line(error.option_name, 60)}{_near_option(error)}"
    elif isinstance(error, click.MissingParameter) and error.param is not None:
        param = error.param
        name = param.opts[-1] if isinstance(param, click.Option) else param.human_readable_name
        text = f"{name} is missing: {getattr(param, 'help', None) or 'the model'}"
    elif isinstance(error, click.BadParameter) and error.param is not None:
        text = f"{'/'.join(error.param.opts)}: {error.message}"
    return f"{text.rstrip('.')} ({path} --help tells all)"


def _near_option(error: click.NoSuchOption) -> str:
    command = error.ctx.command if error.ctx else None
    options = [option for param in getattr(command, "params", ()) for option in param.opts]
    other = {theirs: ours for ours, theirs in getattr(command, "spellings", {}).items()}
    if error.option_name in other and other[error.option_name] in options:
        return f"; here it is {other[error.option_name]}"
    # An option that differs only in hyphens and underscores is the best suggestion.
    same = [o for o in options if o.strip("-").replace("-", "_") == error.option_name.strip("-").replace("-", "_")]
    return f"; did you mean {same[0]}?" if same else did_you_mean(error.option_name, options)
