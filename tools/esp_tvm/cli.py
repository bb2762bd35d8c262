"""What all command-line entry points share."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Callable

from .errors import UserError
from .naming import one_line

EXIT_USER_ERROR = 2


def run(main: Callable[[], int | None]) -> None:
    """Run `main` and end the process: 0 or its return value, 2 with one line on a `UserError`."""
    try:
        status = main()
        sys.stdout.flush()
    except UserError as error:
        sys.stdout.flush()
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        status = EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        # The reader (head, less) went away; without this Python complains again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status or 0)


def boolean(text: str) -> bool:
    """An argparse type for real booleans: `--per_channel false` means false."""
    value = text.strip().lower()
    if value in ("true", "yes", "on", "1"):
        return True
    if value in ("false", "no", "off", "0"):
        return False
    raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")
