"""The sample outputs in the documents: cut from what commands printed (docs/outputs), and still what they print.

`make docs-check` runs all commands and compares every character. Here the digits' model goes through the steps with few
samples, and what is printed must have the same sentences, headings and columns.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Dict, Set

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("tvm")

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "scripts"))

import doc_outputs  # noqa: E402

from esp_tvm.cli import commands  # noqa: E402

# Documents whose outputs are a board's, or of frameworks that only make example-... installs, and diagrams.
OTHERS_OUTPUT = {"esp-idf.md", "from-sklearn.md", "from-tensorflow.md"}
DIAGRAM = "─"


def test_the_documents_show_what_commands_printed():
    assert doc_outputs.stale() == []
    assert sum(1 for path in doc_outputs.documents() for _ in doc_outputs.marked(path)) > 20


@pytest.mark.parametrize("path", sorted((REPO / "docs").glob("*.md")), ids=lambda path: path.name)
def test_each_output_says_where_it_is_from(path):
    if path.name.replace("_cn", "") in OTHERS_OUTPUT:
        pytest.skip("a board's output, or that of a framework")
    text = path.read_text()
    for found in re.finditer(r"(?ms)^ *```([^\n`]*)\n(.*?)^ *```$", text):
        if found.group(1):
            continue
        before = text[: found.start()].splitlines()[-1]
        assert before.startswith("<!-- output: ") or DIAGRAM in found.group(2), found.group(2).splitlines()[0]


@pytest.mark.parametrize(
    "clauses, expected",
    [
        ("from ^b | to ^c", "b 2\nc\n"),
        ("lines ^[ac]$", "a\nc\n"),
        ("table ^T | columns n, what", "n  what\n-  ----\n1   one\n2   two\n"),
        ("table ^T | columns what | rows 2", "what\n----\n two\n"),
        ("from ^b | to ^b | cut 2", "b…\n"),
        ("lines ^b | without  2", "b\n"),
    ],
)
def test_what_is_cut(clauses, expected, tmp_path, monkeypatch):
    text = "a\nb 2\nc\n\nT\nn  what  more\n-  ----  ----\n1   one  x\n2   two  y\n\nend\n"
    (tmp_path / "x.txt").write_text(text)
    monkeypatch.setattr(doc_outputs, "OUTPUTS_FOLDER", tmp_path)
    assert doc_outputs.excerpt(f"x.txt | {clauses}") == expected
    with pytest.raises(ValueError, match="nothing is left"):
        doc_outputs.excerpt("x.txt | lines nowhere")


def form(text: str) -> Set[str]:
    """Sentences, headings and column heads, with a 0 for every number; rows of tables are left out."""
    found, in_table = set(), False
    for line in text.splitlines():
        if re.fullmatch(r"-+( +-+)+", line):
            in_table = True
            continue
        if in_table and (not line or not re.search(r"\S {2,}\S", line)):
            in_table = False
        if in_table or not line:
            continue
        line = re.sub(r"(Conv|Relu|Clip) \"[^\"]*\"", "NODE", line)
        # Of few samples others are worth 16 bits, and exponents may have another sign.
        line = re.sub(r"^int16: \d+ tensors?: .*", "int16: NAMES", line)
        line = re.sub(r"\^-?", "^", line)
        line = re.sub(r"\d+[ .\d]*(e[-+]\d+)?|\binf\b", "0", line)
        found.add(re.sub(r"\b(sample|tensor|layer)s\b", r"\1", re.sub(r" +", " ", line)).strip())
    return found


@pytest.fixture(scope="module")
def printed(tmp_path_factory) -> Dict[str, str]:
    """What quantize, export and report print for the digits' model and a few samples, quickly."""
    folder = tmp_path_factory.mktemp("digits")
    digits = REPO / "examples/digits"
    np.save(folder / "calib.npy", np.load(digits / "calib.npy")[:25])
    for name in ("test", "test_labels"):
        np.save(folder / f"{name}.npy", np.load(digits / f"{name}.npy")[:20])

    def call(*words: str) -> str:
        done = CliRunner().invoke(commands.esp_tvm, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done.output

    model, quantized = digits / "model.onnx", folder / "model_quant.onnx"
    given = ["--calib", folder / "calib.npy", "--evaluate", folder / "test.npy"]
    given += ["--labels", folder / "test_labels.npy", "--effort", "quick"]
    texts = {"quantize": call("quantize", "--model", model, "--output", quantized, *given)}
    sample = ["--model", quantized, "--input", digits / "input_sample.npy"]
    texts["export"] = call("export", "--target", "esp32s3", *sample, "--out", folder)
    given = ["--project", folder / "new_project", "--model", model, "--input", digits / "test.npy"]
    call("evaluate", *given, "--labels", digits / "test_labels.npy")
    given = ["--project", folder / "new_project", "--model", quantized, "--input", folder / "test.npy"]
    call("report", *given, "--float_model", model, "--output", folder / "report.html")
    texts["report"] = (folder / "report.txt").read_text()
    return texts


@pytest.mark.parametrize("name", ["quantize", "export", "report"])
def test_what_is_printed_has_the_documented_form(printed, name):
    documented = form((REPO / f"docs/outputs/{name}.txt").read_text())
    # Few samples: none of those held back is given back, and what is slowest may be in another order.
    missing = {
        line
        for line in documented - form(printed[name])
        if not line.startswith(("these sample", "slowest by", "model ", "Report of", "wrote ", "generated C"))
    }
    assert not missing, "what the documents show is not printed any more: make docs-outputs"
    assert len(documented) > 8
