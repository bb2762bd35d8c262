"""Tables and progress: plain lines where they are not read on a terminal, folded and drawn where they are."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from esp_tvm.terminal import Table, lines_of

TOOLS = Path(__file__).resolve().parents[1] / "tools"
TABLE = Table(("kernel", "ONNX nodes", "bytes"), [("conv2d", 'Conv "a"', 7), ("fc", "", 12345)], "llr")
LONG = "Conv " + " ".join(f"word{index}" for index in range(30)) + " " + "x" * 200
SHOW = f"from esp_tvm.terminal import Table, show; show('before', Table(('name', 'bytes'), [({LONG!r}, 12)], 'lr'))"
STEPS = "\n".join(
    [
        "import time",
        "from esp_tvm.terminal import Progress",
        "with Progress('fitting weights', 4) as progress:",
        "    for _ in range(4):",
        "        print('a line of the result', flush=True)",
        "        time.sleep(0.3)",
        "        progress.step()",
    ]
)


def environment(**others: str) -> dict:
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TERM")}
    return {**kept, "PYTHONPATH": str(TOOLS), "TERM": "xterm", **others}


def on_terminal(code: str, **others: str) -> str:
    """What `code` writes to standard output and error where both are a terminal."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=environment(**others))
    os.close(theirs)
    text = b""
    try:
        while True:
            block = os.read(ours, 1 << 16)
            if not block:
                break
            text += block
    except OSError:
        pass  # the other side is closed
    os.close(ours)
    assert running.wait(60) == 0, text
    return text.decode()


def test_plain_table():
    assert TABLE.lines() == [
        "kernel  ONNX nodes  bytes",
        "------- ----------- -----",
        'conv2d  Conv "a"        7',
        "fc                  12345",
    ]
    assert lines_of(["a", TABLE, "b"]) == ["a", *TABLE.lines(), "b"]


def test_a_table_without_rows_is_its_head():
    assert Table(("a", "bytes"), []).lines() == ["a  bytes", "-- -----"]


def test_names_are_data():
    """Neither markup, nor emoji codes, nor control characters of a model's names mean anything."""
    names = ["[red]x[/red]", "[/]", ":smile:", "\x1b[31m\r\n\t\x07", "[link=file:///x]"]
    lines = Table(("name", "n"), [(name, 1) for name in names]).lines()
    assert len(lines) == 2 + len(names) and all(line.isprintable() for line in lines)
    assert [line[: len(name)] for line, name in zip(lines[2:5], names)] == names[:3]
    assert lines[-1].startswith(names[-1]) and lines[5].startswith(" [31m")


def test_nothing_is_cut_and_plain_where_there_is_no_terminal():
    done = subprocess.run(
        [sys.executable, "-c", SHOW], stdout=subprocess.PIPE, env=environment(COLUMNS="40", FORCE_COLOR="1"), text=True
    )
    assert done.stdout.splitlines()[0] == "before" and f"{LONG}     12" in done.stdout
    assert "\x1b" not in done.stdout and len(done.stdout.splitlines()) == 4


def test_stdout_without_unicode():
    code = "from esp_tvm.terminal import Table, show; show('\\u2026', Table(('name',), [('a\\u2026b',)]))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env=environment(PYTHONIOENCODING="ascii"),
        check=True,
        text=True,
    )
    assert done.stdout.splitlines() == ["?", "name", "----", "a?b"]


def test_on_a_terminal_a_table_is_folded_to_its_width():
    text = on_terminal(SHOW, COLUMNS="60")
    assert "\x1b[1m" in text
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert max(map(len, lines)) <= 60 and lines[0] == "before"
    cells = [re.sub(r"\s+12$", "", line) for line in lines[3:]]
    assert "".join("".join(cells).split()) == LONG.replace(" ", "") and len(cells) > 5


def test_a_terminal_without_unicode():
    code = "from esp_tvm.terminal import Table, show; show(Table(('name',), [('a\\u2026b',)]))"
    assert "a?b" in on_terminal(code, PYTHONIOENCODING="ascii")


def test_progress_on_a_terminal_tells_the_time_left_and_goes():
    text = on_terminal(STEPS)
    assert re.search(r"fitting weights \S+ [123]/4 0:00:\d\d left", re.sub(r"\x1b\[[0-9;]*m", "", text))
    assert text.count("a line of the result") == 4
    # The cursor is there again and the line is empty.
    assert text.rstrip().endswith("\x1b[2K") and text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_progress_where_a_terminal_cannot_move_its_cursor_has_no_codes():
    assert "\x1b" not in on_terminal(STEPS, TERM="dumb")


def test_what_prints_nothing_loads_no_rich():
    code = "import sys, esp_tvm.cli.app, esp_tvm.terminal; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment()).returncode == 0
