"""Independent pieces of work on all cores. Pieces and their order are fixed: results do not depend on the cores."""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Deque, Iterable, Iterator, TypeVar

import numpy as np

# Of glibc's malloc.h: M_ARENA_MAX.
_ARENA_MAX = -8
Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """function(item) of each, in the order of `items`, computed by one thread per core.

    NumPy and ONNX Runtime let other threads run while they compute. Only as many results wait as there are threads.
    """
    items = list(items) if not isinstance(items, Iterator) else items
    threads = cores() if isinstance(items, Iterator) else min(cores(), len(items))
    if threads <= 1:
        yield from map(function, items)
        return
    _share_memory()
    how = np.geterr()  # a new thread would warn again

    def quietly(item: Item) -> Result:
        with np.errstate(**how):
            return function(item)

    with ThreadPoolExecutor(threads) as pool:
        rest = iter(items)
        waiting: Deque = deque(pool.submit(quietly, item) for item in itertools.islice(rest, threads))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(quietly, item) for item in itertools.islice(rest, 1))
            yield result


@functools.lru_cache(maxsize=None)
def _share_memory() -> None:
    """One heap for all threads: where each has its own, what one frees is missing in another, gigabytes in all."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)


__all__ = ["cores", "in_order"]
