"""The files that `make bench` writes, and the comparison of two of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import vector_results
from tables import replaced, table

from esp_tvm.errors import UserError
from esp_tvm.files import whole_file
from esp_tvm.pictures import bar_chart

# The networks of the table beside other software in DOCUMENTS, by what they are called there.
BESIDE = {
    "ResNet-8": "resnet8",
    "keyword spotting (DS-CNN)": "kws",
    "MobileNetV1 0.25": "mobilenet_v1_025",
    "autoencoder": "autoencoder",
}
DOCUMENTS = ("README.md", "README_cn.md", "docs/comparison.md")
# Measured on the same instruction set, compiler and emulator; see RESULTS.md for how.
PEERS: Dict[str, Dict[str, Any]] = {
    "resnet8": {"reference": 125.5e6, "esp_nn": 96.4e6, "arena": 54364, "code": (61000, 67000)},
    "kws": {"reference": 44.3e6, "esp_nn": 25.8e6, "arena": 22780, "code": (57000, 68000)},
    "mobilenet_v1_025": {"reference": 109.9e6, "esp_nn": 65.3e6, "arena": 100668, "code": (57000, 68000)},
    "autoencoder": {"reference": 2.48e6, "esp_nn": 2.45e6, "arena": 2380, "code": (32000, 32000)},
}
# What the project promises: at most this.
LIMITS: Dict[str, Dict[str, float]] = {
    "resnet8": {"instructions": 36e6, "arena_bytes": 33000, "flash": 14000},
    "kws": {"instructions": 9.5e6, "arena_bytes": 16500, "flash": 14000},
    "mobilenet_v1_025": {"instructions": 26e6, "arena_bytes": 56000, "flash": 16000},
    "autoencoder": {"instructions": 0.9e6, "arena_bytes": 1400, "flash": 8000},
}
COMPARED = (
    "instructions",
    "xtensa_instructions",
    "arena_bytes",
    "stack_bytes",
    "code_bytes",
    "rodata_bytes",
    "weight_bytes",
    "constant_bytes",
)


def load(path: Path) -> Dict[str, Any]:
    """A results.json."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); make bench writes such a file")
    except ValueError:
        raise UserError(f"{path}: is not JSON")
    if not isinstance(found, dict) or not isinstance(found.get("models"), dict):
        raise UserError(f"{path}: has no models; give a results.json that make bench wrote")
    return found


def write(found: Dict[str, Any], folder: Path) -> None:
    """results.json, RESULTS.md and results.svg."""
    for name, text in (
        ("results.json", json.dumps(found, indent=1) + "\n"),
        ("RESULTS.md", markdown(found)),
        ("results.svg", plot(found)),
    ):
        with whole_file(folder / name) as temporary:
            Path(temporary).write_text(text, encoding="utf-8")


def document(found: Dict[str, Any], path: Path) -> str:
    """The text of one of DOCUMENTS with the figures of `found`; a network that was not measured leaves it as it is."""
    text, rows = path.read_text(encoding="utf-8"), []
    for shown, name in BESIDE.items():
        m, peer = found["models"].get(name), PEERS[name]
        if m is None:
            return text
        counts = [f"{count / 1e6:.2f} M" for count in (m["instructions"], peer["esp_nn"])]
        rows.append([shown, *counts, f"{m['arena_bytes']:,}", f"{peer['arena']:,}"])
    return replaced(text, "beside", rows, path)


def flash(figures: Dict[str, Any]) -> int:
    """Code and constants without weights."""
    return figures["code_bytes"] + figures["rodata_bytes"]


def missed(found: Dict[str, Any]) -> List[str]:
    """Every promise that is not kept, in words."""
    lines = []
    for name, limits in LIMITS.items():
        figures = found["models"].get(name)
        for key, limit in limits.items() if figures else ():
            value = flash(figures) if key == "flash" else figures[key]
            if value > limit:
                lines.append(f"{name}: {key} is {value}, more than {limit:.0f}")
    return lines


# --- RESULTS.md -------------------------------------------------------------------------------------------

_HOW = """\
# Bench

`make bench` writes this file. The generated programs and the kernels are compiled with riscv64-unknown-elf-gcc
`-march=rv32imc -mabi=ilp32 -O2 -ffunction-sections -fdata-sections` and picolibc, linked with `--gc-sections`, and run
in `qemu-system-riscv32 -icount shift=0`, where `rdinstret` counts instructions exactly. Outputs are compared byte for
byte with the same C on the host, and there with the plain kernels.

Instructions are those of the last of three inputs; *spread* is (most - least) / least over the three: some kernels skip
zeros. Stack is painted and includes all that an inference calls. Code and constants are those of the inference alone,
without start-up code and `printf`. Weights are weights, biases and shifts as the kernels read them: for a kernel `3x4`,
which is taken where the scratch memory of `6x2` would make the arena grow, weights take twice their size. Kernels named
`winograd` (minimal filtering, [memory.md](../docs/memory.md#scratch-memory-for-speed)) are taken where the arena has
even more memory free: layers behind a pool have it. `6x2_apart` is `6x2` with each input row laid out once for a row of
output; it is taken for first layers. `8x2` keeps the weights of two outputs in registers: layers of single pixels with
eight inputs. *Against plain C*: how much faster the model runs on the host than with the plain kernels.

*Xtensa (lx106)*: the same program for the ESP8266's core, the only Xtensa that Debian has a compiler for:
xtensa-lx106-elf-gcc `-O2`, `qemu-system-xtensa -M sim -cpu lx106 -icount shift=7`, instructions from the cycle counter,
outputs compared byte for byte as well. The core multiplies 32 bits, as those of the ESP32 and ESP32-S2 do, but lacks
what these have besides: sign extension (there is no signed byte load: every int8 takes a load and two shifts), minimum,
maximum and clamp, loops without branches, division, register windows; on the ESP32 also floating point. So the column
is no measurement of those chips; the same C compiled for them takes fewer instructions rather than more. Without
Debian's gcc-xtensa-lx106 it is left out; `scripts/system-packages.sh apt-packages-emulator.txt apt-packages-bench.txt`
installs all that the bench needs.

The other figures are TensorFlow Lite Micro's, with its reference kernels and with ESP-NN's C kernels: same compiler,
flags and emulator, second inference, outputs checked against its own Python wheel; for code, its runtime without the
model.
"""


_TIMES = """\
Seconds of the documented commands. While more than two processes a processor run, those of an earlier run are kept.
"""


def markdown(found: Dict[str, Any]) -> str:
    """RESULTS.md."""
    parts = [_HOW, "![instructions, RAM and flash](results.svg)\n", "## Networks\n", _models(found["models"])]
    parts += ["## Beside TensorFlow Lite Micro\n", _peers(found["models"])]
    promises = missed(found)
    if promises:
        parts.append("Promised and not reached: " + "; ".join(promises) + ".\n")
    parts += ["## Layers\n", _layers(found["layers"]), "## Kernels in the networks\n", _kernels(found["models"])]
    parts.append(vector_results.markdown(found))
    if found.get("pipeline_seconds"):
        parts += ["## Time of the pipeline\n", _TIMES, _seconds(found)]
    return "\n".join(parts)


def _models(models: Dict[str, Any]) -> str:
    head = [
        "",
        "MACs",
        "instructions",
        "a MAC",
        "spread",
        "Xtensa (lx106)",
        "a MAC",
        "arena",
        "stack",
        "code",
        "constants",
        "weights",
    ]
    head += ["data + bss", "host ns", "against plain C"]
    rows = []
    for name, m in models.items():
        rows.append(
            [
                name,
                f"{m['macs']:,}",
                f"{m['instructions']:,}",
                f"{m['instructions'] / max(m['macs'], 1):.2f}",
                f"{100 * m['instructions_spread']:.2f} %",
                *_xtensa(m),
                *(f"{m[key]:,}" for key in ("arena_bytes", "stack_bytes", "code_bytes", "rodata_bytes")),
                f"{m['weight_bytes']:,}",
                f"{m['data_bss_bytes']:,}",
                f"{m.get('host_nanoseconds', 0):,}",
                f"{m.get('host_speed_to_plain_c', 0):.2f}",
            ]
        )
    return table(head, rows)


def _xtensa(figures: Dict[str, Any]) -> List[str]:
    """Instructions on the Xtensa, in all and per MAC; nothing where they were not counted."""
    count = figures.get("xtensa_instructions")
    if count is None:
        return ["", ""]
    return [f"{count:,}", f"{count / figures['macs']:.2f}" if figures["macs"] else ""]


def _peers(models: Dict[str, Any]) -> str:
    head = ["", "instructions", "promised", "TFLM + ESP-NN", "TFLM", "arena", "promised", "TFLM"]
    head += ["code + constants", "promised", "TFLM"]
    rows = []
    for name, peer in PEERS.items():
        m, limit = models.get(name), LIMITS[name]
        if m is None:
            continue
        low, high = (f"{value / 1000:.0f}" for value in peer["code"])
        rows.append(
            [
                name,
                f"{m['instructions'] / 1e6:.2f} M",
                f"{limit['instructions'] / 1e6:.1f} M",
                f"{peer['esp_nn'] / 1e6:.2f} M",
                f"{peer['reference'] / 1e6:.2f} M",
                f"{m['arena_bytes']:,}",
                f"{limit['arena_bytes']:,.0f}",
                f"{peer['arena']:,}",
                f"{flash(m):,}",
                f"{limit['flash']:,.0f}",
                f"{low} kB" if low == high else f"{low} to {high} kB",
            ]
        )
    return table(head, rows)


def _layer_step(figures: Dict[str, Any]) -> Dict[str, Any]:
    return max(figures["steps"], key=lambda step: step["macs"])


def _layers(layers: Dict[str, Any]) -> str:
    rows = []
    for name, figures in layers.items():
        step = _layer_step(figures)
        each = step["instructions"] / step["macs"]
        cells = [name, f"{step['macs']:,}", f"{step['instructions']:,}", f"{each:.2f}", *_xtensa(step)]
        rows.append([*cells, f"`{step['kernel']}`"])
    return table(["", "MACs", "instructions", "a MAC", "Xtensa (lx106)", "a MAC", "kernel"], rows)


def _kernels(models: Dict[str, Any]) -> str:
    rows = []
    for name, figures in models.items():
        totals: Dict[str, Tuple[int, int, int]] = {}
        for step in figures["steps"]:
            calls, macs, count = totals.get(step["kernel"], (0, 0, 0))
            totals[step["kernel"]] = (calls + 1, macs + step["macs"], count + step["instructions"])
        for kernel, (calls, macs, count) in sorted(totals.items(), key=lambda item: -item[1][2]):
            share = 100 * count / figures["instructions"]
            each = f"{count / macs:.2f}" if macs else ""
            rows.append([name, f"`{kernel}`", str(calls), f"{count:,}", f"{share:.1f} %", each])
    return table(["", "kernel", "calls", "instructions", "share", "a MAC"], rows)


def _seconds(found: Dict[str, Any]) -> str:
    rows = []
    for name, seconds in found["pipeline_seconds"].items():
        steps = [seconds.get(step, 0.0) for step in ("preprocess", "quantize", "export")]
        rows.append([name, *(f"{value:.1f}" for value in steps), f"{steps[1] + steps[2]:.1f}"])
    return table(["", "preprocess", "quantize", "export", "quantize + export"], rows)


# --- results.svg ------------------------------------------------------------------------------------------


def plot(found: Dict[str, Any]) -> str:
    """Instructions per MAC of layers and networks; RAM and flash beside the peers'."""
    layers = [
        (name, [step["instructions"] / step["macs"]])
        for name, step in ((name, _layer_step(figures)) for name, figures in found["layers"].items())
    ]
    networks, ram, code = [], [], []
    for name, m in found["models"].items():
        peer: Optional[Dict[str, Any]] = PEERS.get(name)
        if peer:
            each = [m["instructions"], peer["esp_nn"], peer["reference"]]
            networks.append((name, [value / m["macs"] for value in each]))
            ram.append((name, [m["arena_bytes"] / 1000, peer["arena"] / 1000]))
            code.append((name, [flash(m) / 1000, sum(peer["code"]) / 2000]))
    return bar_chart(
        [
            ("Instructions per multiply-accumulate, layers", ["esp_tvm"], layers),
            ("Instructions per multiply-accumulate, networks", ["esp_tvm", "TFLM + ESP-NN", "TFLM"], networks),
            ("Arena, kB", ["esp_tvm", "TFLM"], ram),
            ("Code and constants without weights, kB", ["esp_tvm", "TFLM"], code),
        ]
    )


# --- comparison -------------------------------------------------------------------------------------------


def comparison(base: Dict[str, Any], new: Dict[str, Any]) -> str:
    """What got better or worse, one line a figure; equal figures are left out."""
    lines = []
    for group in ("models", "layers"):
        for name, figures in new.get(group, {}).items():
            old = base.get(group, {}).get(name)
            if old is None:
                lines.append(f"{name}: new")
                continue
            lines += _changes(name, COMPARED, old, figures)
            lines += _changes(f"{name} on the ESP32-S3", COMPARED, old.get("esp32s3"), figures.get("esp32s3"))
        lines += [f"{name}: gone" for name in base.get(group, {}) if name not in new.get(group, {})]
    old = (base.get("esp32s3") or {}).get("shapes") or {}
    for name, figures in ((new.get("esp32s3") or {}).get("shapes") or {}).items():
        lines += _changes(f"{name} on the ESP32-S3", COMPARED, old.get(name), figures)
    return "\n".join(lines) or "nothing changed"


def _changes(name: str, keys: Sequence[str], old: Optional[Dict[str, Any]], new: Optional[Dict[str, Any]]) -> List[str]:
    """What is better or worse; nothing where one of them was not measured."""
    lines = []
    for key in keys if old and new else ():
        before, after = old.get(key), new.get(key)
        if before is None or after is None or before == after:
            continue
        change = 100 * (after - before) / before if before else float("inf")
        verdict = "better" if after < before else "worse"
        lines.append(f"{name}: {key} {before:,} -> {after:,} ({change:+.1f} %, {verdict})")
    return lines
