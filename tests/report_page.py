"""The page of a report: read strictly, and in a real browser."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from html.parser import HTMLParser
from pathlib import Path

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# What an image in the page may be loaded from: the page.
_INSIDE = "data:image/jpeg;base64,"


class Strict(HTMLParser):
    """Every element is closed in order; nothing comes from elsewhere; links stay in the page."""

    VOID = {"meta", "line", "rect", "path", "img"}

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.links, self.nodes, self.scripts, self.text = [], [], [], 0, 0, []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        assert attributes.get("src", _INSIDE).startswith(_INSIDE) and attributes.get("href", "#").startswith("#"), (
            f"{tag} loads something"
        )
        self.links += [attributes["href"][1:]] if "href" in attributes else []
        self.nodes += attributes.get("class") == "node"
        assert not any(name.startswith("on") for name in attributes)
        self.scripts += tag == "script"
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_data(self, data):
        self.text.append(data)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(html: str) -> Strict:
    parser = Strict()
    parser.feed(html)
    assert not parser.open
    assert len(set(parser.ids)) == len(parser.ids) and set(parser.links) <= set(parser.ids)
    return parser


# Collects errors from before the page's own script runs; afterwards clicks every head and writes what it saw.
PROBE_BEFORE = "<script>window.seen = []; addEventListener('error', (e) => seen.push(String(e.message)));</script>"
PROBE_AFTER = """<script>
const tables = Object.fromEntries([...document.querySelectorAll("table")].map((t) => [t.id, t.tBodies[0].rows.length]));
const heads = [...document.querySelectorAll("#layers th")];
const column = heads.findIndex((h) => h.textContent === "MAC");
heads[column].click();
heads[column].click();
const macs = [...document.querySelectorAll("#layers tbody tr")].map((r) => Number(r.cells[column].dataset.value));
const box = document.getElementById("arena").getBoundingClientRect();
const out = document.createElement("pre");
out.id = "probe";
out.textContent = JSON.stringify({ seen, tables, macs, arena: [box.width, box.height],
    ready: document.documentElement.dataset.ready, wide: document.documentElement.scrollWidth });
document.body.append(out);
</script>"""


# What of the page does not fit a phone.
PROBE_PHONE = """<script>
const all = (what) => [...document.querySelectorAll(what)];
const cells = all("#layers tbody td").filter((cell) => cell.textContent !== "");
const box = (cell) => cell.getBoundingClientRect();
const out = parent.document.createElement("pre");
out.id = "probe";
out.textContent = JSON.stringify({
    screen: innerWidth, wide: document.documentElement.scrollWidth, nodes: all("#graph .node").length,
    lost: all("a").map((a) => a.getAttribute("href").slice(1)).filter((id) => !document.getElementById(id)),
    cells: cells.length, untitled: cells.filter((cell) => !cell.dataset.head).length,
    shown: cells.filter((cell) => box(cell).left >= 0 && box(cell).right <= innerWidth).length });
parent.document.body.append(out);
</script>"""


def browse(folder: Path, page: Path, *options: str) -> str:
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={folder / 'profile'}", "--hide-scrollbars", "--window-size=1400,2400", *options]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def picture_colours(path: Path) -> set:
    """Some colours of an 8-bit RGB or RGBA PNG: the bytes of its unfiltered data, taken in threes."""
    content, position, data = path.read_bytes(), 8, b""
    while position < len(content):
        size, kind = int.from_bytes(content[position : position + 4], "big"), content[position + 4 : position + 8]
        data += content[position + 8 : position + 8 + size] if kind == b"IDAT" else b""
        position += 12 + size
    raw = zlib.decompress(data)
    return {raw[i : i + 3] for i in range(0, len(raw) - 3, 997)}
