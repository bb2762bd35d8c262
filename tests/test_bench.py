"""The bench's own parts: the files it writes, the comparison, the picture of the arena."""

from __future__ import annotations

import copy
import json
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from conftest import REPO

pytest.importorskip("tvm")

sys.path.insert(0, str(REPO / "bench"))

import results  # noqa: E402

from esp_tvm.errors import UserError  # noqa: E402

FIGURES = {
    "macs": 1000,
    "instructions": 2500,
    "arena_bytes": 64,
    "stack_bytes": 32,
    "code_bytes": 500,
    "rodata_bytes": 20,
    "weight_bytes": 100,
    "data_bss_bytes": 0,
    "instructions_spread": 0.0,
    "steps": [{"operator": "conv2d", "kernel": "k", "macs": 1000, "instructions": 2400, "output": [1, 2, 2, 8]}],
}


def found():
    return {"models": {"resnet8": copy.deepcopy(FIGURES)}, "layers": {"1x1": copy.deepcopy(FIGURES)}}


def test_comparison_names_what_changed():
    base, new = found(), found()
    new["models"]["resnet8"]["instructions"] = 2000
    new["layers"]["1x1"]["arena_bytes"] = 128
    del base["models"]["resnet8"]["stack_bytes"]
    lines = results.comparison(base, new).splitlines()
    assert lines == [
        "resnet8: instructions 2,500 -> 2,000 (-20.0 %, better)",
        "1x1: arena_bytes 64 -> 128 (+100.0 %, worse)",
    ]


def test_comparison_of_equals_and_of_other_sets():
    assert results.comparison(found(), found()) == "nothing changed"
    base = found()
    base["models"]["old"] = FIGURES
    assert results.comparison(base, found()) == "old: gone"
    assert results.comparison(found(), base) == "old: new"


def test_files_are_written_whole_and_read_back(tmp_path):
    results.write({**found(), "pipeline_seconds": {"resnet8": {"quantize": 3.0, "export": 4.5}}}, tmp_path)
    assert results.load(tmp_path / "results.json")["models"]["resnet8"]["instructions"] == 2500
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| resnet8 | 1,000 | 2,500 | 2.50 |" in text and "| 7.5 |" in text
    # Without the Xtensa's tools, its cells are empty.
    assert "| resnet8 | 1,000 | 2,500 | 2.50 | 0.00 % |  |  | 64 |" in text
    ElementTree.parse(str(tmp_path / "results.svg"))


def test_instructions_of_the_xtensa_have_a_column():
    counted = found()
    counted["models"]["resnet8"]["xtensa_instructions"] = 3600
    counted["layers"]["1x1"]["steps"][0]["xtensa_instructions"] = 3500
    text = results.markdown(counted)
    assert "| resnet8 | 1,000 | 2,500 | 2.50 | 0.00 % | 3,600 | 3.60 | 64 |" in text
    assert "| 1x1 | 1,000 | 2,400 | 2.40 | 3,500 | 3.50 | `k` |" in text
    assert results.comparison(found(), counted) == "nothing changed"
    less = copy.deepcopy(counted)
    less["models"]["resnet8"]["xtensa_instructions"] = 1800
    assert results.comparison(counted, less) == "resnet8: xtensa_instructions 3,600 -> 1,800 (-50.0 %, better)"


def test_missed_promises_are_listed():
    late = found()
    late["models"]["resnet8"]["instructions"] = 40_000_000
    assert results.missed(found()) == []
    assert results.missed(late) == ["resnet8: instructions is 40000000, more than 36000000"]


@pytest.mark.parametrize("content, message", [("{", "is not JSON"), (json.dumps({"a": 1}), "has no models")])
def test_a_wrong_base_is_refused(tmp_path, content, message):
    path = tmp_path / "base.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        results.load(path)
    with pytest.raises(UserError, match="cannot be read"):
        results.load(tmp_path / "none.json")


def test_generated_networks_are_what_they_say():
    import networks

    convolutions = [node for node in networks.mobilenet_v1_025().graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 27
    first, again = networks.autoencoder(), networks.autoencoder()
    assert first.SerializeToString() == again.SerializeToString()
    widths = [init.dims[0] for init in first.graph.initializer if len(init.dims) == 2]
    assert widths == [128, 128, 128, 128, 8, 128, 128, 128, 128, 640]


def test_the_picture_of_the_arena_shows_every_block():
    import memory
    from test_memory_plan import residual_network

    from esp_tvm.compile import compile_model

    compiled = compile_model(residual_network())
    root = ElementTree.fromstring(memory.picture(compiled))
    titles = [element.text for element in root.iter() if element.tag.endswith("title")]
    assert len(titles) == len(compiled.plan.blocks)
    assert f"arena: {compiled.arena_bytes} bytes" in memory.text(compiled)
