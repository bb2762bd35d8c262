"""The arenas in the report of a model: what lies where, in place, in strips, in PSRAM."""

from __future__ import annotations

import pytest
from pipeline_harness import compile_once_imported
from report_page import parsed

pytest.importorskip("tvm")

from esp_tvm.report.arena import arena_bars, shared_bytes  # noqa: E402
from esp_tvm.report.facts import described  # noqa: E402
from esp_tvm.report.html import as_html  # noqa: E402
from esp_tvm.report.text import as_text  # noqa: E402


def test_in_place_and_strips_are_named(tmp_path):
    """A residual block, in strips: windows, their rows, and what is written over what is read."""
    from test_memory_plan import residual_network

    model = residual_network()
    compiled = compile_once_imported(model)
    places = arena_bars(compiled.program)
    in_place = [bar for bar in places if bar.over]
    assert in_place and all("in place of" in bar.how for bar in in_place)
    for bar in in_place:
        other = next(one for one in places if one.label == bar.over)
        assert shared_bytes(bar, other)[1] and other.first <= bar.first <= other.last
    strips = compile_once_imported(model, strips=compiled.program.arena_bytes * 2 // 3)
    windows = [bar for bar in arena_bars(strips.program) if bar.kind == "window"]
    report = described(strips.program, "strips")
    assert windows and all(f"{bar.rows} of {bar.of_rows} rows" in as_text(report) for bar in windows)
    page = parsed(as_html(report))
    assert page.nodes == len(report.rows) and "strips:" in as_text(report)


def test_both_arenas_are_shown():
    """What lies in PSRAM has a table and a picture of its own; blocks of different arenas never share bytes."""
    from test_memory_plan import residual_network

    model = residual_network()
    room = compile_once_imported(model, target_chip="esp32s3").program.arena_bytes
    program = compile_once_imported(model, target_chip="esp32s3", inside=room * 2 // 3).program
    assert program.psram_arena_bytes
    report = described(program, "two arenas")
    for second, size in ((False, program.arena_bytes), (True, program.psram_arena_bytes)):
        bars = [bar for bar in report.bars if bar.second == second]
        assert max(bar.offset + bar.size for bar in bars) == size
    text = as_text(report).split("SECOND ARENA, in PSRAM\n")[1].split("\n\n")[0]
    inside, outside = ([bar for bar in report.bars if bar.second == second] for second in (False, True))
    assert all(bar.label in text for bar in outside)
    assert not any(shared_bytes(one, other)[1] for one in inside for other in outside)
    page = as_html(report)
    assert 'id="arena"' in page and 'id="psram-arena"' in page and "second arena, PSRAM" in page
    for bar in outside:
        assert f"arena-{bar.step}" in parsed(page).links
