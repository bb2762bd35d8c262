"""The part of bench/RESULTS.md about the ESP32-S3's vector kernels, and what of it stays from an earlier run."""

from __future__ import annotations

from typing import Any, Dict, List

from tables import table

CLOCK_MHZ = 240

_HOW = """\
## ESP32-S3

`make bench` counts these where Espressif's compiler (xtensa-esp32s3-elf-gcc or xtensa-esp-elf-gcc) and a
`qemu-system-xtensa` that runs the core `esp32s3` with its vector unit on the machine `sim` are on PATH. Outputs are
compared byte for byte. They are instructions, **no times of a board**: the chip issues one a cycle while code and data
are in internal RAM or in the cache. ESP-DL's figures are its published microseconds, at {clock} MHz; ESP-NN's were
counted in an emulator. Random inputs in 0 to 127 (3 channels: -128 to 127), random weights with one exponent per
channel. [docs/esp32-s3.md](../docs/esp32-s3.md) says how the kernels work.
"""


def keep(found: Dict[str, Any], before: Dict[str, Any], reason: str) -> None:
    """Take over what an earlier run counted on the ESP32-S3 where this machine cannot (`reason`)."""
    part = dict(before.get("esp32s3") or {})
    part["missing"] = reason
    found["esp32s3"] = part
    for group in ("models", "layers"):
        for name, figures in found[group].items():
            old = before[group].get(name, {}).get("esp32s3")
            if old is not None and "esp32s3" not in figures:
                figures["esp32s3"] = old


def markdown(found: Dict[str, Any]) -> str:
    """The section; without figures it says what is missing."""
    part = found.get("esp32s3") or {}
    plain = {**found["models"], **found["layers"]}
    models = {name: m["esp32s3"] for name, m in plain.items() if m.get("esp32s3")}
    shapes = part.get("shapes") or {}
    parts = [_HOW.format(clock=CLOCK_MHZ)]
    reason = part.get("missing")
    if not models and not shapes:
        return "\n".join([*parts, f"Skipped: {reason or 'never counted'}.\n"])
    if reason:
        parts.append(f"The last run could not count ({reason}): **these figures are those of an earlier run.**\n")
    parts.append(_toolchain(part.get("toolchain")))
    if shapes:
        parts.append(_shapes(shapes))
    if models:
        parts += [_models(models, plain), _kernels(models)]
    return "\n".join(parts)


def _toolchain(toolchain: Any) -> str:
    if not toolchain:
        return ""
    text = f"The C around the assembly: gcc {toolchain['gcc']}, calling convention {toolchain['convention']}"
    if toolchain["scalar_instructions"]:
        return text + ".\n"
    return (
        f"{text}, without the core's\nscalar instructions (minimum, sign extension, loops, division): Espressif's "
        "compiler, which uses them, makes\nthat C faster rather than slower.\n"
    )


def _rate(macs: int, count: float) -> str:
    return f"{macs / count:.2f}" if macs and count else ""


def _shapes(shapes: Dict[str, Any]) -> str:
    head = ["", "MACs", "instructions", "MAC an instruction", "ESP-NN", "ESP-DL v3, µs", "its MAC a cycle", "kernel"]
    rows = []
    for name, s in shapes.items():
        microseconds, nn = s.get("esp_dl_microseconds"), s.get("esp_nn")
        rows.append(
            [
                name,
                f"{s['macs']:,}",
                f"{s['instructions']:,}",
                _rate(s["macs"], s["instructions"]),
                f"{nn:.2f}" if nn else "",
                f"{microseconds:,}" if microseconds else "",
                _rate(s["macs"], microseconds * CLOCK_MHZ) if microseconds else "",
                s["kernel"],
            ]
        )
    return table(head, rows)


def _models(models: Dict[str, Any], plain: Dict[str, Any]) -> str:
    head = ["", "MACs", "instructions", "MAC an instruction", "with int8 inputs", "fewer than RV32IMC", "arena"]
    head.append("constants")
    rows = []
    for name, m in models.items():
        sizes = [f"{m['arena_bytes']:,}", f"{m['constant_bytes']:,}"]
        times = f"{plain[name]['instructions'] / m['instructions']:.1f} times"
        macs, count = m["macs"], m["instructions"]
        # As the program takes them by default, and without the change from float.
        from_float = sum(step["instructions"] for step in m["steps"] if step["kernel"].startswith("Quantize"))
        rates = [_rate(macs, count), _rate(macs, count - from_float)]
        rows.append([name, f"{macs:,}", f"{count:,}", *rates, times, *sizes])
    return table(head, rows)


def _kernels(models: Dict[str, Any]) -> str:
    rows: List[List[str]] = []
    for name, m in models.items():
        totals: Dict[Any, List[int]] = {}
        for step in m["steps"]:
            total = totals.setdefault((step["operator"], step["kernel"]), [0, 0, 0])
            for i, value in enumerate((1, step["macs"], step["instructions"])):
                total[i] += value
        for (operator, kernel), (calls, macs, count) in sorted(totals.items(), key=lambda item: -item[1][2]):
            share = f"{100 * count / m['instructions']:.1f} %"
            rows.append([name, operator, kernel, str(calls), f"{count:,}", share, _rate(macs, count)])
    return table(["", "operator", "kernel", "calls", "instructions", "share", "MAC an instruction"], rows)
