"""Puts the estimate's constants to other people's programs whose times on boards are published.

    python bench/published_times.py

Ours have not been run on a board. What is checked is what the estimate adds to counted instructions: cycles for an
instruction, and how long lines from flash and PSRAM take. Of the others' programs their instructions are known from an
emulator, or their kernels' rate from published times of single layers; each byte of weights and activations is taken to
be fetched once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List, NamedTuple, Tuple

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / "tools"), str(REPO / "bench")]

from tables import table  # noqa: E402

from esp_tvm.estimate.memories import (  # noqa: E402
    CLOCKS,
    CYCLES_PER_INSTRUCTION,
    FLASH_QIO_80,
    PSRAM_OCTAL_80,
    Lines,
)


class Layer(NamedTuple):
    """kind: 3x3, 1x1, depthwise, add; read, written: bytes of activations; weights: bytes; channels: of the input"""

    kind: str
    macs: int
    read: int
    written: int
    weights: int
    channels: int


def pointwise(size: int, inputs: int, outputs: int) -> Layer:
    pixels = size * size
    return Layer("1x1", pixels * inputs * outputs, pixels * inputs, pixels * outputs, inputs * outputs, inputs)


def depthwise(size: int, channels: int, stride: int) -> Layer:
    pixels = (size // stride) ** 2
    return Layer("depthwise", pixels * channels * 9, size * size * channels, pixels * channels, channels * 9, channels)


def first(size: int, inputs: int, outputs: int) -> Layer:
    pixels = (size // 2) ** 2
    return Layer(
        "3x3", pixels * inputs * outputs * 9, size * size * inputs, pixels * outputs, 9 * inputs * outputs, inputs
    )


def mobilenet_v1(size: int, inputs: int) -> List[Layer]:
    """Width 0.25, as in person detection."""
    found, channels = [first(size, inputs, 8)], 8
    size //= 2
    for outputs, stride in [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]:
        found.append(depthwise(size, channels, stride))
        size //= stride
        found.append(pointwise(size, channels, outputs))
        channels = outputs
    return found


def mobilenet_v2(width: float, size: int, classes: int) -> List[Layer]:
    def scaled(channels: int) -> int:
        rounded = max(8, int(channels * width + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * channels * width else rounded

    channels = scaled(32)
    found, size = [first(size, 3, channels)], size // 2
    blocks = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expansion, outputs, count, stride in blocks:
        outputs = scaled(outputs)
        for number in range(count):
            step, inside = stride if number == 0 else 1, channels * expansion
            if expansion > 1:
                found.append(pointwise(size, channels, inside))
            found.append(depthwise(size, inside, step))
            size //= step
            found.append(pointwise(size, inside, outputs))
            if step == 1 and channels == outputs:
                found.append(Layer("add", 0, 2 * size * size * outputs, size * size * outputs, 0, outputs))
            channels = outputs
    return [*found, pointwise(size, channels, 1280), pointwise(1, 1280, classes)]


def fetched(lines: Lines, size: int, chip: str) -> float:
    """Milliseconds to fetch `size` bytes once."""
    return lines.nanoseconds(size, CLOCKS[chip].line) / 1e6


def of_instructions(chip: str, instructions: float, layers: List[Layer]) -> float:
    """Milliseconds of a program with its activations inside and its weights in flash."""
    compute = instructions * CYCLES_PER_INSTRUCTION / CLOCKS[chip].mhz / 1000
    return compute + fetched(FLASH_QIO_80, sum(layer.weights for layer in layers), chip)


def esp_nn_instructions(layer: Layer) -> float:
    """On the ESP32-S3, by what ESP-NN takes in an emulator for layers like it (bench/RESULTS.md, "ESP32-S3")."""
    rate = {"3x3": 0.21, "depthwise": 0.235}.get(layer.kind)
    if rate is None:
        rate = 0.28 if layer.channels <= 8 else 0.53 if layer.channels < 64 else 1.39
    return layer.macs / rate


def esp_dl(layers: List[Layer]) -> float:
    """Milliseconds of ESP-DL on an ESP32-S3 with all in PSRAM: its kernels at the rates of its layer table."""
    rates = {"3x3": 3.45, "1x1": 2.02, "depthwise": 1.08}
    cycles = sum(layer.macs / rates[layer.kind] for layer in layers if layer.macs)
    moved = sum(layer.read + layer.written + layer.weights for layer in layers)
    return cycles / CLOCKS["esp32s3"].mhz / 1000 + fetched(PSRAM_OCTAL_80, moved, "esp32s3")


# Instructions of MobileNetV1 0.25 with TensorFlow Lite Micro and ESP-NN's C (bench/RESULTS.md), on RV32IMC; and how
# many more our own C takes on Xtensa for that network.
_ESP_NN_RISCV = 65.3e6
_XTENSA = 28.85 / 20.27


def rows() -> List[Tuple[str, float, float]]:
    """(what, estimated milliseconds, published milliseconds)"""
    person = mobilenet_v1(96, 1)
    vector = sum(esp_nn_instructions(layer) for layer in person)
    return [
        ("ESP-NN, person detection, esp32c3", of_instructions("esp32c3", _ESP_NN_RISCV, person), 426.0),
        ("ESP-NN, person detection, esp32", of_instructions("esp32", _ESP_NN_RISCV * _XTENSA, person), 380.0),
        ("ESP-NN, person detection, esp32s3", of_instructions("esp32s3", vector, person), 54.0),
        ("ESP-DL, MobileNetV2 0.5, 128x128, esp32s3", esp_dl(mobilenet_v2(0.5, 128, 18)), 115.4),
        ("ESP-DL, MobileNetV2 1.0, 224x224, esp32s3", esp_dl(mobilenet_v2(1.0, 224, 1000)), 1309.5),
    ]


def main() -> None:
    lines = [[what, f"{own:.1f}", f"{theirs:.1f}", f"{own / theirs:.2f}"] for what, own, theirs in rows()]
    print(table(["", "estimated, ms", "published, ms", "ratio"], lines), end="")


if __name__ == "__main__":
    main()
