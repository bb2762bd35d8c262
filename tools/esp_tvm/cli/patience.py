"""An occasional line while a command works without printing."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Iterator

from ..steps.words import WATCHED, WORD_EVERY, say


@contextlib.contextmanager
def told_now_and_then(what: str, every: float = WORD_EVERY) -> Iterator[None]:
    """Report on standard error that `what` is still running, each `every` seconds until the block ends."""
    if os.environ.get(WATCHED):
        yield
        return
    begin, done = time.monotonic(), threading.Event()

    def tell() -> None:
        while not done.wait(every):
            say(f"{what}: still at work after {time.monotonic() - begin:.0f} s")

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
