"""The messages of the steps, and how they end."""

from __future__ import annotations

import os
import sys
from typing import Callable, NoReturn

from ..errors import UserError

# Without a terminal, a silent step is reported this often (seconds).
WORD_EVERY = 30.0
# Set for the scripts of a step: the step reports it, not they.
WATCHED = "ESP_TVM_WATCHED"


class StepError(Exception):
    """One line for the user, or nothing if a step has already printed it; and the exit code."""

    def __init__(self, text: str = "", status: int = 2) -> None:
        super().__init__(text)
        self.status = status


class Terminated(BaseException):
    """This process was asked to end (SIGTERM, SIGHUP); `status` is its exit code.

    The running script reports it; without one there is nothing to report.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def fail(text: str) -> NoReturn:
    """End with one line of what is wrong and what to do."""
    raise StepError(text)


def say(text: str) -> None:
    """A line for the user; standard output is for the results of a step."""
    print(text, file=sys.stderr, flush=True)


def say_error(text: str) -> None:
    """The line about an error; red on a terminal."""
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    say(f"{chr(27)}[31merror:{chr(27)}[0m {text}" if coloured else f"error: {text}")


def with_streams() -> None:
    """If standard output or error is closed (`>&-`), messages are dropped."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))


def exit_status(work: Callable[[], None]) -> int:
    """Do the work, report errors to the user, and return the exit code."""
    with_streams()
    try:
        work()
        sys.stdout.flush()
    except (StepError, UserError) as error:
        if str(error):
            say_error(" ".join(str(error).splitlines()))
        return getattr(error, "status", 2)
    except BrokenPipeError:
        # The reader (head, less) has ended: print nothing more, not even at exit.
        sys.stdout = None
        return 1
    except OSError as error:
        where = error.filename or "where the output goes"
        say_error(f"{where}: {error.strerror}")
        return 2
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except Terminated as ended:
        return ended.status
    return 0
