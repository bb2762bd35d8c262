"""Cases in processes of their own: a crash, a hang or a flood of memory ends one process and is noted."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from .cases import FAULTS, Base, Fault, run_case

# Of one case: far more than any takes on a busy machine.
SECONDS = 300
MEMORY = 3 << 30
# Then a new process: what libraries keep does not add up.
CASES_OF_A_PROCESS = 150


@dataclass
class Result:
    """One case and what must not be in it."""

    kind: str
    seed: int
    faults: List[Fault] = field(default_factory=list)


class _Worker:
    """A process that is given cases one after the other."""

    def __init__(self, base: Base):
        self.base = base
        self.connection: Connection
        context = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, base), daemon=True)
        self.process.start()
        theirs.close()
        self.case: Optional[Tuple[str, int]] = None
        self.folder = Path()
        self.since = 0.0
        self.count = 0

    def give(self, case: Tuple[str, int], folder: Path) -> None:
        self.case, self.folder, self.since = case, folder, time.monotonic()
        self.count += 1
        self.connection.send((*case, folder))

    def trouble(self) -> Optional[Fault]:
        """Too long, or too large."""
        if time.monotonic() - self.since > SECONDS:
            return "hang", f"not done after {SECONDS} seconds"
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return None
        used = pages * os.sysconf("SC_PAGE_SIZE")
        return ("memory", f"{used >> 20} MiB") if used > MEMORY else None

    def end(self) -> None:
        self.connection.close()
        self.process.join(5)
        if self.process.is_alive():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()


def _serve(connection: Connection, base: Base) -> None:
    # A group of its own, so that compilers and programs end with it.
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while True:
        try:
            kind, seed, folder = connection.recv()
        except EOFError:
            return
        try:
            faults = run_case(kind, seed, folder, base)
        except BaseException as error:  # of the fuzzer itself: it must not pass for a case without faults
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno}"
            faults = [("traceback", f"in the fuzzer: {place} {type(error).__name__}: {error}"[:300])]
        connection.send(faults)


class Pool:
    """Runs cases on `jobs` processes. done: how many were; faults: of each kind; kinds: cases by kind."""

    def __init__(self, scratch: Path, jobs: int = 2, keep: Optional[Path] = None):
        self.scratch, self.jobs, self.keep = scratch, jobs, keep
        self.faults: Counter = Counter()
        self.kinds: Counter = Counter()
        self.times: Dict[str, float] = {}

    @property
    def done(self) -> int:
        return sum(self.kinds.values())

    def run(self, cases: Sequence[Tuple[str, int]], seconds: float) -> Iterator[Result]:
        """Results as they come; no case begins later than after `seconds`."""
        base = self._base()
        end = time.monotonic() + seconds
        waiting = list(reversed(cases))
        workers = [_Worker(base) for _ in range(min(self.jobs, len(waiting)))]
        try:
            for worker in workers:
                self._next(worker, waiting)
            while any(worker.case for worker in workers):
                ready = wait([w.connection for w in workers if w.case], 0.5)
                for place, worker in enumerate(workers):
                    if worker.case is None:
                        continue
                    found = self._look(worker, worker.connection in ready)
                    if found is None:
                        continue
                    yield self._note(worker, found)
                    if not worker.process.is_alive() or worker.count >= CASES_OF_A_PROCESS:
                        worker.end()
                        workers[place] = worker = _Worker(base)
                    if waiting and time.monotonic() < end:
                        self._next(worker, waiting)
        finally:
            for worker in workers:
                worker.end()

    def _base(self) -> Base:
        """Made in a process of its own: this one imports no TVM, for it is forked, and TVM forked has crashed."""
        folder = self.scratch / "base"
        folder.mkdir(parents=True)
        process = multiprocessing.get_context("fork").Process(target=Base.make, args=(folder,))
        process.start()
        process.join()
        if process.exitcode != 0:
            raise SystemExit("the network to damage cannot be made")
        shutil.rmtree(folder / "making")
        return Base(folder)

    def _next(self, worker: _Worker, waiting: List[Tuple[str, int]]) -> None:
        kind, seed = waiting.pop()
        worker.give((kind, seed), self.scratch / f"{kind}_{seed}")

    @staticmethod
    def _look(worker: _Worker, ready: bool) -> Optional[List[Fault]]:
        """What the worker's case ended with, None while it runs."""
        if ready:
            try:
                return worker.connection.recv()
            except EOFError:
                worker.process.join()
                return [("crash", f"the process ended with {worker.process.exitcode}")]
        trouble = worker.trouble()
        if trouble is None:
            return None
        os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.join()
        return [trouble]

    def _note(self, worker: _Worker, faults: List[Fault]) -> Result:
        kind, seed = worker.case
        worker.case = None
        self.kinds[kind] += 1
        self.times[kind] = self.times.get(kind, 0.0) + time.monotonic() - worker.since
        self.faults.update(fault for fault, _ in faults)
        if faults and self.keep is not None:
            shutil.copytree(worker.folder, self.keep / worker.folder.name, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(worker.folder, ignore_errors=True)
        return Result(kind, seed, faults)

    def summary(self) -> str:
        """Cases by kind with their time, and faults by kind."""
        kinds = ", ".join(f"{count} {kind} ({self.times[kind]:.0f} s)" for kind, count in sorted(self.kinds.items()))
        faults = ", ".join(f"{self.faults[fault]} {fault}" for fault in FAULTS)
        return f"{self.done} cases: {kinds}\nfaults: {faults}"
