"""The table of operators and what is made from it: the quantizer's rules, the documents, the list of sources."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from typing import Iterator, Tuple

import pytest

pytest.importorskip("tvm")

from onnx_cases import ONNX_CASES  # noqa: E402
from tvm.relay import dataflow_pattern as patterns  # noqa: E402

from esp_tvm import arithmetic  # noqa: E402
from esp_tvm.operator_table import ROWS, written  # noqa: E402
from esp_tvm.operators import OPERATORS  # noqa: E402
from esp_tvm.quantize.rules import RULES  # noqa: E402

# What the compiler inserts by itself, for no operator of ONNX in particular.
_INSERTED = {"quantize", "dequantize", "pixels", "transpose", "reshape", "requantize"}

# What ESP-DL v3 has, and after it what else is to run in integers.
_EXPECTED = """
Add AveragePool Clip Concat Conv ConvTranspose DepthToSpace Div Elu Equal Exp Flatten Gather Gemm GlobalAveragePool
Greater GreaterOrEqual GRU HardSigmoid HardSwish LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax
LpNormalization LSTM MatMul MaxPool Mod Mul Neg Pad Pow PRelu ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RMSNormalization ScatterND
Sigmoid Slice Softmax SpaceToDepth Split Sqrt Squeeze Sub Swish Tanh Transpose Unsqueeze
"""
_IN_INTEGERS = """
Conv ConvTranspose Gemm MatMul Add Sub Mul Div Min Max Neg Abs AveragePool MaxPool GlobalAveragePool GlobalMaxPool
ReduceMean ReduceSum ReduceMax ReduceMin Relu Clip LeakyRelu PRelu Sigmoid Tanh HardSigmoid HardSwish Swish Gelu Elu Exp
Log Sqrt Pow Softmax LogSoftmax Concat Split Slice Pad Reshape Flatten Squeeze Unsqueeze Transpose Gather Resize
DepthToSpace SpaceToDepth Upsample Cast Identity Equal Greater Less ScatterND LayerNormalization RMSNormalization LSTM
GRU
"""


@pytest.mark.parametrize("operator", sorted({*_EXPECTED.split(), *_IN_INTEGERS.split()}))
def test_every_operator_that_is_expected_has_a_case(operator):
    """test_operators.py runs the cases; what is expected in integers has one that asks for a kernel."""
    cases = [case for case in ONNX_CASES if case.operator == operator]
    assert cases
    if operator in _IN_INTEGERS.split():
        assert any(case.kernels for case in cases)


def test_what_is_made_from_the_table_is_up_to_date(repo):
    for path, text in written(repo).items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run make operators"


def test_every_kernel_is_an_operator_of_onnx_or_one_that_the_compiler_inserts():
    plain = {name[: -len("_s16")] if name.endswith("_s16") else name for name in OPERATORS}
    assert plain <= set(OPERATORS), "every int16 kernel has its int8 one"
    assert plain - {kernel for row in ROWS for kernel in row.kernels} <= _INSERTED


def test_every_operator_has_a_rule_in_words_and_in_numpy():
    for name, operator in OPERATORS.items():
        assert operator.formula, name
        assert callable(arithmetic.rule(name))


def test_every_name_that_is_also_computed_is_the_own_one_of_another():
    own = {row.operator for row in ROWS}
    assert {name for operator in OPERATORS.values() for name in operator.also.split()} <= own
    assert set(RULES) <= own


def test_the_quantizer_starts_without_tvm(repo):
    """TVM takes seconds to import, and quantizing needs none of it."""
    program = "import sys, esp_tvm.quantize; sys.exit('tvm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=repo / "tools").returncode == 0


# --- the order of patterns ---

# A pattern spelled out: "*" for anything, "constant", or (operator, arguments).
Tree = Tuple


def _trees(pattern) -> Iterator[Tree]:
    """Every way to choose among the alternatives of a pattern."""
    if isinstance(pattern, patterns.AltPattern):
        yield from _trees(pattern.left)
        yield from _trees(pattern.right)
    elif isinstance(pattern, patterns.AttrPattern):
        yield from _trees(pattern.pattern)
    elif isinstance(pattern, patterns.CallPattern):
        for arguments in itertools.product(*map(list, map(_trees, pattern.args))):
            yield (pattern.op.expr.name, arguments)
    else:
        yield "constant" if isinstance(pattern, patterns.ConstantPattern) else "*"


def _matches(small, large) -> bool:
    """Whether all that `large` describes is described by `small` too."""
    if small == "*" or small == large:
        return True
    if isinstance(small, str) or isinstance(large, str):
        return False
    same = small[0] == large[0] and len(small[1]) == len(large[1])
    return same and all(map(_matches, small[1], large[1]))


def _inside(small, large) -> bool:
    """Whether `small` matches `large` or a part of it."""
    return _matches(small, large) or (not isinstance(large, str) and any(_inside(small, part) for part in large[1]))


def _size(tree) -> int:
    return 0 if isinstance(tree, str) else 1 + sum(map(_size, tree[1]))


def test_no_pattern_takes_apart_what_a_later_one_takes_whole():
    trees = [(name, list(dict.fromkeys(t for p in o.patterns() for t in _trees(p)))) for name, o in OPERATORS.items()]
    assert sum(len(own) for _, own in trees) > 100
    for (name, earlier), (other, later) in itertools.combinations(trees, 2):
        for small, large in itertools.product(earlier, later):
            assert _size(small) >= _size(large) or not _inside(small, large), f"{name} comes before {other}"


@pytest.mark.parametrize("row", ROWS, ids=[row.operator for row in ROWS])
def test_row_is_what_the_cases_show(row):
    """Each operator has cases, and no case runs in a kernel that its row does not name."""
    cases = [case for case in ONNX_CASES if case.operator == row.operator]
    used = {kernel for case in cases if not case.behind_relu for kernel in case.kernels}
    assert used <= set(row.kernels)
    assert cases


# --- docs/adding-a-kernel.md ---


def _guide(repo) -> str:
    return (repo / "docs" / "adding-a-kernel.md").read_text(encoding="utf-8")


def test_the_guides_example_is_in_the_files_it_names_and_in_no_other(repo):
    """At most six files are written by hand; what `make operators` and test runs write may name the kernel as well."""
    guide = repo / "docs" / "adding-a-kernel.md"
    named = {(guide.parent / path).resolve() for path in re.findall(r"^\| \[[^]]*\]\(([^)]+)\)", _guide(repo), re.M)}
    assert 0 < len(named) <= 6
    made = {*written(repo), guide, repo / "docs" / "onnx-node-tests.md", repo / "bench" / "OPERATORS.md"}
    found = set()
    for folder in ("bench", "docs", "scripts", "template_project_for_model", "tests", "tools"):
        for path in (repo / folder).rglob("*"):
            if path.suffix in (".c", ".h", ".md", ".mk", ".py", ".sh", ".txt") and path.is_file():
                if "hardmax" in path.read_text(encoding="utf-8"):
                    found.add(path)
    # Tests of other things take it for an example.
    assert {path for path in found - made if not path.name.startswith("test_")} == named


def test_the_guide_shows_the_code_as_it_is(repo):
    """Every line of its blocks of code stands in the file named last before them, in this order."""
    path, blocks = None, 0
    for name, text in re.findall(r"^`(\S+)`:$|^```(?:python|c)\n(.*?)^```$", _guide(repo), re.M | re.S):
        path = name or path
        source = iter((repo / path).read_text(encoding="utf-8").splitlines())
        for line in text.splitlines():
            assert line in source, f"{path} has no line {line!r}, or not here"
        blocks += bool(text)
    assert blocks == 7
