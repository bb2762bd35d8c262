"""A small process that forks in place of this one what esp_tvm.native computes apart.

To fork copies the page tables of a process, and a worker of pytest has hundreds of megabytes of TVM's objects: each of
some thousand models that tests load would take longer to fork than to read.
"""

from __future__ import annotations

import atexit
import functools
import os
import pickle
import signal
import socket
import subprocess
import sys
from multiprocessing import reduction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Callable, Dict, Optional, Set

import cloudpickle

from esp_tvm import native

_fork, _end = native._fork, native._end


class Server:
    """Stands in for `native._fork` and `native._end`; native.py does the rest here as ever."""

    def __init__(self) -> None:
        self.used = True
        self._process: Optional[subprocess.Popen] = None
        self._connection: Optional[Connection] = None
        self._owner = 0
        self._children: Set[int] = set()

    def fork(self, work: Callable, write: int, model_bytes: int) -> int:
        """The process that computes `work`; of this process where the server is not used or cannot have the work."""
        if not self.used or (self._process and self._owner != os.getpid()):
            return _fork(work, write, model_bytes)
        try:
            pickled = cloudpickle.dumps(work)
        except (TypeError, pickle.PicklingError):  # an open session of ONNX Runtime
            return _fork(work, write, model_bytes)
        connection = self._connection or self._started()
        connection.send((os.getcwd(), dict(os.environ), model_bytes, pickled))
        reduction.send_handle(connection, write, self._process.pid)
        child = connection.recv()
        self._children.add(child)
        return child

    def end(self, child: int) -> int:
        if child not in self._children:
            return _end(child)
        self._children.remove(child)
        self._connection.send(child)
        return self._connection.recv()

    def close(self) -> None:
        """End the server; so its time counts as this process's."""
        if self._process and self._owner == os.getpid():
            self._connection.close()
            self._process.wait()
            self._process = self._connection = None

    def _started(self) -> Connection:
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen([sys.executable, __file__], stdin=theirs, env=environment, cwd="/")
        theirs.close()
        self._connection, self._owner = Connection(ours.detach()), os.getpid()
        atexit.register(self.close)
        return self._connection


def _serve() -> None:
    _get_ready()
    connection = Connection(os.dup(0))
    while True:
        try:
            message = connection.recv()
        except EOFError:
            return
        if isinstance(message, int):
            connection.send(_end(message))
            continue
        folder, environment, model_bytes, pickled = message
        write = reduction.recv_handle(connection)
        connection.send(_fork(functools.partial(_work, folder, environment, pickled), write, model_bytes))
        os.close(write)


def _work(folder: str, environment: Dict[str, str], pickled: bytes, tell: Callable) -> bytes:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    return pickle.loads(pickled)(tell)


def _get_ready() -> None:
    """Do once what each child would do first."""
    import numpy as np
    from small_models import small_cnn

    import esp_tvm.preprocess.tools  # noqa: F401
    from esp_tvm.first_reading import inferred_values
    from esp_tvm.model import run_session, session

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    model = small_cnn()
    inferred_values(model)
    run_session(session(model), ["y"], {"x": np.zeros((1, 3, 8, 8), np.float32)})


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parent)
    _serve()
