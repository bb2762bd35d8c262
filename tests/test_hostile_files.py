"""Small files that stand for much, and text that would reach a terminal: bounded, one line."""

from __future__ import annotations

import base64
import json
import resource
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import pytest

from esp_tvm.convert.framework import has_lambda
from esp_tvm.errors import UserError
from esp_tvm.frontend.fields import read_yaml
from esp_tvm.frontend.image_spec import load_image_spec
from esp_tvm.trace.log import LogReader, text_lines

REPO = Path(__file__).resolve().parents[1]


def line(text: str) -> str:
    return f"~tvm {text} ~{zlib.crc32(text.encode()):08x}\n"


def runs(*lines: str) -> list:
    return list(LogReader().runs(lines))


# --- YAML -------------------------------------------------------------------------------------------------


def image_spec(tmp_path, scale, mean):
    path = tmp_path / "a.yaml"
    path.write_text(f"width: 8\nheight: 8\nlayout: NHWC\nscale: {scale}\nmean: {mean}\nstd: 1\n")
    return path


@pytest.mark.parametrize(
    "value",
    ["1e999999999", "-1e999999999", "1e-999999999", "1E+0999999999", "9" * 200, "1/" + "9" * 200, "1e1000"],
    ids=lambda value: value[:12],
)
def test_numbers_that_do_not_fit(tmp_path, value):
    for scale, mean, wrong in ((value, "0", "scale"), ("1", f"[0, '{value}', 1]", "mean")):
        with pytest.raises(UserError, match=f"a.yaml: {wrong}: .*(is not a number|too large or too small)") as error:
            load_image_spec(image_spec(tmp_path, scale, mean))
        assert len(str(error.value)) < 400 and "\n" not in str(error.value)


@pytest.mark.parametrize("value", ["0.229", "1e-6", "1/255", "1e12", "255", "-0.5", "1.5E+2"])
def test_numbers_that_people_write(tmp_path, value):
    assert load_image_spec(image_spec(tmp_path, "1", value)).mean == (Fraction(value),) * 3


def test_aliases_are_refused(tmp_path):
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    for last, name in zip("abcdefgh", "bcdefghi"):
        bomb += f"{name}: &{name} [{','.join([f'*{last}'] * 10)}]\n"
    for text in (bomb + "width: *i\n", "a: &a {b: *a}\n", "a: &a 1\nb: {<<: *a}\n"):
        (tmp_path / "a.yaml").write_text(text)
        with pytest.raises(UserError, match="a.yaml: is not YAML in line .*aliases"):
            read_yaml(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("a: 1\n" * 300000)
    with pytest.raises(UserError, match="is larger than"):
        read_yaml(tmp_path / "a.yaml")


# --- logs -------------------------------------------------------------------------------------------------


def test_what_a_log_claims_costs_no_memory():
    chunk = base64.b64encode(b"abc").decode()
    text = [line("begin ecbc9228 1 5 tensors us")]
    text += [line(f"data ecbc9228 1 {step} 0 268435450 {chunk}") for step in range(200)]
    program = (
        "import sys; from esp_tvm.trace.log import LogReader, text_lines; "
        "print(sum(len(run.tensors) for run in LogReader().runs(text_lines(sys.stdin.buffer))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input="".join(text), text=True, capture_output=True, env={"PYTHONPATH": str(REPO / "tools")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20)),
    )  # fmt: skip
    assert done.stdout == "200\n", done.stderr


def test_bytes_that_come_in_any_order_and_twice():
    chunks = [(4, b"efgh"), (0, b"abcd"), (2, b"cdef"), (8, b"ij")]
    text = [line("begin ec 1 1 tensors us")]
    text += [line(f"data ec 1 0 0 {start} {base64.b64encode(data).decode()}") for start, data in chunks]
    crc = zlib.crc32(b"abcdefghij")
    (run,) = runs(*text, line(f"layer ec 1 0 0 10 {crc:08x} 5 what"))
    tensor = run.tensors[0, 0]
    assert tensor.complete and tensor.data() == b"abcdefghij"
    (run,) = runs(*text[:2], *text[4:], line(f"layer ec 1 0 0 10 {crc:08x} 5 what"))
    assert not run.tensors[0, 0].complete and run.tensors[0, 0].data() == b""


@pytest.mark.parametrize("number", ["-1", "9" * 30, "9" * 100000, "1e5", "nan", "0x10", ""], ids=lambda text: text[:8])
def test_numbers_of_a_log(number):
    text = [line("begin ec 1 1 tensors us"), line(f"layer ec 1 {number} 0 10 00000000 5 what")]
    text += [line(f"layer ec 1 0 0 {number} 00000000 5 what"), line(f"data ec 1 0 0 {number} YWJj")]
    (run,) = runs(*text)
    assert run.damaged >= 2 and all(0 <= tensor.size < 1 << 28 for tensor in run.tensors.values())


def test_no_escape_sequence_comes_out_of_a_log():
    evil = "\x1b]0;pwn\x07\x1b[31m[2J"
    found = runs(
        line(f"begin {evil} 1 5 tensors us"),
        line(f"begin ecbc9228 1 5 {evil} {evil}"),
        line(f"layer ecbc9228 1 0 0 99 00000000 5 {evil}text"),
    )
    (run,) = found
    assert run.model_hash == "ecbc9228"
    for text in (run.mode, run.unit, run.tensors[0, 0].text):
        assert text.isprintable(), repr(text)


def test_a_log_without_line_ends(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"x" * (3 << 20) + b"\n" + line("begin ec 1 1 tensors us").encode())
    with open(path, "rb") as stream:
        lines = list(text_lines(stream))
    assert max(map(len, lines)) <= 1 << 20 and len(runs(*lines)) == 1


# --- Keras ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, found",
    [
        ('{"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda", "config": {}}]}}', True),
        (r'{"class_name": "Sequential", "config": {"layers": [{"class_name": "\u004cambda", "config": {}}]}}', True),
        ('{"config": [[{"inner": {"class_name":"Lambda"}}]]}', True),
        ('{"config": {"activation": {"class_name": "__lambda__", "config": {}}}}', True),
        ('{"config": {"function_type": "lambda", "function": ["4wE=", null, null]}}', True),
        ('{"class_name": "Dense", "config": {"name": "Lambda"}}', False),
        ('{"class_name": "TFOpLambda", "config": {"function": "math.multiply"}}', False),
        ('{"class_name": "Dense", "config": {"name": "x \\"Lambda\\" y"}}', False),
    ],
)
def test_code_in_a_keras_network(text, found):
    assert has_lambda(json.loads(text)) == found
