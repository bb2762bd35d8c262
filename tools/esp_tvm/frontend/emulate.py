"""Generated front ends on the emulated RISC-V (RV32IMC, the ESP32-C3's instruction set): same bytes, instructions."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import List, Sequence, Tuple

import numpy as np

from ..run.machines import RISCV, require
from ..run.qemu import compile_objects, execute, link

_FRAMES = """\
#include "preprocess.h"

#include <stdio.h>

#define SIZE PREPROCESS_FRAME_@FORM_SIZE

@counter
static uint8_t frame[SIZE];
static int8_t input[PREPROCESS_INPUT_SIZE];

int main(void)
{
    FILE *in = fopen("input.bin", "rb"), *out = fopen("output.bin", "wb"), *log = fopen("counts.bin", "wb");
    if (in == NULL || out == NULL || log == NULL) {
        return 1;
    }
    while (fread(frame, 1, SIZE, in) == SIZE) {
        const uint32_t start = instructions();
        preprocess_@form(frame, input);
        const uint32_t count = instructions() - start;
        fwrite(input, 1, sizeof(input), out);
        fwrite(&count, sizeof(count), 1, log);
    }
    fclose(out);
    fclose(log);
    return 0;
}
"""

_STREAM = """\
#include "audio_features.h"

#include <stdio.h>

@counter
static features_t state;
static int16_t samples[FEATURES_HOP];
static int8_t input[FEATURES_INPUT_SIZE];

int main(void)
{
    FILE *in = fopen("input.bin", "rb"), *out = fopen("output.bin", "wb"), *log = fopen("counts.bin", "wb");
    if (in == NULL || out == NULL || log == NULL) {
        return 1;
    }
    features_reset(&state);
    size_t count;
    while ((count = fread(samples, sizeof(samples[0]), FEATURES_HOP, in)) > 0) {
        const uint32_t start = instructions();
        bool any = false;
        for (size_t taken = 0; taken < count;) {
            bool frame;
            taken += features_push(&state, samples + taken, count - taken, &frame);
            any = any || frame;
        }
        const uint32_t spent = instructions() - start;
        if (any && features_ready(&state)) {
            features_input(&state, input);
            fwrite(input, 1, sizeof(input), out);
            fwrite(&spent, sizeof(spent), 1, log);
        }
    }
    fclose(out);
    fclose(log);
    return 0;
}
"""


def _emulate(driver: str, component: Path, data: bytes) -> Tuple[np.ndarray, List[int]]:
    """(int8 that the program wrote, instructions of each input) for `data` in its input.bin."""
    require(RISCV)
    with tempfile.TemporaryDirectory(prefix="esp_tvm_emulate_") as name:
        folder = Path(name)
        (folder / "driver.c").write_text(driver.replace("@counter", RISCV.counter), encoding="utf-8")
        (folder / "input.bin").write_bytes(data)
        sources = [folder / "driver.c", *sorted((component / "src").glob("*.c"))]
        objects = compile_objects(sources, [component / "include"], folder, ("-Werror",))
        link(objects, folder / "program")
        execute(folder / "program", folder)
        counts = np.fromfile(folder / "counts.bin", "<u4")
        return np.fromfile(folder / "output.bin", np.int8), [RISCV.count(int(count)) for count in counts]


def emulate_frames(component: Path, frames: Sequence[np.ndarray], form: str) -> Tuple[np.ndarray, List[int]]:
    """(int8 [N, elements], instructions of each) for N camera frames of bytes in `form`."""
    driver = _FRAMES.replace("@FORM", form.upper()).replace("@form", form)
    data = b"".join(np.ascontiguousarray(frame, np.uint8).tobytes() for frame in frames)
    inputs, counts = _emulate(driver, component, data)
    return inputs.reshape(len(frames), -1), counts


def emulate_stream(component: Path, samples: np.ndarray, shape: Sequence[int]) -> Tuple[np.ndarray, List[int]]:
    """(int8 [N, *shape], instructions from one frame to the next) for int16 samples; N inputs, one a frame."""
    inputs, counts = _emulate(_STREAM, component, samples.astype("<i2").tobytes())
    return inputs.reshape(-1, *shape), counts
