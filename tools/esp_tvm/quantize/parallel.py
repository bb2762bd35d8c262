"""Independent pieces of work on all cores. Pieces and their order are fixed: results do not depend on the cores."""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Deque, Dict, Hashable, Iterable, Iterator, Sequence, TypeVar

import numpy as np

# Of glibc's malloc.h: M_ARENA_MAX.
_ARENA_MAX = -8
Item = TypeVar("Item")
Result = TypeVar("Result")
# How many threads compute something of `in_order` or `spread` now, and whether this one is counted.
_busy, _lock, _this = 0, threading.Lock(), threading.local()


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
        with _Counted(), np.errstate(**how):
            return function(item)

    with ThreadPoolExecutor(threads) as pool:
        rest = iter(items)
        waiting: Deque = deque(pool.submit(quietly, item) for item in itertools.islice(rest, threads))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(quietly, item) for item in itertools.islice(rest, 1))
            yield result


def spare_cores() -> int:
    """How many cores compute nothing of `in_order` or `spread` beside this thread now."""
    return max(cores() - _busy - (0 if getattr(_this, "counted", False) else 1), 0)


def spread(function: Callable[[Item], None], items: Sequence[Item]) -> None:
    """function(item) of each, in any order, by this thread and as many others as there are `spare_cores` now.

    For short pieces of work within others, which the threads of `in_order` may do at the same time.
    """
    with _Counted():
        helpers = _take(len(items) - 1)
        rest, how = iter(items), np.geterr()  # next() of an iterator of a sequence is one step for threads

        def work() -> None:
            with np.errstate(**how):
                for item in rest:
                    function(item)

        def help_out() -> None:
            try:
                work()
            finally:
                _give(1)

        others = [_helpers().submit(help_out) for _ in range(helpers)]
        try:
            work()
        finally:
            for other in others:
                other.exception()
    for other in others:
        other.result()


class Known:
    """Results by a key, each computed once, by the thread that asks for it first; others wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: Dict[Hashable, Future] = {}

    def get(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """The result of this key; make: computes it."""
        with self._lock:
            first = key not in self._found
            future = self._found.setdefault(key, Future())
        if first:
            try:
                future.set_result(make())
            except BaseException as error:
                future.set_exception(error)
        return future.result()


class _Counted:
    """Counts this thread among those that compute, unless it is."""

    def __enter__(self) -> None:
        self._new = not getattr(_this, "counted", False)
        if self._new:
            _this.counted = True
            _give(-1)

    def __exit__(self, *_exception) -> None:
        if self._new:
            _this.counted = False
            _give(1)


def _take(most: int) -> int:
    """Count up to `most` threads more, as many as there are cores for; returns how many."""
    global _busy
    with _lock:
        taken = max(min(cores() - _busy, most), 0)
        _busy += taken
    return taken


def _give(count: int) -> None:
    global _busy
    with _lock:
        _busy -= count


@functools.lru_cache(maxsize=None)
def _helpers() -> ThreadPoolExecutor:
    _share_memory()
    return ThreadPoolExecutor(cores())


@functools.lru_cache(maxsize=None)
def _share_memory() -> None:
    """One heap for all threads: where each has its own, what one frees is missing in another, gigabytes in all."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)


__all__ = ["Known", "cores", "in_order", "spare_cores", "spread"]
