"""The table of the ONNX project's node tests: results of one state of the code, never a mixture."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("tvm")

import onnx_node_tests  # noqa: E402
from pipeline_harness import Kernels  # noqa: E402

from esp_tvm.errors import UserError  # noqa: E402

RESULT = {"test_abs": {"operator": "Abs", "way": "kernel", "why": ""}}


def test_only_the_same_code_goes_on(tmp_path):
    path = tmp_path / "results.json"
    assert onnx_node_tests.earlier_results(path, "one") == {}
    onnx_node_tests.write_results(path, "one", RESULT)
    assert onnx_node_tests.earlier_results(path, "one") == RESULT
    with pytest.raises(UserError, match="results of other code"):
        onnx_node_tests.earlier_results(path, "other")
    path.write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        onnx_node_tests.earlier_results(path, "one")


def test_any_file_of_the_code_is_another_state(tmp_path, monkeypatch):
    for name in (*onnx_node_tests._CODE[:2], "tests"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "tests/onnx_node_tests.py").write_text("1")
    (tmp_path / "tools/esp_tvm/model.py").write_text("1")
    monkeypatch.setattr(onnx_node_tests, "REPO", tmp_path)
    states = [onnx_node_tests.state_of_code()]
    for path in tmp_path.rglob("*.py"):
        path.write_text("2")
        states.append(onnx_node_tests.state_of_code())
    (tmp_path / "template_project_for_model/components/esp-dl/kernel.c").write_text("")
    states.append(onnx_node_tests.state_of_code())
    assert len(set(states)) == 4


def test_the_table_says_of_which_code_it_is():
    text = onnx_node_tests.table(RESULT, "0123abcd")
    assert "(0123abcd; ONNX Runtime" in text and "1 tests: 1 passed by kernels" in text
    assert re.search(r"\| Abs \| 1 \|", text)


def test_one_of_them_runs():
    """With one channel, whose change of layout is a view: no code writes it."""
    (folder,) = (path for path in onnx_node_tests.node_tests() if path.name == "test_maxpool_2d_dilations")
    assert onnx_node_tests.run_case(folder, Kernels()) == ("kernel", "")
