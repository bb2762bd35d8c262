"""What the entry points say when something around them is wrong: one line, exit code 2, no traceback."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from esp_tvm import children, cli, files
from esp_tvm.cli.patience import told_now_and_then
from esp_tvm.errors import UserError

REPO = Path(__file__).resolve().parents[1]
FULL = os.strerror(errno.ENOSPC)


def raised(error: BaseException, capsys) -> str:
    """What `cli.run` prints for a main that raises `error`; it must end with 2."""

    def main():
        raise error

    with pytest.raises(SystemExit) as end:
        cli.run(main)
    assert end.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    "error, words",
    [
        (UserError("model.onnx: two\nlines"), ("model.onnx", "two lines")),
        (OSError(errno.ENOSPC, FULL, "out/x.onnx"), ("out/x.onnx", FULL, "make room")),
        (OSError(errno.ENOSPC, FULL), (FULL, "make room")),
        (PermissionError(errno.EACCES, "Permission denied", "out/x.onnx"), ("out/x.onnx: Permission denied",)),
        (shutil.Error([("a.c", "out/a.c", f"[Errno {errno.ENOSPC}] {FULL}: 'a.c'")]), ("out/a.c", FULL, "make room")),
        (OSError("4096 requested and 16 written"), ("4096 requested",)),
        (MemoryError(), ("memory",)),
        (RecursionError("maximum recursion depth exceeded"), ("too long a chain", "split it")),
        (ModuleNotFoundError("No module named 'onnx'", name="onnx"), ("onnx", "make setup")),
        (ModuleNotFoundError("No module named 'tvm.relay'", name="tvm.relay"), ("TVM", "make setup")),
    ],
)
def test_one_line(error, words, capsys):
    line = raised(error, capsys)
    assert all(word in line for word in words), line


def test_a_full_disk_is_told_with_the_file_that_did_not_fit(tmp_path, capsys):
    """Writing to an open file names no file; what was there before stays."""
    (tmp_path / "m.onnx").write_bytes(b"before")
    with pytest.raises(OSError) as error, files.whole_file(tmp_path / "m.onnx"):
        raise OSError(errno.ENOSPC, FULL)
    assert str(tmp_path / "m.onnx") in raised(error.value, capsys)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


@pytest.mark.parametrize("error", [ValueError("a mistake of ours"), ModuleNotFoundError("x", name="esp_tvm.x")])
def test_mistakes_of_our_own_keep_their_traceback(error):
    def main():
        raise error

    with pytest.raises(type(error)):
        cli.run(main)


@pytest.fixture
def interruptible():
    """SIGINT as a shell in the foreground gives it; one that started make in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_child_ends_by_a_signal_that_comes_as_it_starts(monkeypatch, interruptible):
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    monkeypatch.setattr(children.subprocess, "Popen", Popen)
    with pytest.raises(KeyboardInterrupt):
        children.run_child(["sleep", "60"])
    assert started[0].returncode == -signal.SIGKILL


def test_interrupted(capsys):
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as end:
        cli.run(main)
    assert end.value.code == 130 and capsys.readouterr().err == "interrupted\n"


def test_an_error_that_an_interrupt_became_is_an_interrupt(capsys, interruptible):
    def main():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:  # as TVM's callbacks do
            raise UserError("TVM cannot compile this model: what a span has")

    with pytest.raises(SystemExit) as end:
        cli.run(main)
    assert end.value.code == 130 and capsys.readouterr().err == "interrupted\n"


def test_an_ignored_interrupt_stays_ignored(capsys, interruptible):
    """As for what a shell started in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def main():
        os.kill(os.getpid(), signal.SIGINT)
        print("done")

    with pytest.raises(SystemExit) as end:
        cli.run(main)
    assert end.value.code == 0 and capsys.readouterr().out == "done\n"


def test_sigterm_undoes_what_is_half_done(tmp_path):
    program = (
        "import sys, time; from esp_tvm import cli, files\n"
        "def main():\n"
        "    with files.whole_file(sys.argv[1]) as half:\n"
        "        half.write_text('half'); print('started', flush=True); time.sleep(60)\n"
        "cli.run(main)\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "file")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPO / "tools")},
    )
    assert running.stdout.readline() == "started\n"
    running.terminate()
    assert running.communicate(timeout=20)[1] == "terminated\n"
    assert running.returncode == 143 and not list(tmp_path.iterdir())


def end_of(program: str, *arguments: str) -> subprocess.CompletedProcess:
    """A program that ends by a signal long before it is done."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(REPO / "tools")},
    )


@pytest.mark.parametrize("number, word", [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")])
def test_a_signal_in_a_destructor_is_not_lost(number, word):
    """Python prints and drops what is raised there, and in the hook that is told of it: on a loaded machine the signal
    that is sent again comes while the hook still starts its timer."""
    program = (
        "import os, threading, time; from esp_tvm import cli\n"
        "start = threading.Timer.start\n"
        "threading.Timer.start = lambda timer: (start(timer), time.sleep(0.1))\n"
        "class Ends:\n"
        "    def __del__(self):\n"
        f"        os.kill(os.getpid(), {int(number)}); time.sleep(0.2)\n"
        "def main():\n"
        "    Ends()\n"
        "    time.sleep(60)\n"
        "cli.run(main)\n"
    )
    done = end_of(program)
    assert (done.returncode, done.stderr) == (128 + number, f"{word}\n")


@pytest.mark.parametrize("when", ["after_in_parent", "after_in_child", "before"])
def test_a_signal_in_a_fork_ends_both(tmp_path, when):
    """The child of native.py is forked with our handlers: what they raise belongs to the parent alone."""
    program = (
        "import os, signal, sys, time; from esp_tvm import cli, native\n"
        "parent, note = os.getpid(), sys.argv[1]\n"
        "def ends():\n"
        "    open(note, 'w').write(str(os.getpid()))\n"
        "    os.kill(parent, signal.SIGTERM); os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.1)\n"
        f"os.register_at_fork({when}=ends)\n"
        "def work(tell):\n"
        "    open(note, 'w').write(str(os.getpid())); time.sleep(60); return b''\n"
        "def main():\n"
        "    try: native.run_apart(work)\n"
        "    finally: print('undone by', os.getpid() - parent)\n"
        "cli.run(main)\n"
    )
    done = end_of(program, str(tmp_path / "pid"))
    assert (done.returncode, done.stderr, done.stdout) == (143, "terminated\n", "undone by 0\n")
    number = int((tmp_path / "pid").read_text())
    assert not Path(f"/proc/{number}").exists()


def test_a_closed_standard_output(tmp_path):
    """No traceback where the reader is gone or there never was one."""
    command = "python -m esp_tvm --help"
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; {command} >&-; {command} 2>&- | true; {command} exprt 2>&-"],
        env={
            **os.environ,
            "PYTHONPATH": str(REPO / "tools"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert done.stderr == ""


def test_a_word_now_and_then(capsys, monkeypatch):
    monkeypatch.delenv("ESP_TVM_WATCHED", raising=False)
    with told_now_and_then("esp-tvm quantize", every=0.05):
        time.sleep(0.3)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2 and set(lines) == {"esp-tvm quantize: still at work after 0 s"}
    time.sleep(0.15)
    # Not where make says it, and not after the end.
    monkeypatch.setenv("ESP_TVM_WATCHED", "1")
    with told_now_and_then("esp-tvm quantize", every=0.05):
        time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_colours_only_on_a_terminal(monkeypatch):
    master, terminal = os.openpty()
    program = "from esp_tvm import cli, errors\ndef main(): raise errors.UserError('m.onnx: odd')\ncli.run(main)\n"
    environment = {**os.environ, "PYTHONPATH": str(REPO / "tools"), "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    for more, expected in (
        ({}, b"\x1b[31merror:\x1b[0m m.onnx: odd\r\n"),
        ({"NO_COLOR": "1"}, b"error: m.onnx: odd\r\n"),
    ):
        subprocess.run([sys.executable, "-c", program], env={**environment, **more}, stderr=terminal)
        assert os.read(master, 1000) == expected
    os.close(master)
    os.close(terminal)


def test_scripts_outside_the_environment(tmp_path):
    script = REPO / "tools/tvm/preprocess_onnx.py"
    command = [sys.executable, "-S", "-E", str(script), "--input", "model.onnx", "--output", "opt.onnx"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("error: the Python package")
    assert len(done.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())
