"""`make zoo`: a table of the models in a folder: size, accuracy, memory, time, and whether every layer is exact.

ZOO is a folder with .onnx and .espdl files, or with a folder for each. Samples of a model's input are, in this order:
NAME.npy or NAME.npz beside NAME.onnx, calib.npy in the folder of the model, or the pictures of FILES, which become its
input as NAME.yaml beside it says (docs/image-input.md) or as Espressif says of its own models (espressif_zoo.py). A
float model needs samples; an .espdl has its exponents, and without samples it is run on random input, which says
nothing of its accuracy. Every fifth sample is held back from the quantizer where there are enough.

Every model goes through the steps of a user: convert or preprocess, quantize, export for an ESP32-S3 with {flash} of
flash and {psram} of PSRAM, run on this computer, every layer compared with the rules. Writes OUT/zoo.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / "tools"), str(REPO / "bench")]

import numpy as np  # noqa: E402
import onnx  # noqa: E402
from espressif_zoo import published  # noqa: E402
from measure import TEMPLATE, HostWithKernels, Kernels  # noqa: E402
from tables import table  # noqa: E402

from esp_tvm import cli  # noqa: E402
from esp_tvm.boards import Board, choose_board  # noqa: E402
from esp_tvm.compile import CompiledModel, compile_imported, import_model  # noqa: E402
from esp_tvm.compile.kernels.esp32s3 import CHIP  # noqa: E402
from esp_tvm.convert.convert import convert  # noqa: E402
from esp_tvm.data import load_samples  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.estimate import sum_of  # noqa: E402
from esp_tvm.files import write_text  # noqa: E402
from esp_tvm.frontend.command import write_arrays  # noqa: E402
from esp_tvm.model import inputs_of, is_quantized, load_model, run_session, save_model, session  # noqa: E402
from esp_tvm.preprocess import preprocess_model  # noqa: E402
from esp_tvm.program import CallTime  # noqa: E402
from esp_tvm.program.evaluate import evaluate  # noqa: E402
from esp_tvm.project.constants import fit_and_estimate  # noqa: E402
from esp_tvm.project.fit import internal_room  # noqa: E402
from esp_tvm.project.write import write_project  # noqa: E402
from esp_tvm.quantize import quantize_model, quantize_onnx  # noqa: E402
from esp_tvm.quantize.held_back import hold_back  # noqa: E402
from esp_tvm.quantize.passes import Passes  # noqa: E402
from esp_tvm.run.compare import compare_with_rules  # noqa: E402
from esp_tvm.run.machines import RISCV  # noqa: E402
from esp_tvm.run.qemu import EmulatedProgram  # noqa: E402

BOARD = {"flash": "16MB", "psram": "8MB:oct"}
# A chip with the instructions of RV32IMC and room for everything.
RISCV_CHIP = "esp32p4"
KINDS = (".onnx", ".espdl")
# Samples whose every layer is compared, samples for the signal-to-noise ratio, random samples where there are none.
EXACT, JUDGED, RANDOM = 2, 16, 2
HEAD = [
    "model", "MAC", "weights, bytes", "SNR, dB", "arena, bytes", "RISC-V instructions", "S3 instructions, estimate",
    "S3 ms, estimate", "Espressif, ms", "every layer exact",
]  # fmt: skip
Samples = Dict[str, np.ndarray]


@dataclass
class Subject:
    """A model ready to be compiled.

    name: of its row; quantized; reference: what its outputs should be, a float model
    samples: to run, {input: [N, *shape]}; kind: "held back", "calibrated", "given" (where nothing was calibrated) or
        "random"
    """

    name: str
    quantized: onnx.ModelProto
    reference: onnx.ModelProto
    samples: Samples
    kind: str


# --- what there is ----------------------------------------------------------------------------------------


def found_in(zoo: Path) -> List[Tuple[str, Path]]:
    """(name, file) of every model in a folder and in the folders in it, or of one file."""
    if zoo.is_file():
        if zoo.suffix not in KINDS:
            raise UserError(f"{zoo}: is no .onnx and no .espdl file; ZOO names such a file, or a folder with some")
        return [(zoo.stem, zoo)]
    if not zoo.is_dir():
        raise UserError(f"{zoo}: no such folder; ZOO names a folder with .onnx and .espdl files")
    paths = [path for pattern in ("*", "*/*") for path in sorted(zoo.glob(pattern)) if path.suffix in KINDS]
    if not paths:
        raise UserError(f"{zoo}: has no .onnx and no .espdl file")
    return [(path.parent.name if path.stem == "model" else path.stem, path) for path in paths]


def samples_of(path: Path, name: str, model: onnx.ModelProto, pictures: Sequence[str], work: Path) -> Optional[Samples]:
    """The samples for a model, None where there are none."""
    for file in (path.with_suffix(".npy"), path.with_suffix(".npz"), path.parent / "calib.npy"):
        if file.is_file():
            return load_samples(file, inputs_of(model))
    if not pictures:
        return None
    spec = path.with_suffix(".yaml")
    if not spec.is_file():
        text = _spec_of(name, model)
        if not text:
            return None
        spec = work / "image.yaml"
        spec.write_text(text)
    write_arrays(str(spec), pictures, str(work / "samples.npy"))
    return load_samples(work / "samples.npy", inputs_of(model))


def _spec_of(name: str, model: onnx.ModelProto) -> str:
    """What image.yaml would say of one of Espressif's models; empty if it is none whose input is known."""
    known, ports = published(name), inputs_of(model)
    if known is None or known.normalization is None or len(ports) != 1 or len(ports[0][1]) != 4:
        return ""
    _, height, width, _ = ports[0][1]
    mean, deviation = (list(numbers) for numbers in known.normalization)
    return (
        f"width: {width}\nheight: {height}\nlayout: NHWC\nchannels: {known.channels}\nscale: 1\n"
        f"mean: {mean}\nstd: {deviation}\nfit: crop\n"
    )


def _random(model: onnx.ModelProto) -> Samples:
    random = np.random.RandomState(19)
    return {name: random.uniform(-1, 1, (RANDOM, *shape)).astype(dtype) for name, shape, dtype in inputs_of(model)}


def subject_of(name: str, path: Path, pictures: Sequence[str], work: Path) -> Subject:
    """Convert or preprocess, and quantize."""
    if path.suffix == ".espdl":
        convert(path, work / "model.onnx")
        convert(path, work / "float.onnx", as_float=True)
        model, reference = load_model(work / "model.onnx"), load_model(work / "float.onnx")
    else:
        model = reference = preprocess_model(load_model(path), path).model
    samples = samples_of(path, name, model, pictures, work)
    if is_quantized(model):
        save_model(model, work / "quantized.onnx")
        quantized = quantize_onnx(work / "quantized.onnx", work / "adopted.onnx", None).model
        kind = "random" if samples is None else "given"
        return Subject(name, quantized, reference, _random(model) if samples is None else samples, kind)
    if samples is None:
        raise UserError(f"{path}: needs samples: {path.stem}.npy beside it, or FILES=pictures and {path.stem}.yaml")
    calibration, held = hold_back(samples)
    quantized = quantize_model(model, calibration, Passes(), path).model
    return Subject(name, quantized, reference, held or samples, "held back" if held else "calibrated")


# --- what is measured -------------------------------------------------------------------------------------


def exported(compiled: CompiledModel, board: Board, sample: Samples, folder: Path) -> Tuple[Path, CallTime, str]:
    """The project for a board, its estimate, and what stands before that: "> " if it is without some calls."""
    program, fit = compiled.program, fit_and_estimate(compiled, board, "flash")
    folder.mkdir()
    one = {name: array[0] for name, array in sample.items()}
    outputs = evaluate(program, one).outputs
    project = write_project(compiled, one, outputs, str(TEMPLATE), str(folder), board.chip, fit)
    time, unknown = sum_of(program)
    return project, time, "> " if unknown else ""


def decibels(subject: Subject, outputs: Samples, samples: Samples) -> float:
    """Signal to noise of all outputs {name: [N, ...]} and samples together."""
    run, signal, noise = session(subject.reference), 0.0, 0.0
    for number in range(len(next(iter(samples.values())))):
        feeds = {name: array[number] for name, array in samples.items()}
        for name, wanted in zip(outputs, run_session(run, list(outputs), feeds)):
            real = np.asarray(wanted, np.float64).ravel()
            signal += float((real**2).sum())
            noise += float(((outputs[name][number].ravel() - real) ** 2).sum())
    return 10 * float(np.log10(signal / noise)) if noise else np.inf


def measure(subject: Subject, kernels: Kernels, most_macs: float, work: Path) -> List[str]:
    """A row of the table. most_macs: up to so many multiply-accumulates are emulated."""
    relay = import_model(subject.quantized)
    board, samples = choose_board(CHIP, **BOARD), {n: np.asarray(a[:JUDGED]) for n, a in subject.samples.items()}
    some = {name: array[:EXACT] for name, array in samples.items()}
    own = compile_imported(subject.quantized, relay, chip=CHIP, target_chip=CHIP)
    room = internal_room(board)
    if own.program.arena_bytes > room:
        own = compile_imported(subject.quantized, relay, chip=CHIP, target_chip=CHIP, strips=room)
    project, time, more = exported(own, board, some, work / "s3")
    host = HostWithKernels(project, kernels)
    exact = compare_with_rules(host, some).equal
    plain = compile_imported(subject.quantized, relay)
    project, estimate, more_plain = exported(plain, choose_board(RISCV_CHIP), some, work / "riscv")
    instructions = f"{more_plain}{estimate.instructions} (estimate)"
    if plain.program.macs <= most_macs and RISCV in kernels.objects:
        one = {name: array[:1] for name, array in some.items()}
        outputs, counts = EmulatedProgram(project, kernels.objects[RISCV]).measure(one)
        instructions = str(counts[0].instructions)
        exact = exact and all(outputs[n].tobytes() == a.tobytes() for n, a in host.run(one).items())
    snr = "-" if subject.kind == "random" else f"{decibels(subject, host.run(samples), samples):.1f}"
    known = published(subject.name)
    return [
        subject.name,
        str(plain.program.macs),
        str(own.program.constant_bytes),
        snr if subject.kind in ("held back", "random") else f"{snr} ({subject.kind})",
        str(own.program.arena_bytes),
        instructions,
        f"{more}{time.instructions}",
        f"{more}{time.microseconds / 1000:.1f}",
        "-" if known is None else f"{known.milliseconds:.1f}",
        "yes" if exact else "NO",
    ]


# --- the page ---------------------------------------------------------------------------------------------

_HOW = """\
# The models of {zoo}

`make zoo` wrote this file. *SNR*: of the generated C's outputs beside the float model's (of an `.espdl`, beside the
float model that its weights stand for), of all outputs together, on samples held back from the quantizer; `(given)`:
nothing was calibrated here, the exponents are those of the file; `(calibrated)`: too few samples to hold any back;
`-`: no samples. *arena*: all activations on the ESP32-S3. *RISC-V instructions*: of one inference, counted in an
emulator, or an estimate that is named as such. *estimate*: of an ESP32-S3 with {flash} of flash and {psram} of PSRAM,
not measured on a board: half to twice as long (docs/estimate.md). `>`: without layers of which no time is known.
*Espressif*: what it publishes for ESP-DL on an ESP32-S3 (bench/espressif_zoo.py has the sources). *exact*: every
layer's bytes are those of the rules.

"""


def page(zoo: Path, rows: List[List[str]], refused: List[str]) -> str:
    """The file's text."""
    text = _HOW.format(zoo=zoo.name, **BOARD) + table(HEAD, rows)
    return text + "".join(f"\n- not in the table: {line}\n" for line in refused)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.format(**BOARD), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("zoo", help="folder with models, or a model")
    parser.add_argument("--out", type=Path, required=True, help="folder for zoo.md")
    parser.add_argument("--pictures", nargs="+", default=[], help="pictures, or folders of them")
    parser.add_argument("--words", nargs="+", default=[], help="only models with one of these in their names")
    parser.add_argument("--emulate", type=float, default=60.0, help="up to so many million MAC (default 60)")
    args = parser.parse_args(arguments)
    if not args.zoo:
        raise UserError("ZOO is not set; name a folder with .onnx and .espdl files: make zoo ZOO=folder")
    zoo = Path(args.zoo)
    chosen = [
        (name, path)
        for name, path in found_in(zoo)
        if not args.words or any(word.lower() in name.lower() for word in args.words)
    ]
    if not chosen:
        raise UserError(f"{zoo}: no model has one of these words in its name: {' '.join(args.words)}")
    for path in args.pictures:
        if not Path(path).exists():
            raise UserError(f"{path}: no such picture or folder; FILES names pictures, or folders of them")
    if RISCV.missing():
        print(f"instructions on RISC-V are estimates: {RISCV.missing()}")
    kernels, rows, refused = Kernels((RISCV,)), [], []
    for number, (name, path) in enumerate(chosen):
        print(f"{name} ({number + 1} of {len(chosen)})", flush=True)
        with tempfile.TemporaryDirectory(prefix="esp_tvm_zoo_") as folder:
            try:
                rows.append(measure(subject_of(name, path, args.pictures, Path(folder)), kernels,
                                    args.emulate * 1e6, Path(folder)))  # fmt: skip
            except UserError as error:
                refused.append(str(error))
                print(f"not in the table: {error}")
        # After every model: what was measured stays when this is interrupted.
        write_text(args.out / "zoo.md", page(zoo.resolve(), rows, refused))
    print(table(HEAD, rows), end="")
    print(f"wrote {args.out / 'zoo.md'}")
    return int(bool(refused) or any(row[-1] != "yes" for row in rows))


if __name__ == "__main__":
    cli.run(main)
