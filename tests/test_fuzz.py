"""A small part of `make fuzz`, and that it sees what it is there for."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import onnx
from conftest import REPO
from fuzz import damage, graphs
from fuzz.cases import KINDS, Case, random_of

FUZZ = [sys.executable, str(REPO / "tests/fuzz/__main__.py"), "--jobs", "1"]


def test_a_small_part_has_no_faults():
    command = [*FUZZ, "--cases", "70", "--kinds", "arrays", "specs", "arguments", "logs", "--least", "70"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("70 cases: ")


_INJECTED = """\
import os, sys, time
sys.argv = ["fuzz"]
sys.path[:0] = ["{repo}/tests", "{repo}/tools"]
from fuzz import __main__ as fuzz, cases, pool
from esp_tvm import cli

def works(case, random):
    case.run("quantize", "--method")

def raises(case, random):
    kept, cli.run = cli.run, lambda main: 1 // 0
    case.run("quantize")
    cli.run = kept

def dies(case, random):
    os.abort()

def hangs(case, random):
    time.sleep(60)

def litters(case, random):
    kept, cli.run = cli.run, lambda main: open("left behind", "w").close()
    case.run("quantize")
    cli.run = kept

def overflows(case, random):
    kept, cli.run = cli.run, lambda main: print("ERROR: AddressSanitizer: heap-buffer-overflow")
    case.run("run")
    cli.run = kept

def fills_memory(case, random):
    case.large = b"x" * (260 << 20)
    time.sleep(60)

cases.KINDS.clear()
for kind in (works, raises, dies, hangs, litters, overflows, fills_memory):
    cases.KINDS[kind.__name__] = (kind, 1)
pool.SECONDS, pool.MEMORY = 12, 200 << 20
pool.Pool._base = lambda self: cases.Base(self.scratch)
command = ["--cases", "7", "--jobs", "1", "--kinds", *cases.KINDS]
late = fuzz.main([*command, "--seconds", "0", "--kinds", "works", "hangs", "--seed", "2"])
sys.exit(10 * late + fuzz.main(command))
"""


def test_every_kind_of_fault_is_seen():
    command = [sys.executable, "-c", _INJECTED.format(repo=REPO)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    seen = {line.split(":")[0]: line.split(": ")[1] for line in done.stdout.splitlines() if ":1000000: " in line}
    # Too few cases are a failure as well.
    assert done.returncode == 11 and "only 1 of 8 cases" in done.stdout, done.stdout
    wanted = {"raises": "traceback", "dies": "crash", "hangs": "hang", "litters": "outside"}
    assert seen == {**wanted, "overflows": "sanitizer", "fills_memory": "memory"}, done.stdout


def test_a_wrong_output_is_seen(tmp_path, monkeypatch):
    """The comparison with ONNX Runtime: what the program computes, but for one sign."""
    from fuzz import cases

    builder = graphs.Builder(np.random.RandomState(0))
    y = builder.node("Tanh", [builder.input((1, 12))])
    model = builder.model([y])
    samples = {"x0": np.random.RandomState(1).uniform(-2, 2, (4, 1, 12)).astype(np.float32)}

    class Program:
        outputs = [type("Port", (), {"name": y, "exponent": -7})]
        sign = 1.0

        def __init__(self, *_arguments, **_options):
            pass

        def run(self, given):
            return {y: self.sign * np.tanh(given["x0"])}

    monkeypatch.setattr("esp_tvm.run.host.HostProgram", Program)
    case = Case(tmp_path / "case", cases.Base(tmp_path))
    floats = {y: np.tanh(samples["x0"])}
    cases._compare(case, model, floats, samples)
    assert case.faults == []
    Program.sign = -1.0
    cases._compare(case, model, floats, samples)
    assert [kind for kind, _ in case.faults] == ["wrong"]


def test_graphs_are_legal_and_of_many_operators():
    seen: Counter = Counter()
    for seed in range(120):
        model = graphs.random_model(random_of("networks", seed), 5)
        onnx.checker.check_model(model)
        seen.update(node.op_type for node in model.graph.node)
    assert len(seen) > 45


def test_the_same_seed_makes_the_same_case():
    one, other = (graphs.random_model(random_of("networks", 5), 5).SerializeToString() for _ in range(2))
    assert one == other
    specs = [damage.spec(random_of("specs", 5), ["a: 1\nb: 2\n"]) for _ in range(2)]
    assert specs[0] == specs[1]
    assert sum(share for _, share in KINDS.values()) >= 2000
