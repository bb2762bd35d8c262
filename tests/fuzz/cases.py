"""Kinds of cases: each makes its inputs from a seed, runs commands of esp-tvm on them, and names what must not be."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import tempfile
import traceback
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple

import numpy as np
import onnx

from . import damage, graphs

REPO = Path(__file__).resolve().parents[2]
SANITIZER = re.compile(r"\w+Sanitizer|runtime error:")
# What a case may end with. A fault is (what kind, what was seen).
FAULTS = ("traceback", "crash", "hang", "memory", "wrong", "compile", "sanitizer", "outside", "message")
Fault = Tuple[str, str]
# Steps of an output's scale, and part of its power, that a program may lie beside ONNX Runtime's run of the quantized
# model: kernels round once where ONNX Runtime rounds at every QuantizeLinear, and later layers make that larger.
STEPS, SHARE = 8.0, 0.1


@dataclass
class Base:
    """A small network, quantized, with its project and log: what is damaged. Made once, and only read."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / name

    @staticmethod
    def make(folder: Path) -> Base:
        made = Base(folder)
        random = np.random.RandomState(0)
        b = graphs.Builder(random)
        x = b.node("Relu", [b.node("Conv", [b.input((1, 3, 8, 8)), b.weights(4, 3, 3, 3)], pads=[1, 1, 1, 1])])
        x = b.node("Flatten", [b.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])])
        y = b.node("Softmax", [b.node("Gemm", [x, b.weights(64, 5), b.weights(5)])], axis=1)
        onnx.save(b.model([y]), str(made.path("model.onnx")))
        np.save(made.path("calib.npy"), random.standard_normal((24, 1, 3, 8, 8)).astype(np.float32))
        np.save(made.path("sample.npy"), random.standard_normal((1, 3, 8, 8)).astype(np.float32))
        case = Case(folder / "making", made)
        model, sample = made.path("model_quant.onnx"), made.path("sample.npy")
        case.run("quantize", "--model", made.path("model.onnx"), "--output", model, "--calib", made.path("calib.npy"))
        case.run("export", "--target", "host", "--model", model, "--input", sample, "--out", folder)
        case.run("run", *made.run_options(), "--log", made.path("log.txt"), "--log_mode", "checksums")
        if case.faults or case.statuses != [0, 0, 0]:
            raise RuntimeError(f"the network to damage cannot be made: {case.faults} {case.text[-500:]}")
        return made

    def run_options(self) -> List[object]:
        return [
            *("--project", self.path("new_project"), "--model", self.path("model_quant.onnx")),
            *("--input", self.path("sample.npy")),
        ]


class Case:
    """A folder with inputs (`inputs`), a current folder, a home and a temporary folder, where nothing may be left, and
    `out`; commands are run in this process."""

    def __init__(self, folder: Path, base: Base):
        self.base, self.folder = base, folder
        self.out, self.inputs = folder / "out", folder / "inputs"
        for name in ("out", "inputs", "cwd", "home", "tmp"):
            (folder / name).mkdir(parents=True)
        self.faults: List[Fault] = []
        self.statuses: List[int] = []
        self.text = ""

    def input(self, name: str, data: bytes) -> Path:
        path = self.inputs / name
        path.write_bytes(data)
        return path

    def run(self, *arguments: object) -> int:
        """Run `esp-tvm` with these arguments; what must not be goes to `faults`."""
        from esp_tvm import cli
        from esp_tvm.cli import app, commands

        words = [str(word) for word in arguments]
        failure = None
        with self._surroundings(), self._printed():
            try:
                cli.run(lambda: app.call(commands.esp_tvm, words, "esp-tvm"))
                status = 0
            except SystemExit as error:
                status = error.code if isinstance(error.code, int) else 1
            except BaseException as error:
                status, failure = -1, error
        self.statuses.append(status)
        self._judge(words, status, failure)
        return status

    @contextlib.contextmanager
    def _surroundings(self) -> Iterator[None]:
        here, home, temporary = os.getcwd(), os.environ.get("HOME"), tempfile.tempdir
        before = self._contents()
        os.chdir(self.folder / "cwd")
        os.environ.update(HOME=str(self.folder / "home"), TMPDIR=str(self.folder / "tmp"))
        tempfile.tempdir = str(self.folder / "tmp")
        try:
            yield
        finally:
            os.chdir(here)
            os.environ["HOME"] = home or "/"
            del os.environ["TMPDIR"]
            tempfile.tempdir = temporary
        changed = {name for name, _ in before.items() ^ self._contents().items()}
        if changed:
            self.faults.append(("outside", ", ".join(sorted(changed))[:200]))

    def _contents(self) -> Dict[str, str]:
        """File -> its hash, of everything but `out` (and what the current case printed)."""
        made = {}
        for name in ("inputs", "cwd", "home", "tmp"):
            for path in (self.folder / name).rglob("*"):
                data = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
                made[str(path.relative_to(self.folder))] = hashlib.sha256(data).hexdigest()
        return made

    @contextlib.contextmanager
    def _printed(self) -> Iterator[None]:
        """Everything that is printed meanwhile, by libraries too, becomes `text`."""
        sys.stdout.flush()
        sys.stderr.flush()
        kept = [os.dup(1), os.dup(2)]
        with tempfile.TemporaryFile(dir=self.folder) as printed:
            for number in (1, 2):
                os.dup2(printed.fileno(), number)
            try:
                yield
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                for number, saved in zip((1, 2), kept):
                    os.dup2(saved, number)
                    os.close(saved)
                printed.seek(0)
                self.text = printed.read().decode(errors="replace")

    def _judge(self, words: List[str], status: int, failure) -> None:
        last = (self.text.strip().splitlines() or [""])[-1]
        what = f"{words[0]}: {last[:300]}"
        if failure is not None:
            frames = [f for f in traceback.extract_tb(failure.__traceback__) if "esp_tvm" in f.filename] or [None]
            where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno} " if frames[-1] else ""
            self.faults.append(("traceback", f"{words[0]}: {where}{type(failure).__name__}: {str(failure)[:200]}"))
        elif SANITIZER.search(self.text):
            self.faults.append(("sanitizer", f"{words[0]}: {SANITIZER.search(self.text).group()} {last[:200]}"))
        elif "does not compile" in self.text:
            self.faults.append(("compile", what))
        elif "host program failed" in self.text:
            self.faults.append(("crash", what))
        elif status == 2 and not last.startswith("error: "):
            self.faults.append(("message", what))
        elif status not in (0, 1, 2) or (status == 1 and words[0] not in ("run", "compare")):
            self.faults.append(("message", f"exit code {status} of {what}"))
        elif "Traceback (most recent call last)" in self.text:
            self.faults.append(("traceback", what))


# --- kinds ------------------------------------------------------------------------------------------------------------


def arrays(case: Case, random: np.random.RandomState) -> None:
    """Damaged or odd .npy and .npz as calibration data or samples."""
    suffix = ".npy" if random.randint(4) else ".npz"
    path = case.input(f"array{suffix}", damage.array_file(random, (1, 3, 8, 8), suffix))
    if random.randint(3):
        model = case.base.path("model_quant.onnx")
        # The export's own first step; the whole of it says nothing new of an array that is fine.
        case.run("export", "--target", "nochip", "--model", model, "--input", path, "--out", case.out)
        _load(case, path)
    else:
        case.run(*_quantize(case, case.base.path("model.onnx"), path), "--method", "minmax")


def _load(case: Case, path: Path) -> None:
    from esp_tvm.data import load_samples
    from esp_tvm.errors import UserError

    try:
        samples = load_samples(str(path), [("x0", (1, 3, 8, 8), "float32")])
        np.asarray(next(iter(samples.values())))
    except UserError as error:
        if "\n" in str(error) or "array" not in str(error):
            case.faults.append(("message", str(error)[:200]))
    except Exception as error:
        case.faults.append(("traceback", f"load_samples: {type(error).__name__}: {error}"[:300]))


def models(case: Case, random: np.random.RandomState) -> None:
    """Models of which bytes or fields were changed."""
    quantized = random.randint(3) == 0
    data = case.base.path("model_quant.onnx" if quantized else "model.onnx").read_bytes()
    if random.randint(2):
        data = damage.damaged(random, data)
    else:
        data = damage.changed_model(random, onnx.load_model_from_string(data)).SerializeToString()
    path = case.input("model.onnx", data)
    if quantized:
        _export(case, path)
    elif random.randint(2):
        case.run("preprocess", "--model", path, "--output", case.out / "opt.onnx")
    else:
        case.run(*_quantize(case, path, case.base.path("calib.npy")))


def scales(case: Case, random: np.random.RandomState) -> None:
    """QDQ models with other scales, zero points and types of them."""
    model = damage.changed_scales(random, onnx.load(str(case.base.path("model_quant.onnx"))))
    _export(case, case.input("model.onnx", model.SerializeToString()))


def logs(case: Case, random: np.random.RandomState) -> None:
    """Logs of a board, damaged, through the reader; one in eight through the whole comparison."""
    data = damage.changed_log(random, case.base.path("log.txt").read_bytes())
    path = case.input("log.txt", data)
    if random.randint(8) == 0:
        case.run("compare", "--log", path, *case.base.run_options())
        if not case.faults and case.statuses[-1] == 0 and data.count(b"~tvm ") < 6:
            case.faults.append(("wrong", "compare: a log without the layers' lines is equal"))
        return
    from esp_tvm.errors import UserError
    from esp_tvm.trace.log import LogReader, text_lines

    try:
        with open(path, "rb") as stream:
            for _ in LogReader().runs(text_lines(stream)):
                pass
    except UserError as error:
        if "\n" in str(error):
            case.faults.append(("message", str(error)[:200]))
    except Exception as error:
        case.faults.append(("traceback", f"LogReader: {type(error).__name__}: {error}"[:300]))


def specs(case: Case, random: np.random.RandomState) -> None:
    """YAML specs of front ends."""
    documents = [path.read_text("utf-8") for path in sorted((REPO / "examples").glob("*/*.yaml"))]
    path = case.input("spec.yaml", damage.spec(random, documents))
    picture = case.input("picture.png", damage.damaged(random, _PICTURE) if random.randint(4) == 0 else _PICTURE)
    case.run("frontend", "arrays", "--spec", path, "--out", case.out / "array.npy", picture)


# One grey pixel.
_PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63680000008200817788e1f00000000049454e44ae426082"
)


def arguments(case: Case, random: np.random.RandomState) -> None:
    """Command lines."""
    files = [str(case.base.path(name)) for name in ("model.onnx", "sample.npy", "log.txt")]
    # Outputs of a nonsense command line may only go where it says; a copy may be overwritten.
    out = [str(case.out / name) for name in ("a.onnx", "b.npy", "c")]
    case.run(*damage.arguments(random, [*files, *out]))


def networks(case: Case, random: np.random.RandomState) -> None:
    """Random float models through quantize, export and run; the program against ONNX Runtime."""
    while True:
        model = graphs.random_model(random, int(random.randint(1, 6)))
        shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
        samples = {name: random.uniform(-2, 2, (24, *shape)).astype(np.float32) for name, shape in shapes.items()}
        floats = _onnxruntime(model, samples)
        if floats is not None and all(np.isfinite(a).all() and np.abs(a).max() < 1e5 for a in floats.values()):
            break
    path = case.input("model.onnx", model.SerializeToString())
    np.savez(case.inputs / "calib.npz", **samples)
    few = {name: array[:4] for name, array in samples.items()}
    np.savez(case.inputs / "few.npz", **few)
    np.savez(case.inputs / "one.npz", **{name: array[0] for name, array in samples.items()})
    quantized = path
    if case.run(*_quantize(case, path, case.inputs / "calib.npz")) == 0:
        quantized = case.out / "model_quant.onnx"
    elif "no operator that can be quantized" not in case.text:
        return
    if _export(case, quantized, case.inputs / "one.npz", case.inputs / "few.npz"):
        _compare(case, onnx.load(str(quantized)), {name: array[:4] for name, array in floats.items()}, few)


def _quantize(case: Case, model: Path, calib: Path) -> List[object]:
    return ["quantize", "--model", model, "--output", case.out / "model_quant.onnx", "--calib", calib, "--fit", "false"]


def _export(case: Case, model: Path, sample=None, samples=None) -> bool:
    """Export and run, with sanitizers; whether there is a program whose bytes are those of the references."""
    sample = sample or case.base.path("sample.npy")
    chip = ("host", "esp32s3", "esp32c3")[zlib.crc32(model.read_bytes()) % 3]
    if case.run("export", "--target", chip, "--model", model, "--input", sample, "--out", case.out) != 0:
        return False
    project = case.out / "new_project"
    status = case.run("run", "--project", project, "--model", model, "--input", samples or sample, "--sanitize")
    if status == 1:
        # The verdict, and before it the node, where one is computed otherwise than by ONNX Runtime.
        said = [line for line in case.text.strip().splitlines()[-2:] if line.startswith(("node ", "FAIL"))]
        case.faults.append(("wrong", f"run: {'; '.join(said)[:300]}"))
    elif status == 2 and not case.faults:
        case.faults.append(("message", f"run refuses what export wrote: {case.text.strip()[-200:]}"))
    return status == 0


def _compare(case: Case, quantized: onnx.ModelProto, floats: Dict[str, np.ndarray], samples) -> None:
    """The program's outputs against ONNX Runtime's of the quantized model; no worse than that one's beside float."""
    from esp_tvm.run.host import HostProgram

    theirs = _onnxruntime(quantized, samples)
    if theirs is None:
        # int16 scales and the like are ours alone: float is the measure.
        theirs = floats
    program = HostProgram(case.out / "new_project", sanitize=True)
    ours = program.run(samples)
    for port in program.outputs:
        name = port.name
        got, wanted, real = (a[name].astype(np.float64) for a in (ours, theirs, floats))
        if got.shape != wanted.shape:
            case.faults.append(("wrong", f"output {name} is {got.shape}, not {wanted.shape}"))
            continue
        off, power = np.abs(got - wanted).max(), np.mean((got - wanted) ** 2)
        step = 2.0**port.exponent if port.exponent is not None else 1e-4 * np.abs(wanted).max()
        allowed = max(SHARE * np.var(wanted), 4 * np.mean((wanted - real) ** 2), 1e-12)
        if not (off <= STEPS * step or power <= allowed):
            said = f"output {name} is off by {off:.3g}: {off / max(step, 1e-30):.0f} steps, power {power / allowed:.1f}"
            case.faults.append(("wrong", f"{said} times what is allowed"))


def _onnxruntime(model: onnx.ModelProto, samples: Dict[str, np.ndarray]):
    """{output: [N, ...]}, or None where ONNX Runtime does not take the model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        count = len(next(iter(samples.values())))
        runs = [session.run(None, {n: a[i] for n, a in samples.items()}) for i in range(count)]
    except Exception:  # onnxruntime raises classes of its own for whatever it does not take
        return None
    return {value.name: np.stack([r[i] for r in runs]) for i, value in enumerate(session.get_outputs())}


Kind = Callable[[Case, np.random.RandomState], None]
# How many of 2000 cases are of each kind: cheap ones are many.
KINDS: Dict[str, Tuple[Kind, int]] = {
    "arrays": (arrays, 500),
    "specs": (specs, 450),
    "arguments": (arguments, 400),
    "logs": (logs, 350),
    "models": (models, 250),
    "scales": (scales, 60),
    "networks": (networks, 90),
}


def random_of(kind: str, seed: int) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(f"{kind}:{seed}".encode()))


def run_case(kind: str, seed: int, folder: Path, base: Base) -> List[Fault]:
    """The faults of one case."""
    case = Case(folder, base)
    KINDS[kind][0](case, random_of(kind, seed))
    return case.faults
