"""The documents: links lead somewhere, commands exist, and `make test-docs` runs every one of them.

How a document marks its blocks: ```sh is run, all blocks of a document in order, in a fresh copy of the repository
with the shipped model as model.onnx; ```sh board needs a board, ESP-IDF or a container engine, so only its make
targets and variables are checked; everything else is output or another language.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import List, Tuple

import numpy as np
import onnx
import pytest
from onnx import helper
from project_files import project_files
from small_models import model_of

ROOT = Path(__file__).resolve().parent.parent
GENERATED = {"operators.md", "onnx-node-tests.md"}
DOCUMENTS = sorted(
    path
    for pattern in ("README*.md", "docs/**/*.md", "examples/**/README*.md", "bench/*.md")
    for path in ROOT.glob(pattern)
)
# What the documents call the user's files, and what stands for them.
FILES = {
    "model.onnx": "model.onnx",
    "model_opt.onnx": "model.onnx",
    "calib.npy": "calib.npy",
    "input.npy": "input_sample.npy",
    "sample.npy": "input_sample.npy",
    "samples.npy": "calib.npy",
    "eval.npy": "test.npy",
    "test.npy": "test.npy",
    "labels.npy": "test_labels.npy",
    "test_labels.npy": "test_labels.npy",
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)


def blocks(path: Path) -> List[Tuple[str, str]]:
    """(info string, text) of each fenced block; an indented fence counts too."""
    return re.findall(r"(?ms)^ *```([^\n`]*)\n(.*?)^ *```\s*$", path.read_text())


def shell(path: Path, info: str) -> str:
    return "\n".join(text for kind, text in blocks(path) if kind.strip() == info)


def commands(text: str) -> List[str]:
    """Lines of shell without comments, continued lines joined."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in (re.sub(r"(^|\s+)#.*", "", line).strip() for line in lines) if line]


@each_document
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if not re.match(r"[a-z]+:|#", target):
            assert (path.parent / target.split("#")[0]).exists(), target


@each_document
def test_commands_are_marked(path):
    """A block without a language is output: none begins with a command, which nothing would run; and what needs a board
    is not run."""
    for kind, text in blocks(path):
        if not kind.strip():
            assert not re.match(r"\$? *(make|python|docker|pip|source) ", text), text.splitlines()[0]
    for command in commands(shell(path, "sh")):
        assert not re.search(r"\b(make (flash|monitor)|docker|idf\.py)\b", command), f"{command}: mark it `sh board`"


@each_document
def test_make_targets_exist(path):
    known = subprocess.run(["make", "-pqrR", "-C", ROOT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    targets = set(re.findall(r"(?m)^([\w-]+):", known.stdout))
    for command in commands(shell(path, "sh") + "\n" + shell(path, "sh board")):
        for called in re.findall(r"(?:^|[|;&] *)make ([^|;&<>]*)", command):
            words = re.sub(r"\"[^\"]*\"|'[^']*'", "", called).split()
            for word in words:
                assert "=" in word or word.startswith("-") or word in targets, f"{command}: no target '{word}'"


# What a reader of ESP-DL 1.1's tutorial needs, in Chinese too.
CHINESE = ["README"] + [
    f"docs/{name}"
    for name in (
        *("quick-start", "tutorial", "calibration-data", "quantization", "accuracy-dropped", "numbers-and-layouts"),
        *("own-application", "choosing-a-chip", "does-not-fit", "wrong-result", "reading-the-report"),
        *("memory", "psram", "profiling", "esp-idf", "streaming", "power", "model-update", "outside-esp-idf"),
        *("from-pytorch", "from-tensorflow"),
    )
]


def prose(path: Path) -> str:
    """The text outside of blocks of code."""
    return re.sub(r"(?ms)^ *```.*?^ *```\s*$", "", path.read_text())


def figures(path: Path) -> List[str]:
    """The numbers of a text and what stands in backquotes, in order of the alphabet; those of links are none."""
    text = re.sub(r"\]\([^)]*\)", "]", prose(path))
    code = [re.sub(r"\s+", " ", re.sub(r"<.*?>", "<>", word)) for word in re.findall(r"`([^`]+)`", text)]
    numbers = re.findall(r"(?<![\w.])-?\d[\d.,]*(?<![.,])", re.sub(r"`[^`]+`", " ", text))
    return sorted({*code, *numbers})


def test_chinese_documents_are_there():
    found = {name_of(path)[: -len("_cn.md")] for path in DOCUMENTS if path.stem.endswith("_cn")}
    assert found == set(CHINESE)


@pytest.mark.parametrize("name", CHINESE)
def test_chinese_keeps_step(name):
    """A translation has the headings of its original, level by level, its tables, outputs, commands and figures."""
    original, path = ROOT / f"{name}.md", ROOT / f"{name}_cn.md"

    def headings(document: Path) -> List[str]:
        return re.findall(r"(?m)^(#+) ", prose(document))

    def rows(document: Path) -> List[int]:
        return [line.count("|") for line in prose(document).splitlines() if line.startswith("|")]

    assert headings(path) == headings(original)
    assert rows(path) == rows(original)
    assert len(re.findall(r"(?m)^(?:- |\d+\. )", prose(path))) == len(
        re.findall(r"(?m)^(?:- |\d+\. )", prose(original))
    )
    for info in ("sh", "sh board", "c", "python", "cmake"):
        assert commands(shell(path, info)) == commands(shell(original, info))
    outputs = [re.findall(r"<!-- output: .*? -->", document.read_text()) for document in (path, original)]
    assert outputs[0] == outputs[1]
    assert figures(path) == figures(original)


@pytest.mark.parametrize("name", CHINESE)
def test_chinese_leads_to_chinese(name):
    """Links lead to the Chinese page where there is one; the first link of README and quick start is to the English."""
    path = ROOT / f"{name}_cn.md"
    for text, target in re.findall(r"\[([^\]]*)\]\(([^)#\s]+\.md)[^)]*\)", path.read_text()):
        chinese = (path.parent / target).with_name(Path(target).stem + "_cn.md")
        assert text == "English" or not chinese.exists(), target


@pytest.fixture
def copy(tmp_path):
    """A copy of the project's files, set up, with a user's files in it."""
    for name in project_files():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    for made in (".venv", "tvm"):
        (tmp_path / made).symlink_to(ROOT / made)
    # The frameworks of the examples are installed once, not for every document.
    (ROOT / "build/env").mkdir(parents=True, exist_ok=True)
    (tmp_path / "build").mkdir()
    (tmp_path / "build/env").symlink_to(ROOT / "build/env")
    for name, source in FILES.items():
        shutil.copy(ROOT / "examples/digits" / source, tmp_path / name)
    streaming(tmp_path)
    return tmp_path


def streaming(folder: Path) -> None:
    """step.onnx, which keeps the last inputs and a state of its own, and a recording for it, as docs/streaming.md calls
    them."""
    random = np.random.RandomState(0)
    weights = {"w": random.randn(12, 8) / 4, "v": random.randn(8, 3)}
    constants = {name: array.astype(np.float32) for name, array in weights.items()}
    constants.update(start=np.int64([4]), end=np.int64([12]), axis=np.int64([1]))
    nodes = [
        helper.make_node("Concat", ["state", "x"], ["seen"], axis=1),
        helper.make_node("Slice", ["seen", "start", "end", "axis"], ["state_next"]),
        helper.make_node("MatMul", ["seen", "w"], ["new"]),
        helper.make_node("Add", ["new", "h"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["h_next"]),
        helper.make_node("MatMul", ["h_next", "v"], ["y"]),
    ]
    inputs = {"x": [1, 4], "state": [1, 8], "h": [1, 8]}
    outputs = {"y": [1, 3], "state_next": [1, 8], "h_next": [1, 8]}
    onnx.save(model_of(nodes, inputs, outputs, constants), str(folder / "step.onnx"))
    np.save(folder / "recording.npy", random.randn(40, 1, 4).astype(np.float32))


# Translations have the commands of their originals (test_chinese_keeps_step); a make target writes those generated.
WITH_COMMANDS = [
    pytest.param(path, id=name_of(path), marks=pytest.mark.xdist_group(name_of(path)))
    for path in DOCUMENTS
    if path.name not in GENERATED and not path.stem.endswith("_cn") and commands(shell(path, "sh"))
]


@pytest.mark.slow
@pytest.mark.parametrize("path", WITH_COMMANDS)
def test_commands_run(path, copy):
    # The tests are not run inside of themselves.
    text = re.sub(r"(?m)^( *make) (test|test-all|test-docs|fuzz)( .*)?$", r"\1 -n \2", shell(path, "sh"))
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-x", "-c", text],
        cwd=copy,
        env={**os.environ, "PATH": f"{copy}/.venv/bin:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3600,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]


def test_figures_beside_other_tools_are_the_benchs(monkeypatch):
    """The tables of networks in README and docs/comparison.md say what make bench counted last, and those of noise what
    make bench-accuracy asks."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import accuracy
    import results

    found = results.load(ROOT / "bench/results.json")
    for name in results.DOCUMENTS:
        assert results.document(found, ROOT / name) == (ROOT / name).read_text(encoding="utf-8"), f"{name}: make bench"
    text = (ROOT / "docs/comparison.md").read_text()
    for shown, name in (("ResNet-8", "resnet8"), ("keyword spotting", "kws")):
        *_, aim, (_, default, best, _, channels) = accuracy.CASES[name]
        assert f"| {shown} | {aim} or more | {default} | {best} | {channels} |" in text
    operators = re.findall(r"(?m)^\| [A-Z]\w+ \|", (ROOT / "docs/operators.md").read_text())
    assert f"[{len(operators)} with integer kernels]" in (ROOT / "docs/comparison.md").read_text()
