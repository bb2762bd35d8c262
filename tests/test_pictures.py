"""Pictures: names are text in them, whatever they are, and every block and bar is drawn as large as its number."""

from __future__ import annotations

from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from small_models import HOSTILE_NAMES

from esp_tvm import pictures
from esp_tvm.naming import shown

NAMES = [shown(name) for name in HOSTILE_NAMES] + ["</text><script>x()</script>", "a & b 'c' \"d\"", "{{ 7 * 7 }}"]


def parts(picture: str, tag: str) -> list:
    """The elements `tag` of a picture, which holds nothing but shapes and text."""
    root = ElementTree.fromstring(picture)
    elements = [(element.tag.rsplit("}", 1)[-1], element) for element in root.iter()]
    assert {name for name, _ in elements} <= {"svg", "g", "title", "text", "rect", "line", "path"}
    return [element for name, element in elements if name == tag]


def bar(offset, size, first, last, label="block"):
    return SimpleNamespace(offset=offset, size=size, first=first, last=last, label=label)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text(name):
    chart = pictures.bar_chart([(name, [name, name], [(name, [1.0, 2.0])])])
    assert [text.text for text in parts(chart, "text")].count(name) == 4
    assert name in [text.text for text in parts(pictures.arena_file([], [name], 16, "title"), "text")]
    assert name in [text.text for text in parts(pictures.shares("title", [(name, 0.5, "")]), "text")]
    (title,) = parts(pictures.arena_file([bar(0, 16, 0, 0, name)], [], 16, ""), "title")
    assert title.text.startswith(f"{name}: 16 bytes at 0")


def test_bars_are_as_long_as_their_values():
    chart = pictures.bar_chart([("panel", ["one"], [("a", [1.0]), ("b", [4.0])])])
    lengths = [float(rect.get("width")) for rect in parts(chart, "rect")[1:]]
    assert lengths[1] == pytest.approx(4 * lengths[0], abs=0.3)
    picture = pictures.shares("title", [("a", 0.8, " 20 dB"), ("b", 0.2, "")])
    lengths = [float(rect.get("width")) for rect in parts(picture, "rect")[1:]]
    assert lengths[0] == pytest.approx(4 * lengths[1], abs=0.3)
    assert "80.0% 20 dB" in [text.text for text in parts(picture, "text")]


def test_blocks_lie_at_their_bytes_for_their_steps():
    blocks = [bar(0, 300, 0, 1), bar(300, 100, 1, 2, "scratch of step 1")]
    picture = pictures.arena_file(blocks, ["0", "1", "2"], 400, "")
    low, high = (
        {key: float(rect.get(key)) for key in ("x", "y", "width", "height")}
        for rect in parts(picture, "rect")
        if rect.get("width") != "100%"
    )
    assert low["height"] == pytest.approx(3 * high["height"], abs=0.3)
    assert high["y"] + high["height"] == pytest.approx(low["y"], abs=0.2), "one lies on the other"
    assert high["width"] == low["width"] and high["x"] > low["x"]


def test_a_histogram_has_a_bar_for_every_value_that_occurs():
    counts = np.array([0, 1, 4, 0])
    picture = pictures.histogram(counts, counts, np.array([-1.0, -0.5, 0.0, 0.5, 1.0]))
    heights = [float(rect.get("height")) for rect in parts(picture, "rect")]
    assert heights == [50.0, 100.0]
    assert [text.text for text in parts(picture, "text")] == ["-1", "1"]
    (line,) = parts(picture, "path")
    assert line.get("d").count("H") == 4
