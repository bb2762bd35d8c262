"""What all command-line entry points share."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import shutil
import signal
import sys
import threading
from typing import Callable, Iterator, List, Optional

from .errors import UserError
from .naming import one_line

EXIT_USER_ERROR = 2
_INTERRUPTED = 130
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def run(main: Callable[[], int | None]) -> None:
    """Run `main` and end the process: 0 or its return value, 2 with one line on what the user can put right.

    That is a `UserError`, a package that is not installed, and what the operating system refuses (a full disk).
    """
    try:
        with _noted_interrupts() as interrupted:
            status = main()
            sys.stdout.flush()
    except Exception as error:
        # Where Ctrl-C met a callback of TVM's or ONNX Runtime's library, an error of theirs came out of it.
        status = _INTERRUPTED if interrupted else _told(error)
        if status is None:
            raise
    except KeyboardInterrupt:
        status = _INTERRUPTED
    if status == _INTERRUPTED:
        print("interrupted", file=sys.stderr)
    sys.exit(status or 0)


@contextlib.contextmanager
def _noted_interrupts() -> Iterator[List[int]]:
    """A list that is not empty once Ctrl-C was pressed."""
    seen: List[int] = []

    def note(number: int, frame: object) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    # Left alone where whoever started us wants it ignored; other threads cannot set it.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not ours or threading.current_thread() is not threading.main_thread():
        yield seen
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _told(error: Exception) -> Optional[int]:
    """Tell the user in one line what went wrong; the exit code, or None for a mistake of ours."""
    if isinstance(error, BrokenPipeError):
        # The reader (head, less) went away; without this Python complains again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, UserError):
        sys.stdout.flush()
        text = str(error)
    elif isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        if package == __package__:
            return None
        text = _missing(package)
    elif isinstance(error, MemoryError):
        text = "this computer has not enough memory for it"
    elif isinstance(error, OSError):
        text = system_error(error)
    else:
        return None
    print(f"error: {one_line(text)}", file=sys.stderr)
    return EXIT_USER_ERROR


def _missing(package: str) -> str:
    what = "TVM" if package == "tvm" else f"the Python package '{package}'"
    return (
        f"{what} is not there for {sys.executable or 'this Python'}; type 'make setup', then "
        "'source .venv/bin/activate; . tools/tvm/download.sh', or use the make targets"
    )


def system_error(error: OSError) -> str:
    """What the operating system refused, for the user: the file, the reason, and what to do where that is known."""
    where, number, reason = error.filename, error.errno, error.strerror
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        # Of many files that could not be copied the first one: (source, target, what the exception said).
        _, where, reason = error.args[0][0]
        number = errno.ENOSPC if os.strerror(errno.ENOSPC) in str(reason) else None
        reason = os.strerror(number) if number else reason
    advice = (
        "; make room there" if where else "; make room where the output goes, and in the folder for temporary files"
    )
    return f"{f'{where}: ' if where else ''}{reason or error}{advice if number in _NO_ROOM else ''}"


def boolean(text: str) -> bool:
    """An argparse type for real booleans: `--per_channel false` means false."""
    value = text.strip().lower()
    if value in ("true", "yes", "on", "1"):
        return True
    if value in ("false", "no", "off", "0"):
        return False
    raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")
