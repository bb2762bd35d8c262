"""Tables and progress for users: with rich on a terminal, elsewhere as plain lines for grep and diff.

rich is imported when something is printed, not when this module is imported.
"""

from __future__ import annotations

import io
import sys
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Iterable, List, Optional, Sequence, Union

from .naming import one_line

if TYPE_CHECKING:
    import rich.console
    import rich.progress
    import rich.table

# More columns than any table here has: plain lines are never folded.
_WIDE = 1 << 16


@dataclass(frozen=True)
class Table:
    """head: a title for each column; rows: with as many cells, whose markup and control characters have no effect;
    right: a character for each column, r for right-aligned numbers, otherwise l
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    right: str = ""

    def lines(self) -> List[str]:
        """Aligned plain text, however wide: the head, dashes, the rows."""
        stream = io.StringIO()
        _console(stream, terminal=False, width=_WIDE).print(self._drawn(), crop=False)
        return [line.rstrip() for line in stream.getvalue().splitlines()]

    def show(self) -> None:
        """Print it on a terminal: cells take several lines where the table is wider than that."""
        _console(sys.stdout, terminal=True).print(self._drawn(fold=True))

    def _drawn(self, fold: bool = False) -> rich.table.Table:
        from rich.box import Box
        from rich.table import Table as Drawn
        from rich.text import Text

        ruled = Box("    \n    \n -  \n    \n    \n    \n    \n    \n", ascii=True)
        drawn = Drawn(box=ruled, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for title, side in zip(self.head, self.right.ljust(len(self.head), "l")):
            justify = "right" if side == "r" else "left"
            drawn.add_column(Text(title), justify=justify, no_wrap=not fold, overflow="fold")
        for row in self.rows:
            cells = (one_line(str(cell), _WIDE) for cell in row)
            drawn.add_row(*(Text(_encodable(cell) if fold else cell) for cell in cells))
        return drawn


Part = Union[str, Table]


def lines_of(parts: Iterable[Part]) -> List[str]:
    """Lines and tables as plain lines."""
    return [line for part in parts for line in (part.lines() if isinstance(part, Table) else [part])]


def show(*parts: Part) -> None:
    """Print lines and tables on standard output; on a terminal tables are folded to its width."""
    terminal = sys.stdout.isatty()
    for part in parts:
        if isinstance(part, Table) and terminal:
            part.show()
        else:
            for line in lines_of([part]):
                print(_encodable(line))


def _encodable(text: str) -> str:
    """Replace characters that standard output cannot encode by question marks."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def _console(stream: IO[str], terminal: bool, width: Optional[int] = None) -> rich.console.Console:
    from rich.console import Console

    return Console(
        file=stream,
        force_terminal=terminal,
        force_jupyter=False,
        color_system="auto" if terminal else None,
        width=width,
        markup=False,
        emoji=False,
        highlight=False,
    )


class Progress:
    """Progress and remaining time: a bar on the terminal, elsewhere an occasional line.

    what: a fixed text, not data; total: the number of steps
    """

    # Seconds between two lines if the output is not a terminal; shorter work prints none.
    EVERY = 15.0

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, max(total, 1), 0
        self.started = self.said = time.monotonic()
        self.bar: Optional[rich.progress.Progress] = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            console = _console(sys.stderr, terminal=True)
            # A terminal that cannot move its cursor gets plain lines.
            if not console.is_dumb_terminal:
                self.bar = _bar(console)
                self.task = self.bar.add_task(self.what, total=self.total)
                self.bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def step(self, count: int = 1) -> None:
        """`count` of `total` more are done."""
        self.done = min(self.done + count, self.total)
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done)
            return
        now = time.monotonic()
        if now - self.said >= self.EVERY:
            self.said = now
            print(f"{self.what}: {self.done}/{self.total}{self._left(now)}", file=sys.stderr, flush=True)

    def _left(self, now: float) -> str:
        left = (now - self.started) * (self.total - self.done) / max(self.done, 1)
        return f", about {left:.0f} s left" if left >= 1.0 else ""


def _bar(console: rich.console.Console) -> rich.progress.Progress:
    """The bar disappears at the end; other output is not redirected (standard output may be a file)."""
    from rich import progress

    columns = [
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(30),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("left", markup=False),
    ]
    return progress.Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
