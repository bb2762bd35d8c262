"""What all command-line entry points share."""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import sys
from typing import Callable

from .errors import UserError
from .naming import one_line

EXIT_USER_ERROR = 2
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def run(main: Callable[[], int | None]) -> None:
    """Run `main` and end the process: 0 or its return value, 2 with one line on what the user can put right.

    That is a `UserError`, a package that is not installed, and what the operating system refuses (a full disk).
    """
    try:
        status = main()
        sys.stdout.flush()
    except UserError as error:
        sys.stdout.flush()
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        status = EXIT_USER_ERROR
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == __package__:
            raise
        print(f"error: {_missing(package)}", file=sys.stderr)
        status = EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        # The reader (head, less) went away; without this Python complains again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except MemoryError:
        print("error: this computer has not enough memory for it", file=sys.stderr)
        status = EXIT_USER_ERROR
    except OSError as error:
        print(f"error: {one_line(system_error(error))}", file=sys.stderr)
        status = EXIT_USER_ERROR
    sys.exit(status or 0)


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
