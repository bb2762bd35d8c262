"""docs/metadata.md names every field of metadata.json, and none that is gone."""

from __future__ import annotations

import re

from esp_tvm.program import schema

RECORDS = [one for one in vars(schema).values() if isinstance(one, type) and issubclass(one, schema.Record)]


def test_every_field_is_in_the_document(repo):
    text = (repo / "docs/metadata.md").read_text()
    fields = {name for record in RECORDS for name in record.model_fields}
    assert len(RECORDS) >= 10 and [name for name in sorted(fields) if f"`{name}`" not in text] == []
    named = set(
        re.findall(r"`([a-z_]+)`", " ".join(line.split("|")[1] for line in text.splitlines() if line[:3] == "| `"))
    )
    kinds = {"arena", "psram_arena", "input", "output", "constant", "window"}
    assert sorted(named - fields - kinds) == []
