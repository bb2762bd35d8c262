"""What the steps say to people, and how they end."""

from __future__ import annotations

import os
import sys
from typing import Callable, NoReturn

from ..errors import UserError

# Where there is no terminal, people hear of a silent step this often (seconds).
WORD_EVERY = 30.0
# Set for the scripts of a step: the step says so, not they.
WATCHED = "ESP_TVM_WATCHED"


class StepError(Exception):
    """One line for the user, or nothing where a step has said it already; and the exit code."""

    def __init__(self, text: str = "", status: int = 2) -> None:
        super().__init__(text)
        self.status = status


class Terminated(BaseException):
    """Somebody asked this process to end (SIGTERM, SIGHUP); `status` is what it then ends with.

    The script that ran says so; where none did there is nothing to tell.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def fail(text: str) -> NoReturn:
    """End with one line of what is wrong and what to do."""
    raise StepError(text)


def say(text: str) -> None:
    """A line for people; standard output is for what a step computes."""
    print(text, file=sys.stderr, flush=True)


def say_error(text: str) -> None:
    """The one line of what is wrong; red where a person reads it."""
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    say(f"{chr(27)}[31merror:{chr(27)}[0m {text}" if coloured else f"error: {text}")


def with_streams() -> None:
    """Where standard output or error is closed (`>&-`), what is said goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))


def exit_status(work: Callable[[], None]) -> int:
    """Do the work, tell people what went wrong, and return what the process ends with."""
    with_streams()
    try:
        work()
        sys.stdout.flush()
    except (StepError, UserError) as error:
        if str(error):
            say_error(" ".join(str(error).splitlines()))
        return getattr(error, "status", 2)
    except BrokenPipeError:
        # The reader (head, less) went away: nothing more to say, not even at exit.
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
