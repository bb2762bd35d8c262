"""Shared by all command-line entry points: how a process ends, and its last message."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import sys
import threading
import warnings
from types import FrameType
from typing import Any, Callable, Iterator, List, Optional

from ..errors import UserError
from ..naming import one_line
from ..steps.words import say_error, with_streams

EXIT_USER_ERROR = 2
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def entry() -> None:
    """The command esp-tvm."""
    run(lambda: _click("esp-tvm"))


def script(name: str) -> None:
    """A script of tools/tvm: the sub-command `name` with the documented names of its options."""
    run(lambda: _click(os.path.basename(sys.argv[0]), name))


def _click(shown_as: str, name: str = "") -> Optional[int]:
    find_tvm()
    # Imported here, so that one line can report packages that are not installed.
    from .app import call
    from .commands import esp_tvm
    from .commands import script as script_of
    from .patience import told_now_and_then

    with told_now_and_then(shown_as):
        return call(script_of(name) if name else esp_tvm, None, shown_as)


def run(main: Callable[[], int | None]) -> None:
    """Run `main` and end the process: 0 or its return value; 2, with one line, for a mistake that the user can correct.

    That is a `UserError`, a package that is not installed, and what the operating system refuses (a full disk).
    """
    with_streams()
    if not sys.warnoptions:
        # NumPy's of an overflow in somebody's data: what becomes of it is checked, and told. python -W shows them.
        warnings.simplefilter("ignore", RuntimeWarning)
    try:
        with _noted_signals() as seen:
            status = main()
            sys.stdout.flush()
    except Exception as error:
        # If Ctrl-C interrupts a callback of TVM's or ONNX Runtime's library, they turn it into another error.
        status = _ended_by(seen) if seen else _told(error)
        if status is None:
            raise
    except KeyboardInterrupt:
        status = _ended_by(seen)
    sys.exit(status or 0)


def _ended_by(seen: List[int]) -> int:
    """Say that a signal ended the command; the exit code that shells give it."""
    number = seen[0] if seen else signal.SIGINT
    print("interrupted" if number == signal.SIGINT else "terminated", file=sys.stderr)
    return 128 + number


@contextlib.contextmanager
def _noted_signals() -> Iterator[List[int]]:
    """A list that becomes non-empty when Ctrl-C or SIGTERM arrives; after both, unfinished work is undone."""
    seen: List[int] = []
    usual_hook = sys.unraisablehook

    def note(number: int, frame: Optional[FrameType]) -> None:
        seen.append(number)
        if _is_within(once_more, frame):
            # Raised here it would be dropped once more.
            send_again()
        else:
            raise KeyboardInterrupt

    def send_again() -> None:
        # Later each time: on a loaded machine even the start of a timer takes long.
        threading.Timer(0.01 * len(seen), os.kill, (os.getpid(), seen[-1])).start()

    def once_more(lost: Any) -> None:
        """Python drops exceptions raised in a destructor or in one of its callbacks: the signal is sent again
        afterwards."""
        if seen and lost.exc_type is KeyboardInterrupt:
            send_again()
        else:
            usual_hook(lost)

    if threading.current_thread() is not threading.main_thread():
        # Other threads cannot set it.
        yield seen
        return
    # Unchanged if the parent process wants it ignored, or if there is another handler already.
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    ours = [number for number, handler in usual.items() if signal.getsignal(number) is handler]
    for number in ours:
        signal.signal(number, note)
    sys.unraisablehook = once_more
    try:
        yield seen
    finally:
        sys.unraisablehook = usual_hook
        for number in ours:
            signal.signal(number, usual[number])


def _is_within(function: Callable, frame: Optional[FrameType]) -> bool:
    """Whether `function` is what `frame` belongs to, or one of its callers."""
    while frame is not None and frame.f_code is not function.__code__:
        frame = frame.f_back
    return frame is not None


def _told(error: Exception) -> Optional[int]:
    """Tell the user in one line what went wrong; returns the exit code, or None for an error of this program."""
    if isinstance(error, BrokenPipeError):
        # The reader (head, less) has ended; without this Python reports it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, UserError):
        sys.stdout.flush()
        text = str(error)
    elif isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        if package == __package__.partition(".")[0]:
            return None
        text = _missing(package)
    elif isinstance(error, RecursionError):
        text = "the model is too long a chain of layers, or too deeply nested; split it into several models"
    elif isinstance(error, MemoryError):
        text = "this computer has not enough memory for it"
    elif isinstance(error, OSError):
        text = system_error(error)
    else:
        return None
    say_error(one_line(text))
    return EXIT_USER_ERROR


def _missing(package: str) -> str:
    here = sys.executable or "this Python"
    if package == "tvm":
        return (
            f"TVM is not there for {here}; in the project's folder type 'make setup' and '. tools/tvm/download.sh', or "
            "set TVM_HOME to the folder of a TVM 0.11 to 0.19 (its python/tvm is taken)"
        )
    return (
        f"the Python package '{package}' is not there for {here}; type 'make setup', then 'source .venv/bin/activate; "
        ". tools/tvm/download.sh', or use the make targets"
    )


def find_tvm() -> None:
    """Make TVM importable if it is not on the path: the one in TVM_HOME, or the one installed by `make setup`."""
    from importlib.util import find_spec

    from ..places import CHECKOUT

    # Without this TVM downloads tuning logs at its first build.
    os.environ.setdefault("TOPHUB_LOCATION", "NONE")
    home = os.environ.get("TVM_HOME")
    folders = [os.path.join(home, "python")] if home else []
    folders += [str(CHECKOUT / "tvm" / "python")] if CHECKOUT else []
    found = find_spec("tvm")
    if found is None or not found.origin:
        sys.path += [folder for folder in folders if os.path.isdir(os.path.join(folder, "tvm"))][:1]


def system_error(error: OSError) -> str:
    """An error of the operating system for the user: the file, the reason, and what to do if that is known."""
    where, number, reason = error.filename, error.errno, error.strerror
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        # The first of several files that could not be copied: (source, target, text of the exception).
        _, where, reason = error.args[0][0]
        number = errno.ENOSPC if os.strerror(errno.ENOSPC) in str(reason) else None
        reason = os.strerror(number) if number else reason
    advice = (
        "; make room there" if where else "; make room where the output goes, and in the folder for temporary files"
    )
    return f"{f'{where}: ' if where else ''}{reason or error}{advice if number in _NO_ROOM else ''}"
