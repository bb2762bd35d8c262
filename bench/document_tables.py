#!/usr/bin/env python3
"""`make bench-docs`: the tables of docs/both-cores.md, docs/esp32.md and docs/esp32-s3.md from fresh counts.

A table stands behind a line `<!-- bench: NAME -->`; its rows are replaced, its head stays. The emulator of the ESP32-S3
must be installed, and the trained networks of ../shared be there.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Tuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests"), str(ROOT / "bench")]

import bench_esp32  # noqa: E402
import bench_esp32s3  # noqa: E402
import cores  # noqa: E402
import numpy as np  # noqa: E402
import pipeline_time  # noqa: E402
from tables import replaced  # noqa: E402

from bench import TRAINED  # noqa: E402
from esp_tvm import cli  # noqa: E402
from esp_tvm.chips import CHIPS  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.files import write_text  # noqa: E402
from esp_tvm.model import load_model  # noqa: E402
from esp_tvm.run import esp32s3  # noqa: E402

NETWORKS = {"ResNet-8 (CIFAR-10)": "resnet8", "keyword spotting (DS-CNN)": "kws"}
# The tables of each page of docs/.
PAGES = {"esp32-s3": ("shapes", "values", "networks"), "esp32": ("shapes", "networks"), "both-cores": ("cores",)}
_MACHINES = {"ESP32-S3": "ESP32-S3, vectors"}
Rows = Iterable[List[str]]


def core_cells(networks: Dict[str, Tuple[Path, Path]]) -> Iterator[List[str]]:
    """Rows of docs/both-cores.md."""
    for name, (model, sample) in networks.items():
        for one in cores.counted(load_model(str(model)), str(sample)):
            rates = [f"{one.total / part:.2f}" for part in (one.follow, one.added)]
            counts = [f"{count:,}".replace(",", " ") for count in (one.total, one.follow)]
            yield [name, _MACHINES.get(one.machine, one.machine), *counts, *rates, *map(str, one.arenas)]


def network_cells(networks: Dict[str, Tuple[Path, Path]], chip: str) -> Iterator[List[str]]:
    """Whole networks with the kernels for a chip, and with those in C alone."""
    for name, (model, sample) in networks.items():
        for title, kernels in ((chip, chip), ("C", None)):
            figures = bench_esp32s3.figures_of(load_model(str(model)), str(sample), kernels)
            macs, count = figures["macs"], figures["instructions"]
            sizes = [figures["arena_bytes"], figures["constant_bytes"]]
            yield [name, title, *map(str, (macs, count)), f"{macs / count:.2f}", *map(str, sizes)]


def quantized(folder: Path) -> Dict[str, Tuple[Path, Path]]:
    """{name: (quantized model, sample)} of the trained networks, by the documented commands."""
    found = {}
    for title, name in NETWORKS.items():
        model, calibration, evaluation = TRAINED[name]
        if not model.is_file():
            raise UserError(f"{model} is not there: the tables have trained networks")
        (folder / name).mkdir()
        sample = folder / name / "sample.npy"
        np.save(sample, np.load(evaluation, mmap_mode="r")[:1].astype(np.float32))
        found[title] = (pipeline_time.quantize(model, calibration, folder / name)[0], sample)
    return found


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="esp_tvm_bench_") as scratch:
        folder = Path(scratch)
        reason = esp32s3.why_not(folder)
        if reason:
            raise UserError(f"bench-docs counts on the ESP32-S3: {reason}")
        networks = quantized(folder)
        tables: Dict[Tuple[str, str], Callable[[], Rows]] = {
            ("esp32-s3", "shapes"): bench_esp32s3.shape_cells,
            ("esp32-s3", "values"): bench_esp32s3.value_cells,
            ("esp32-s3", "networks"): lambda: network_cells(networks, CHIPS["esp32s3"].name),
            ("esp32", "shapes"): bench_esp32.shape_cells,
            ("esp32", "networks"): lambda: network_cells(networks, CHIPS["esp32"].name),
            ("both-cores", "cores"): lambda: core_cells(networks),
        }
        for page, names in PAGES.items():
            path = ROOT / "docs" / f"{page}.md"
            text = path.read_text(encoding="utf-8")
            for name in names:
                text = replaced(text, name, tables[page, name](), path)
            write_text(path, text)
            print(f"wrote {path.relative_to(ROOT)}", flush=True)


if __name__ == "__main__":
    cli.run(main)
