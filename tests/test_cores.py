"""Kernels in two parts on two cores: the same bytes, no data race, and only where it pays and may be done."""

from __future__ import annotations

import functools
import importlib
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import numpy as np
import onnx
import pytest
from cores_cases import PLAIN, SPLIT_VARIANTS, program, random_split_pairs
from idf_standin import StandIn, load_options
from kernel_archive import COMPONENT, INCLUDES, build
from logged_network import quickly_quantized
from pipeline_harness import compile_once_imported
from project_checks import check_settings
from qdq import QdqBuilder
from test_memory_plan import residual_network, write_program
from variant_cases import verdict

from esp_tvm.chips import CHIPS
from esp_tvm.compile import compile_model
from esp_tvm.compile.kernels.esp32s3 import Esp32s3Variant
from esp_tvm.compile.planning import cores
from esp_tvm.errors import UserError
from esp_tvm.evaluate import NumpyEvaluator
from esp_tvm.model import load_model
from esp_tvm.program.both_cores import busier_core_macs, cores_lines
from esp_tvm.project.export import export_onnx_model
from esp_tvm.report.facts import gather
from esp_tvm.report.html import as_html
from esp_tvm.report.text import as_text
from esp_tvm.run import esp32s3, qemu
from esp_tvm.run.host import SANITIZE, STRICT, HostProgram, host_compiler
from esp_tvm.run.machines import RISCV

REPO = Path(__file__).resolve().parents[1]
TEMPLATE = REPO / "template_project_for_model"
THREADS = ("-g", "-O0", "-fsanitize=thread")
TWO = [name for name, chip in CHIPS.items() if chip.cores == 2 and not chip.is_host]


@pytest.fixture(scope="module")
def threads(tmp_path_factory):
    """Skips where the compiler has no ThreadSanitizer, or it does not see a race."""
    folder = tmp_path_factory.mktemp("race")
    (folder / "race.c").write_text(
        "#include <pthread.h>\nstatic int x;\nstatic void *f(void *a)\n{\n    x++;\n    return a;\n}\n"
        "int main(void)\n{\n    pthread_t t;\n    pthread_create(&t, NULL, f, NULL);\n    x++;\n"
        "    return pthread_join(t, NULL);\n}\n"
    )
    command = [*host_compiler(), *THREADS, "-pthread", str(folder / "race.c"), "-o", str(folder / "race")]
    if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("the C compiler has no ThreadSanitizer")
    done = subprocess.run([str(folder / "race")], stderr=subprocess.PIPE, text=True)
    if "data race" not in done.stderr:
        pytest.skip(f"ThreadSanitizer does not work on this computer: {done.stderr[:100]}")


# --- single kernels ---------------------------------------------------------------------------------------------


def all_pairs(count: int, seed: int):
    pairs = [pair for v in SPLIT_VARIANTS for pair in random_split_pairs(v, v.operator, count, seed)]
    pairs += [pair for name in PLAIN for pair in random_split_pairs(None, name, count, seed)]
    for number, pair in enumerate(pairs):
        pair.number = number
    return pairs


def run_pairs(pairs, folder: Path, *flags: str) -> None:
    (folder / "program.c").write_text(program(pairs))
    build([folder / "program.c"], folder / "program", *flags)
    done = subprocess.run([str(folder / "program")], cwd=folder, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr[:3000]
    verdict(folder, pairs)


def test_two_parts_give_the_bytes_of_the_plain_kernel(tmp_path):
    pairs = all_pairs(4, seed=1)
    assert {pair.split.axis for pair in pairs} == {"images", "rows", "columns", "outputs"}
    run_pairs(pairs, tmp_path, *STRICT, *SANITIZE)


@pytest.mark.slow
def test_parts_do_not_race(threads, tmp_path):
    run_pairs(all_pairs(3, seed=2), tmp_path, *THREADS)


def test_harness_sees_parts_in_the_wrong_place(tmp_path):
    (pair,) = random_split_pairs(None, "conv2d", 1, seed=3)
    pair.x[:] = 0
    pair.call.attributes["bias"][:] = np.arange(len(pair.call.attributes["bias"])) * 10000
    pair.number = 0
    first, second = pair.split.parts
    text = program([pair])
    wrong = text.replace(
        f".output = output + {second.output_offset},", f".output = output + {second.output_offset - 1},"
    )
    assert wrong != text or second.output_offset == 0
    (tmp_path / "program.c").write_text(wrong)
    build([tmp_path / "program.c"], tmp_path / "program", *STRICT, *SANITIZE)
    subprocess.run([str(tmp_path / "program")], cwd=tmp_path, check=True)
    with pytest.raises(AssertionError, match="^case 0: byte .* 1 of 1 differ$"):
        verdict(tmp_path, [pair])


@pytest.mark.slow
def test_many_shapes_in_two_parts(tmp_path):
    run_pairs(all_pairs(40, seed=6), tmp_path, *STRICT, *SANITIZE)


@pytest.mark.slow
def test_same_bytes_one_after_the_other(riscv_kernels, tmp_path):
    """Without threads, as in an emulator: the parts are computed all the same."""
    pairs = all_pairs(2, seed=4)
    text = program(pairs).replace(
        "posix_memalign(&data, 16, size + more) != 0",
        "(data = aligned_alloc(16, (size + more + 15) / 16 * 16)) == NULL",
    )
    (tmp_path / "program.c").write_text(text.replace("#define _POSIX_C_SOURCE 200112L\n", "", 1))
    objects = qemu.compile_objects([tmp_path / "program.c"], INCLUDES, tmp_path)
    qemu.link([*objects, *riscv_kernels], tmp_path / "p.elf")
    qemu.execute(tmp_path / "p.elf", tmp_path, timeout=300)
    verdict(tmp_path, pairs)


# --- handing over -------------------------------------------------------------------------------------------------

_CALLERS = """\
#define _POSIX_C_SOURCE 199309L
#include "esp_dl_cores.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define TIMES 3000

static void add(const esp_dl_part_t *part)
{
    *(int *)part->output += *(const int *)part->input;
}

static void *caller(void *result)
{
    for (int i = 1; i <= TIMES; i++) {
        const esp_dl_part_t part = {.run = add, .input = &i, .output = result};
        esp_dl_begin_part(&part);
        if (i % 500 == 0) {
            /* Long enough for the other side to fall asleep. */
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        }
        esp_dl_finish_part(&part);
    }
    return NULL;
}

int main(void)
{
    static int results[3];
    pthread_t others[2];
    esp_dl_start_cores();
    for (int i = 0; i < 2; i++) {
        pthread_create(&others[i], NULL, caller, &results[i]);
    }
    caller(&results[2]);
    for (int i = 0; i < 2; i++) {
        pthread_join(others[i], NULL);
    }
    printf("%d %d %d\\n", results[0], results[1], results[2]);
    return 0;
}
"""


@pytest.mark.parametrize("looks", [None, 0], ids=["looking first", "sleeping at once"])
def test_several_tasks_share_the_other_core(looks, threads, tmp_path):
    """Each part is computed once, whoever computes it; nobody waits for ever."""
    own = "" if looks is None else f"#define LOOKS {looks}\n"
    (tmp_path / "cores.c").write_text(f'{own}#include "common/cores.c"\n')
    (tmp_path / "callers.c").write_text(_CALLERS)
    build([tmp_path / "callers.c", tmp_path / "cores.c"], tmp_path / "callers", *THREADS)
    done = subprocess.run([str(tmp_path / "callers")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[:2000]
    assert done.stdout == "4501500 4501500 4501500\n"


# --- networks -----------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def compiled_for(make, cores_=2, worth=1, **options):
    """A network, compiled once; the networks here are small, so that with worth=1 every split pays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cores, "WORTH", worth)
        return compile_once_imported(make(), cores=cores_, **options)


def chain():
    """One layer after the other, each of which may write over what it reads."""
    b = QdqBuilder(seed=5)
    x = b.input("x", [1, 8, 12, 10], -4)
    for channels in (8, 12, 16):
        x = b.conv(x, [channels, 1, 3, 3], -3, e_w=-9, relu=True, group=channels, pads=[1, 1, 1, 1])
        x = b.conv(x, [channels + 4, channels, 1, 1], -3, e_w=-9, relu=True)
    b.quantize(b.node("GlobalAveragePool", [x]), -3, "y")
    b.output("y", [1, 20, 1, 1])
    return b.model()


def same_as_the_reference(compiled, folder: Path, *flags: str, sanitize: bool = False) -> None:
    host = HostProgram(write_program(compiled, folder), sanitize=sanitize, flags=flags)
    samples = np.random.RandomState(0).randn(3, 1, 1, 12, 10).astype(np.float32)
    evaluator = NumpyEvaluator(compiled.imported, compiled.partitioned)
    for sample, (outputs, tensors) in zip(samples, host.run_each({"x": samples})):
        assert outputs["y"].tobytes() == evaluator.run({"x": sample}).outputs["y"].tobytes()
        assert len(tensors) > 5, "every layer can be looked at, as on one core"


@pytest.mark.parametrize("chip", [None, pytest.param("esp32s3", marks=pytest.mark.slow)])
def test_network_in_two_parts(chip, threads, tmp_path):
    compiled = compiled_for(residual_network, **({"chip": chip} if chip else {}))
    assert len(split_calls(compiled)) >= 6
    assert bool(re.search(r"_esp32s3\(part->input", compiled.code.lib1)) == (chip == "esp32s3")
    same_as_the_reference(compiled, tmp_path, *THREADS)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"chip": "esp32s3"}, {"fast": False}], ids=str)
def test_network_in_two_parts_with_sanitizers(options, tmp_path):
    compiled = compiled_for(residual_network, **options)
    assert len(split_calls(compiled)) >= 6
    same_as_the_reference(compiled, tmp_path, sanitize=True)


def split_calls(compiled):
    return [call for call in compiled.program.calls() if call.split is not None]


def reference_of(compiled):
    """(a sample, what NumPy computes of it)"""
    sample = {"x": np.random.RandomState(0).randn(*compiled.program.inputs[0].shape).astype(np.float32)}
    return sample, NumpyEvaluator(compiled.imported, compiled.partitioned).run(sample).outputs["y"]


@pytest.mark.slow
def test_network_in_two_parts_in_the_emulator(tmp_path):
    if RISCV.missing():
        pytest.skip(RISCV.missing())
    compiled = compiled_for(residual_network)
    sample, expected = reference_of(compiled)
    outputs = qemu.EmulatedProgram(write_program(compiled, tmp_path)).run({"x": sample["x"][None]})
    assert outputs["y"].tobytes() == expected.tobytes()


@pytest.mark.parametrize("make", [residual_network, chain])
def test_vector_kernels_in_two_parts_in_the_emulator(make, tmp_path):
    """The assembly: rows that start anywhere in the image."""
    (tmp_path / "probe").mkdir()
    reason = esp32s3.why_not(tmp_path / "probe")
    if reason:
        pytest.skip(reason)
    compiled = compiled_for(make, chip="esp32s3")
    assert any(isinstance(call.variant, Esp32s3Variant) for call in split_calls(compiled))
    sample, expected = reference_of(compiled)
    outputs, _ = esp32s3.run_model(compiled, sample, COMPONENT, tmp_path)
    assert outputs["y"].tobytes() == expected.tobytes()


def test_parts_of_vector_kernels_are_counted_each_by_itself(tmp_path, monkeypatch):
    """Also of a sum whose output is the memory of what it adds: it cannot be computed twice."""
    (tmp_path / "probe").mkdir()
    reason = esp32s3.why_not(tmp_path / "probe")
    if reason:
        pytest.skip(reason)
    monkeypatch.syspath_prepend(str(REPO / "bench"))
    bench = importlib.import_module("cores")
    one, two = (compiled_for(residual_network, cores_=number, chip="esp32s3") for number in (1, 2))
    counts = bench.measure_vectors(one, two, reference_of(two)[0])
    split = [call.index for call in split_calls(two)]
    assert "conv2d_add" in {call.operator for call in split_calls(two)}
    for index, (whole, calling, other) in enumerate(counts):
        # The counter counts in steps of 25 instructions.
        assert calling >= 0.4 * whole and (other > 0.25 * whole if index in split else other <= 50)
        assert whole <= calling + other + 50 <= 1.5 * whole + 1000


@pytest.mark.slow
def test_race_is_seen_where_waiting_orders_nothing(threads, tmp_path):
    """The test above can fail: where the other core's writes are not ordered before the caller's reads, ThreadSanitizer
    complains, however busy this computer is."""
    compiled = compiled_for(residual_network)
    project = write_program(compiled, tmp_path)
    file = project / "components/esp-dl/src/common/cores.c"
    text = file.read_text()
    waits = "        wait_for(DONE, CALLER);\n        atomic_store(&state"
    assert text.count(waits) == 1
    text = text.replace(
        waits,
        waits.replace(
            "wait_for(DONE, CALLER);", "while (atomic_load_explicit(&state, memory_order_relaxed) != DONE) {\n        }"
        ),
    )
    # Nobody sleeps: what is said of that would put them in order.
    file.write_text("#define LOOKS 2000000000\n" + text)
    with pytest.raises(UserError, match="the host program failed"):
        list(HostProgram(project, flags=THREADS).run_each({"x": np.zeros((1, 1, 1, 12, 10), np.float32)}))


def test_nothing_that_two_cores_compute_overlaps_its_input():
    two = compiled_for(residual_network)
    assert any(call.variant.overlap_distance(call) is not None for call in split_calls(two)), "on one core they may"
    overlaps = []
    for call in split_calls(two):
        x, y = call.inputs[0].root, call.writes[0]
        if x.place.kind == y.place.kind == "arena":
            (x_start, y_start), (x_size, y_size) = (x.place.offset, y.place.offset), (x.bytes, y.bytes)
            overlaps.append(x_start < y_start + y_size and y_start < x_start + x_size)
        if call.scratch is not None:
            assert call.scratch.bytes >= sum(call.split.scratch)
            assert all(size % 16 == 0 for size in call.split.scratch)
    assert len(overlaps) >= 5 and not any(overlaps)


@pytest.mark.slow
def test_arena_grows_only_where_there_is_room():
    one, two = compiled_for(chain, cores_=1), compiled_for(chain)
    small, large = one.program.arena_bytes, two.program.arena_bytes
    assert large > small + 500
    middle = (small + large) // 2
    # Room for less than one core needs is as good as for that.
    for room, least in ((middle, small + 1), (0, 0)):
        tight = compiled_for(chain, arena_limit=room)
        assert least <= tight.program.arena_bytes <= max(room, small)
        assert 0 < len(split_calls(tight)) < len(split_calls(two))
        reasons = [call for call in tight.program.calls() if "the arena would grow to" in call.not_split]
        assert len(reasons) == len(split_calls(two)) - len(split_calls(tight))


def test_small_kernels_stay_whole():
    compiled = compiled_for(residual_network, worth=cores.WORTH)
    program = compiled.program
    for call in split_calls(compiled):
        assert cores.estimate(call) >= 12000
        assert call.split.saved >= cores.WORTH and call.split.slower < 0.6
    assert split_calls(compiled) and any("too small" in call.not_split for call in program.calls())
    share = busier_core_macs(program)
    assert 0.5 < share < 1
    lines = cores_lines(program)
    assert f"{100 * share:.0f} % of the MAC" in lines[0] and "not measured on a board" in lines[0]
    assert sum(line.startswith("both cores: ") for line in lines) == len(split_calls(compiled)) + 1
    assert sum(call.split is not None for call in program.calls()) == len(split_calls(compiled))
    assert f"#define TVMGEN_DEFAULT_SPLIT_KERNELS {len(split_calls(compiled))}\n" in compiled.code.header


@pytest.mark.slow
def test_one_core_is_as_before():
    compiled = compiled_for(residual_network, cores_=1)
    assert (
        "esp_dl_cores.h" not in compiled.code.lib1 and "_part" not in compiled.code.lib1 and not split_calls(compiled)
    )


@pytest.mark.slow
def test_digits_on_two_cores(threads, tmp_path):
    """The trained network, all its tensors, in threads."""
    digits = REPO / "examples/digits"
    model = quickly_quantized(digits, tmp_path)
    project = export_onnx_model(
        "host", str(model), str(digits / "input_sample.npy"), str(TEMPLATE), str(tmp_path), cores=2
    )
    data = np.load(digits / "test.npy")[:20].astype(np.float32)
    program_ = HostProgram(project, flags=THREADS)
    port = program_.inputs[0]
    samples = {port.name: data.reshape(-1, *port.shape)}
    compiled = compile_model(onnx.load(str(model)), cores=2)
    evaluator = NumpyEvaluator(compiled.imported, compiled.partitioned)
    assert split_calls(compiled)
    for sample, (outputs, _) in zip(samples[port.name], program_.run_each(samples)):
        for name, array in evaluator.run({port.name: sample}).outputs.items():
            assert outputs[name].tobytes() == np.ascontiguousarray(array).tobytes()


# --- projects -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(model, sample)"""
    folder = tmp_path_factory.mktemp("model")
    onnx.save(residual_network(), str(folder / "m.onnx"))
    np.save(folder / "x.npy", np.random.RandomState(0).randn(1, 1, 12, 10).astype(np.float32))
    return str(folder / "m.onnx"), str(folder / "x.npy")


@pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is not installed")
@pytest.mark.slow
@pytest.mark.parametrize("chip", TWO)
def test_project_for_two_cores(chip, files, tmp_path, capsys, monkeypatch):
    """The whole program, its second task as a thread: on the other core than the first."""
    monkeypatch.setattr(cores, "WORTH", 1)
    # The vector kernels' assembly is not for this computer.
    project = export_onnx_model(chip, *files, str(TEMPLATE), str(tmp_path), vector=False, cores=2)
    printed = capsys.readouterr().out
    assert "both cores: 7 of 7 kernels with weights are split" in printed
    check_settings(project / f"sdkconfig.defaults.{chip}", [chip])
    defaults = (project / f"sdkconfig.defaults.{chip}").read_text()
    assert "\nCONFIG_INFERENCE_TASK_CORE=1\n" in defaults
    quick = ["CONFIG_ESP_DL_OPTIMIZATION_PROJECT=y"]
    stand_in = StandIn(project, tmp_path / "b", chip)

    def run(*settings: str) -> str:
        stand_in.configure([*quick, *settings])
        stand_in.build()
        output = stand_in.run()
        assert "PASS: model" in output
        return output

    output = run("CONFIG_INFERENCE_TASK_CORE=1")
    assert "priority 5, core 1\n" in output and "task esp_dl_cores: stack 4096, priority 5, core 0\n" in output
    count = int(re.search(r"(\d+) kernels are computed on both cores", output).group(1))
    assert count == printed.count("\nboth cores: ") - 1 > 0
    options = ["STACK_SIZE=6000", "PRIORITY=9", "CORE=1"]
    output = run("CONFIG_INFERENCE_TASK_CORE=1", *(f"CONFIG_ESP_DL_CORES_{option}" for option in options))
    assert "task esp_dl_cores: stack 6000, priority 9, core 1\n" in output
    assert "task esp_dl_cores: stack 4096, priority 5, core 1\n" in run("CONFIG_INFERENCE_TASK_CORE=0")
    assert "~tvm layer" in run("CONFIG_TVM_MODEL_TRACE_CHECKSUMS=y")
    # The stand-in's clock counts 7 from one look to the next, one look to begin and one to end.
    profile = run("CONFIG_TVM_MODEL_TRACE_PROFILE=y")
    assert set(re.findall(r"~tvm time \w+ \d+ \d+ (\d+) ", profile)) == {"7"}
    assert re.search(r"~tvm memory \w+ 1 160 \d+ 100000 90000 3000 ~", profile)
    # With one core alone the same bytes, by one task.
    assert "esp_dl_cores" not in run("CONFIG_FREERTOS_UNICORE=y")
    with pytest.raises(AssertionError, match="ESP_DL_CORES_PRIORITY is"):
        load_options(project, "esp32c3", ["CONFIG_ESP_DL_CORES_PRIORITY=9"])


@pytest.mark.slow
def test_report_says_what_both_cores_compute(files, tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "WORTH", 1)
    project = export_onnx_model("esp32p4", *files, str(TEMPLATE), str(tmp_path), cores=2)
    report = gather(load_model(files[0]), "m.onnx", project, {"x": np.load(files[1])[None]})
    assert report.equal and len(report.cores) == 8
    text, page = as_text(report), unescape(as_html(report))
    assert all(line in text and line in page for line in report.cores)
    kernels = [row.kernel for row in report.rows]
    assert sum("rows cut at " in kernel for kernel in kernels) == 7
    assert not any("begin_part" in kernel for kernel in kernels)


def test_single_core_chips_are_refused(files, tmp_path):
    for chip in ("esp32s2", "esp32c3", "esp32c6"):
        with pytest.raises(UserError, match=f"{chip} has one core.*choose esp32, esp32s3, esp32p4$"):
            export_onnx_model(chip, *files, str(TEMPLATE), str(tmp_path), cores=2)
    with pytest.raises(UserError, match="3 cores: a model runs on 1 or 2"):
        export_onnx_model("esp32", *files, str(TEMPLATE), str(tmp_path), cores=3)
