"""Generated front ends compiled for this machine: for tests, and for runs together with the model."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Dict, Sequence, Tuple

import numpy as np

from ..errors import UserError
from ..run import objects
from ..run.host import CFLAGS, SANITIZE, STRICT, HostProgram, host_compiler
from .audio_spec import AudioSpec
from .c_text import COMPONENT
from .image_spec import FORMATS, ImageSpec


def write_files(files: Dict[str, str], folder: Path) -> None:
    """Write the files of an emitter below `folder`."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def compile_c(
    binary: Path, sources: Sequence[Path], includes: Sequence[Path], sanitize: bool, options: Sequence[str] = ()
) -> Path:
    """Compile C files to a program; with the sanitizers, warnings are errors too."""
    command = [*host_compiler(), *CFLAGS, *(STRICT + SANITIZE if sanitize else ()), *options]
    for include in includes:
        command += ["-I", str(include)]
    command += [*map(str, sources), "-o", str(binary), "-lm"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        first = next((line for line in done.stdout.splitlines() if "error" in line), done.stdout.strip()[:300])
        raise UserError(f"the front end's C does not compile on this machine: {first}")
    return binary


def run_program(binary: Path, arguments: Sequence[str], data: bytes, timeout: float = 600) -> bytes:
    """The program's stdout for `data` on stdin."""
    done = objects.run_program([str(binary), *arguments], data, timeout)
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(f"the front end's host program failed: {why[0] if why else done.returncode}")
    return done.stdout


_IMAGE_DRIVER = """\
/* Frames of the format that the argument names from stdin; the model's inputs to stdout. */
#include "preprocess.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    void (*convert)(const uint8_t *, int8_t *) = NULL;
    size_t size = 0;
@choices
    if (argc != 2 || convert == NULL) {
        return 1;
    }
    /* From the heap, of exactly their size: what reads or writes beyond is found. */
    uint8_t *frame = malloc(size);
    int8_t *input = malloc(PREPROCESS_INPUT_SIZE);
    while (frame != NULL && input != NULL && fread(frame, 1, size, stdin) == size) {
        memset(input, 85, PREPROCESS_INPUT_SIZE);
        convert(frame, input);
        fwrite(input, 1, PREPROCESS_INPUT_SIZE, stdout);
    }
    free(frame);
    free(input);
    return 0;
}
"""


class ImageProgram:
    """preprocess.c of a component folder, compiled for this machine in `build`."""

    def __init__(self, component: Path, spec: ImageSpec, build: Path, sanitize: bool = False):
        self.spec = spec
        choices = [
            f'    if (argc == 2 && strcmp(argv[1], "{form}") == 0) {{\n        convert = preprocess_{form};\n'
            f"        size = PREPROCESS_FRAME_{form.upper()}_SIZE;\n    }}"
            for form in spec.camera.formats
        ]
        driver = build / "image_driver.c"
        driver.write_text(_IMAGE_DRIVER.replace("@choices", "\n".join(choices)), encoding="utf-8")
        sources = [driver, component / "src/preprocess.c"]
        self._binary = compile_c(build / "image_program", sources, [component / "include"], sanitize)

    def run(self, frames: Sequence[np.ndarray], form: str) -> np.ndarray:
        """int8 [N, elements of the input] for N frames of bytes in format `form`."""
        size = self.spec.camera.width * self.spec.camera.height * FORMATS[form]
        blobs = [np.ascontiguousarray(frame, np.uint8).tobytes() for frame in frames]
        if any(len(blob) != size for blob in blobs):
            raise ValueError(f"frames in {form} have {size} bytes")
        out = run_program(self._binary, [form], b"".join(blobs))
        return np.frombuffer(out, np.int8).reshape(len(frames), -1)


_PARTS_DRIVER = """\
/* A frame from stdin, then rectangles x, y, width, height; to stdout, of each whether it is taken and the input. */
#include "preprocess.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    /* From the heap, of exactly their size: what reads or writes beyond is found. */
    uint8_t *frame = malloc(@size);
    int8_t *input = malloc(PREPROCESS_INPUT_SIZE);
    preprocess_part_t part;
    const bool ready = frame != NULL && input != NULL && fread(frame, 1, @size, stdin) == @size;
    while (ready && fread(&part, sizeof(part), 1, stdin) == 1) {
        memset(input, 85, PREPROCESS_INPUT_SIZE);
        fputc(preprocess_@form_part(frame, &part, input), stdout);
        fwrite(input, 1, PREPROCESS_INPUT_SIZE, stdout);
    }
    free(frame);
    free(input);
    return 0;
}
"""


def inputs_of_parts(
    component: Path, build: Path, frame: np.ndarray, form: str, parts: Sequence[Sequence[int]]
) -> Tuple[np.ndarray, np.ndarray]:
    """(bool [N], int8 [N, elements of the input]): what preprocess_FORM_part of a component folder returns for parts
    x, y, width, height of one frame, and what it writes over bytes of 85."""
    driver = build / f"parts_driver_{form}.c"
    text = _PARTS_DRIVER.replace("@size", f"PREPROCESS_FRAME_{form.upper()}_SIZE").replace("@form", form)
    driver.write_text(text, encoding="utf-8")
    sources = [driver, component / "src/preprocess.c"]
    binary = compile_c(build / f"parts_program_{form}", sources, [component / "include"], sanitize=True)
    data = np.ascontiguousarray(frame, np.uint8).tobytes() + np.array(parts, "<i4").tobytes()
    rows = np.frombuffer(run_program(binary, [], data), np.int8).reshape(len(parts), -1)
    return rows[:, 0] != 0, rows[:, 1:]


_SIMILARITY_DRIVER = """\
/* int8 vectors of as many numbers as the argument says, in pairs, from stdin; the cosine of each pair to stdout. */
#include "similarity.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    const uint32_t count = argc == 2 ? (uint32_t)atoi(argv[1]) : 0;
    int8_t *a = malloc(count), *b = malloc(count);
    while (a != NULL && b != NULL && fread(a, 1, count, stdin) == count && fread(b, 1, count, stdin) == count) {
        const int32_t cosine = similarity_cosine(a, b, count);
        fwrite(&cosine, sizeof(cosine), 1, stdout);
    }
    free(a);
    free(b);
    return 0;
}
"""


def cosines(component: Path, build: Path, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """int32 [N]: similarity_cosine of a component folder, for each of the rows of int8 a and b, [N, numbers]."""
    driver = build / "similarity_driver.c"
    driver.write_text(_SIMILARITY_DRIVER, encoding="utf-8")
    sources = [driver, component / "src/similarity.c"]
    binary = compile_c(build / "similarity_program", sources, [component / "include"], sanitize=True)
    pairs = np.stack([a, b], axis=1).astype(np.int8)
    return np.frombuffer(run_program(binary, [str(a.shape[1])], pairs.tobytes()), "<i4")


def run_application(program: HostProgram, build: Path, data: bytes, options: Sequence[str] = ()) -> str:
    """The output of the project's own main/app_main.c, compiled for this machine, with `data` on its stdin."""
    component, model = program.project / COMPONENT, program.project / "components/tvm_model"
    sources = [program.project / "main/app_main.c", *sorted((component / "src").glob("*.c")), model / "src/tvm_model.c"]
    folders = (program.project / "main", component / "include", model / "include")
    includes = [word for folder in folders for word in ("-I", str(folder))]
    binary = program.link(sources, build / "application", [*includes, *options])
    return run_program(binary, [], data).decode(errors="replace")


_AUDIO_DRIVER = """\
/* int16 samples from stdin in chunks of the sizes that the arguments name, round and round; the model's input after
 * every frame, once there are enough, to stdout. */
#include "audio_features.h"

#include <stdio.h>
#include <stdlib.h>

static features_t state;

int main(int argc, char **argv)
{
    features_reset(&state);
    for (int turn = 0;; turn++) {
        const size_t size = (size_t)atoi(argv[1 + turn % (argc - 1)]);
        int16_t *chunk = malloc(size * sizeof(*chunk));
        int8_t *input = malloc(FEATURES_INPUT_SIZE);
        if (chunk == NULL || input == NULL) {
            return 1;
        }
        const size_t count = fread(chunk, sizeof(*chunk), size, stdin);
        for (size_t taken = 0; taken < count;) {
            bool frame;
            taken += features_push(&state, chunk + taken, count - taken, &frame);
            if (frame && features_ready(&state)) {
                features_input(&state, input);
                fwrite(input, 1, FEATURES_INPUT_SIZE, stdout);
            }
        }
        free(chunk);
        free(input);
        if (count < size) {
            return 0;
        }
    }
}
"""


class AudioProgram:
    """audio_features.c of a component folder, compiled for this machine in `build`."""

    def __init__(self, component: Path, spec: AudioSpec, build: Path, sanitize: bool = False):
        self.spec = spec
        driver = build / "audio_driver.c"
        driver.write_text(_AUDIO_DRIVER, encoding="utf-8")
        sources = [driver, component / "src/audio_features.c"]
        self._binary = compile_c(build / "audio_program", sources, [component / "include"], sanitize)

    def run(self, samples: np.ndarray, chunks: Sequence[int] = (160,)) -> np.ndarray:
        """int8 [N, *shape]: the input after every frame of int16 samples that come in chunks of these sizes."""
        out = run_program(self._binary, [str(size) for size in chunks], samples.astype("<i2").tobytes())
        return np.frombuffer(out, np.int8).reshape(-1, *self.spec.shape)
