"""The report of a model: its numbers, its text, and its page in a real browser."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
import zlib
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from report_page import BROWSER, PROBE_AFTER, PROBE_BEFORE, PROBE_PHONE, browse, parsed, picture_colours
from small_models import HOSTILE_NAMES

pytest.importorskip("tvm")

from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.frontend.detections import Detections, FoundBox, FoundInPicture  # noqa: E402
from esp_tvm.naming import shown  # noqa: E402
from esp_tvm.program import Call, Tensor  # noqa: E402
from esp_tvm.project.export import export_onnx_model  # noqa: E402
from esp_tvm.report.base import compared  # noqa: E402
from esp_tvm.report.command import write_report  # noqa: E402
from esp_tvm.report.facts import gather  # noqa: E402
from esp_tvm.report.html import as_html  # noqa: E402
from esp_tvm.report.noise import NoiseMeter, in_memory  # noqa: E402
from esp_tvm.report.text import as_text, lost_text  # noqa: E402

REPO = Path(__file__).resolve().parents[1]
TEMPLATE = REPO / "template_project_for_model"
TABLES = ("ports", "layers", "noise")


def float_model(names=("image", "first", "scores")) -> onnx.ModelProto:
    """Conv, relu, dense, with the names of input, convolution and output given."""
    random = np.random.RandomState(0)
    constants = {
        "w": random.randn(4, 3, 3, 3).astype(np.float32) / 4,
        "b": random.randn(4).astype(np.float32),
        "g": random.randn(5, 4 * 6 * 6).astype(np.float32) / 8,
    }
    nodes = [
        helper.make_node("Conv", [names[0], "w", "b"], ["conv"], names[1]),
        helper.make_node("Relu", ["conv"], ["relu"], "relu"),
        helper.make_node("Flatten", ["relu"], ["flat"], "flat"),
        helper.make_node("Gemm", ["flat", "g"], [names[2]], "gemm", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(names[0], TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info(names[2], TensorProto.FLOAT, [1, 5])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model


class Exported:
    """A float model, quantized and exported, with samples."""

    def __init__(self, folder: Path, model: onnx.ModelProto, samples: np.ndarray):
        from esp_tvm.quantize import quantize_onnx

        self.folder = folder
        self.float_path, self.path = folder / "model_opt.onnx", folder / "model_quant.onnx"
        self.input = folder / "input.npy"
        onnx.save(model, str(self.float_path))
        np.save(self.input, samples)
        np.save(folder / "one.npy", samples[0])
        self.quantized = quantize_onnx(str(self.float_path), str(self.path), str(self.input))
        self.project = export_onnx_model("esp32s3", str(self.path), str(folder / "one.npy"), str(TEMPLATE), str(folder))

    def report(self, count=None, noted=True, **options):
        """Of the first `count` samples; noted: with the quantizer's own figures in the model"""
        model = onnx.load(str(self.path))
        samples = {model.graph.input[0].name: np.load(self.input)[:count]}
        if not noted:
            (self.folder / "without").mkdir(exist_ok=True)
            del model.metadata_props[:]
            onnx.save(model, str(self.folder / "without/model.onnx"))
            one = str(self.folder / "one.npy")
            arguments = ("host", str(self.folder / "without/model.onnx"), one, str(TEMPLATE))
            project = export_onnx_model(*arguments, str(self.folder / "without"))
            return gather(model, "a model", project, samples, onnx.load(str(self.float_path)), **options)
        return gather(model, "a model", self.project, samples, onnx.load(str(self.float_path)), **options)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    samples = np.random.RandomState(1).randn(24, 1, 3, 8, 8).astype(np.float32)
    return Exported(tmp_path_factory.mktemp("report"), float_model(), samples)


@pytest.fixture(scope="module")
def report(exported):
    return exported.report()


def test_the_numbers_are_the_model_s(report, exported):
    compiled = compile_model(onnx.load(str(exported.path)), chip="esp32s3")
    assert report.macs == 6 * 6 * 4 * 27 + 5 * 144
    assert (
        report.arena_bytes == compiled.program.arena_bytes and report.constant_bytes == compiled.program.constant_bytes
    )
    assert [row.step for row in report.rows] == [call.index for call in compiled.program.calls()]
    conv = next(row for row in report.rows if row.operator == "conv2d")
    assert conv.shape == (1, 6, 6, 4) and conv.kernel.startswith("esp_dl_conv2d_s8") and conv.activation == 144
    assert '"first"' in conv.nodes and '"relu"' in conv.nodes
    assert report.equal and conv.status == "equal" and conv.time is not None
    for page in (as_text(report), as_html(report)):
        # For a chip the estimate stands where this computer's time stood.
        assert report.time_unit == "us" and "us, this computer" not in page
        assert "ms, estimate" in page and "estimate, not measured on a board" in page
    assert conv.estimate > 0 and report.estimate
    assert not report.fallbacks


def test_a_softmax_hides_no_noise(report):
    """Of large logits it makes 0 and 1: what it reads says how good the model is, as quantize prints it."""
    assert " before its softmax" not in as_text(report)
    for behind in (False, True):
        mine = copy.deepcopy(report)
        last, place = mine.rows[-1], len(mine.rows) - 1
        last.snr, mine.output_noise = 20.0, [("scores", 57.8)]
        kinds = ["softmax_s16"] + ["quantize"] * behind
        for number, kind in enumerate(kinds):
            mine.rows.append(
                replace(last, step=last.step + 1 + number, operator=kind, snr=None, reads=[place + number])
            )
        for row in mine.rows[place:-1]:
            row.gives = []
        text = "signal to noise of the output, 20.0 dB before its softmax"
        assert f"57.8 dB  {text}" in as_text(mine) and "before its softmax" in as_html(mine)


def test_the_arena_holds_every_block(report):
    assert report.bars
    assert max(bar.offset + bar.size for bar in report.bars) == report.arena_bytes
    assert all(0 <= bar.first <= bar.last < len(report.rows) for bar in report.bars)
    # The text numbers steps as the table of layers does, where some are views or joined to others.
    table = as_text(report).split("\nARENA\n")[1].split("\n\n")[0]
    for bar in report.bars:
        assert bar.kind == "scratch" or f" {bar.step}-" in table


def test_the_noise_is_the_quantizer_s(report, exported):
    """What quantize printed stands in the report, whatever samples it is made with."""
    printed = exported.quantized.noise
    assert len(report.noise) >= 3
    for made in (report, exported.report(count=1)):
        assert made.noise_where.startswith(f"on {exported.quantized.count} ")
        for noise in made.noise:
            ratio = printed[noise.name].decibels
            assert noise.snr == (round(ratio, 1) if np.isfinite(ratio) else np.inf)
        ((name, value),) = made.output_noise
        assert name == "scores" and value == round(printed["scores"].decibels, 1)
        row = next(row for row in made.rows if row.operator == "conv2d")
        assert row.snr == round(printed["relu"].decibels, 1)
    # Pictures only of enough samples.
    assert 'class="histograms"' in as_html(report) and 'class="histograms"' not in as_html(made)
    assert all(noise.worst is None for noise in made.noise)


def test_the_noise_is_that_of_an_independent_calculation(exported):
    """ONNX Runtime runs the quantized model as well; its output differs from ours by a rounding here and there."""
    import onnxruntime

    ratios = []
    for path in (exported.float_path, exported.path):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        ratios.append(np.stack([session.run(None, {"image": x})[0] for x in np.load(exported.input)]))
    wanted, got = (r.astype(np.float64) for r in ratios)
    snr = 10 * np.log10((wanted**2).sum() / ((got - wanted) ** 2).sum())
    report = exported.report(noted=False)
    assert report.noise_where == "on 24 samples of INPUT"
    ((name, value),) = report.output_noise
    assert name == "scores" and abs(value - snr) < 1.5
    assert {noise.name for noise in report.noise} >= {"image", "relu", "scores"}
    for noise in report.noise:
        assert noise.snr > 15
        assert noise.float_counts.sum() == noise.int_counts.sum() > 0
    image = next(noise for noise in report.noise if noise.name == "image")
    assert image.worst <= 2.0**image.exponent / 2 + 1e-9 or image.clipped > 0
    few = exported.report(count=19, noted=False)
    assert not few.noise and "Not measured" in as_html(few), "one sample, or a few, say nothing"


def test_axes_are_found():
    x = np.random.RandomState(0).randn(1, 4, 4, 4)
    noisy = x.transpose(0, 2, 3, 1) + 0.01
    assert np.array_equal(in_memory(x, noisy), x.transpose(0, 2, 3, 1))
    assert np.array_equal(in_memory(x, x.reshape(1, 64)), x.reshape(1, 64))
    assert in_memory(x, np.zeros(3)) is None


def test_rescaled_and_moved_tensors_are_compared_likewise():
    """What the quantizer does to a tensor on purpose is no noise; what rounding does is."""
    random = np.random.RandomState(2)
    call = Call("s", "conv2d", [], [Tensor("t", (1, 8, 8, 3), "int8", -5)])
    meter = NoiseMeter(float_model(), [(3, call)])
    for _ in range(4):
        relu = np.maximum(random.randn(1, 8, 8, 3), 0)
        real = relu * [0.5, 1.0, 2.0] - 4
        got = np.clip(np.floor(real * 32 + 0.5), -128, 127).astype(np.int8)
        meter._add("t", 3, call, -5, relu, got)
    (noise,) = meter.result()
    assert noise.rescaled and noise.moved == -4
    wanted = 10 * np.log10(np.mean((relu * [0.5, 1.0, 2.0]) ** 2) / (1 / 32**2 / 12 * 0.5))
    assert abs(noise.snr - wanted) < 3, (noise.snr, wanted)
    assert noise.worst < 1 / 32


def test_the_zero_of_a_centred_tensor_is_not_clipped():
    """relu(x) - 128 steps: the many zeros lie at -128, and nothing is lost there; beyond the largest value it is."""
    values = np.maximum(np.random.RandomState(0).normal(size=(1, 500, 4)), 0.0)
    step = 2.0**-6
    whole = np.clip(np.floor(values / step + 0.5) - 128, -128, 127).astype(np.int8)
    call = Call("s", "conv2d", [], [Tensor("t", whole.shape, "int8", -6)], nodes=["n"])
    meter = NoiseMeter.__new__(NoiseMeter)
    meter._sums = {}
    meter._add("t", 0, call, -6, values, whole)
    noise = meter.result()[0]
    share = float(np.mean(values > (255.501 * step)))
    assert np.mean(whole == -128) > 0.4 and noise.clipped == pytest.approx(share, abs=1e-3)


def test_a_wrong_program_is_reported_as_such(exported, tmp_path):
    changed = tmp_path / "new_project"
    shutil.copytree(exported.project, changed)
    path = changed / "components/tvm_model/model/codegen/host/src/default_lib1.c"
    text = path.read_text()
    path.write_text(re.sub(r"\.max = 127\b", ".max = 1", text))
    assert path.read_text() != text
    model = onnx.load(str(exported.path))
    report = gather(model, "a model", changed, {"image": np.load(exported.input)})
    assert not report.equal
    assert any("FIRST DIFFERENCE" in line and "conv2d" in line for line in report.comparison)
    assert "differs" in {row.status for row in report.rows}
    assert "differs" in as_text(report) and "differs" in as_html(report)


def test_a_fallback_is_listed_with_its_reason(tmp_path):
    from qdq import QdqBuilder

    b = QdqBuilder()
    x = b.input("x", [1, 3, 8, 8], -4)
    x = b.conv(x, [4, 3, 3, 3], -2, name="kept")
    x = b.node("Softplus", [x], name="floating")
    x = b.quantize(b.node("Cast", [b.node("Erf", [b.node("Mul", [x, x])], name="odd")], to=1), -6)
    y = b.node("Where", [b.node("Greater", [x, b.initializer(np.float32(0.5))]), x, x], ["y"])
    b.output(y, [1, 4, 6, 6])
    model_path = tmp_path / "model.onnx"
    onnx.save(b.model(), str(model_path))
    sample = np.ones((1, 3, 8, 8), np.float32)
    np.save(tmp_path / "x.npy", sample)
    sample_path = str(tmp_path / "x.npy")
    project = export_onnx_model("host", str(model_path), sample_path, str(TEMPLATE), str(tmp_path))
    report = gather(onnx.load(str(model_path)), "a model", project, {"x": sample[None]})
    if not report.fallbacks:
        pytest.fail("this model is meant to have a step without a kernel")
    for row in report.fallbacks:
        assert row.reason and row.operator == "fallback"
        assert row.reason in as_text(report)
    assert 'id="fallbacks"' in as_html(report)


# --- files ------------------------------------------------------------------------------------------------


def test_the_page_is_whole_and_needs_no_network(report):
    html = as_html(report)
    page = parsed(html)
    assert set(TABLES) | {"arena", "graph", "comparison"} <= set(page.ids) and page.scripts == 1
    assert not re.search(r"(?i)https?://|@import|url\((?!#)|fetch\(|XMLHttp", html)


def test_the_picture_has_every_step_and_leads_to_all_about_it(report):
    page = parsed(as_html(report))
    assert page.nodes == len(report.rows)
    for row in report.rows:
        assert f"step-{row.step}" in page.links and f"node-{row.step}" in page.links
    for noise in report.noise:
        assert page.links.count(f"noise-{noise.step}") == 2, "from the box and from the table"
    for bar in report.bars:
        assert bar.kind == "scratch" or f"arena-{bar.step}" in page.links


def named(report, name: str):
    """A copy of the report in which every text that a model, a file or a log can give is `name`."""
    copied = copy.deepcopy(report)
    for row in copied.rows:
        row.nodes = row.tensor = name
    for one in (*copied.noise, *copied.ports):
        one.name = name
    for bar in copied.bars:
        bar.label = name
        bar.over = bar.over and name
    for pair in copied.base.layers if copied.base else ():
        pair.nodes = name
    copied.base.title = name
    copied.provenance = [("what", name)]
    copied.board = copied.loops = [name]
    copied.board = name
    copied.title = copied.compared = copied.time_source = name
    copied.comparison, copied.output_noise = [name], [(name, 20.0)]
    copied.estimate = [name]
    box = FoundBox(label=name, score=0.5, edges=(1, 2, 30, 40), landmarks=((5, 6, 1.0),))
    copied.detections = Detections(model_hash="", pictures=[FoundInPicture(name=name, boxes=[box], jpeg="aGk=")])
    return copied


@pytest.fixture(scope="module")
def beside(report):
    """The report with itself as the base."""
    copied = copy.deepcopy(report)
    copied.base = compared(report, copied)
    return copied


@pytest.mark.parametrize("name", [n for n in HOSTILE_NAMES if "\x00" not in n] + ["</script><script>x()</script>"])
def test_names_are_data_in_page_and_text(beside, name):
    hostile = named(beside, name)
    page = parsed(as_html(hostile))
    assert page.scripts == 1 and page.ids == parsed(as_html(named(beside, "x"))).ids
    # Shown as it is: here in the heading and in the arena.
    assert shown(name, 120) in page.text
    assert any(text.startswith(f"{shown(name, 200)}: ") for text in page.text)
    assert as_text(hostile).count("\n") <= as_text(named(beside, "x")).count("\n") + 2 * len(name.splitlines())


def test_the_command_writes_page_and_text(exported):
    page = exported.folder / "out" / "report.html"
    command = [sys.executable, str(REPO / "tools/tvm/report.py"), "--project", str(exported.project)]
    command += ["--model", str(exported.path), "--input", str(exported.input), "--output", str(page)]
    done = subprocess.run([*command, "--float_model", str(exported.float_path)], capture_output=True, text=True)
    assert done.returncode == 0 and "PASS" in done.stdout, done.stdout + done.stderr
    assert page.read_text().startswith("<!DOCTYPE html>") and "LAYERS" in page.with_suffix(".txt").read_text()
    for word in ("MEMORY", "MADE FROM", "input.npy, 24 samples", "of the esp32s3"):
        assert word in page.with_suffix(".txt").read_text()
    # Made again, it is the same.
    before = page.read_bytes()
    done = subprocess.run([*command, "--float_model", str(exported.float_path)], capture_output=True, text=True)
    assert done.returncode == 0 and page.read_bytes() == before
    # A base that is none.
    done = subprocess.run([*command, "--base", str(exported.folder / "out")], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "is not a project" in done.stderr, done.stderr
    # Another model than the project's.
    done = subprocess.run([*command[:5], str(exported.float_path), *command[6:]], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert "export again" in done.stderr


def test_a_page_that_would_be_its_own_text_is_refused(exported):
    from esp_tvm.errors import UserError

    with pytest.raises(UserError, match="report.html"):
        write_report(str(exported.project), str(exported.path), str(exported.input), str(exported.folder / "a.txt"))


# --- memory, time, noise ----------------------------------------------------------------------------------


def test_what_lies_where_adds_up(report):
    """Every memory's sum is that of what is in it, and its share is of what the board has."""
    for total in (row for row in report.memory if row.total):
        own = [row for row in report.memory if row.memory == total.memory and not row.total]
        assert total.bytes == sum(row.bytes for row in own) and 0 < total.share < 1
    inside = next(row for row in report.memory if row.total and row.memory == "internal RAM")
    assert inside.bytes == report.arena_bytes + report.port_bytes and inside.of == 333 * 1024 - 96 * 1024
    flash = next(row for row in report.memory if row.total and row.memory == "flash")
    assert flash.bytes == report.constant_bytes and flash.of % (1 << 20) == 0


def test_the_time_in_all_is_that_of_the_steps(report):
    likely, least, most = report.total_estimate
    assert likely == pytest.approx(sum(row.estimate for row in report.rows), rel=0.01)
    assert least < likely < most
    assert report.total_measured is None and not report.shows_time, "this computer is no chip"


def test_cycles_of_a_board_become_milliseconds(exported):
    """The same lines as a board prints, their unit cycles."""
    from esp_tvm.run.host_log import LoggingProgram

    text = LoggingProgram(exported.project, "checksums").log({"image": np.load(exported.input)[:2]})
    log = exported.folder / "board.log"
    log.write_text(signed_again(text.replace(" checksums us ", " checksums cycles ")))
    report = exported.report(log_path=str(log))
    assert report.equal and report.time_unit == "cycles"
    for row in report.rows:
        assert row.measured == (None if row.time is None else row.time / 240 / 1000)
    assert report.total_measured == pytest.approx(sum(row.measured or 0 for row in report.rows))
    page = as_html(report)
    assert "ms, measured" in page and "measured on the board" in page and "ms, measured" in as_text(report)


def signed_again(log: str) -> str:
    """The lines of a trace with the CRC-32 of what they say now."""
    return re.sub(r"~tvm ([^~]*) ~[0-9a-f]{8}", lambda m: f"~tvm {m[1]} ~{zlib.crc32(m[1].encode()):08x}", log)


def test_each_step_loses_what_its_input_had_more(report):
    snr = {row.step: row.snr for row in report.rows}
    seen = 0
    for row in report.rows:
        makers = [report.rows[place] for place in row.reads]
        if row.lost is not None and all(maker.snr is not None for maker in makers):
            assert row.lost == pytest.approx(min(maker.snr for maker in makers) - snr[row.step])
            seen += 1
    assert seen
    text = as_text(report)
    assert all(lost_text(row.lost) in text for row in report.rows)


def test_a_base_is_set_beside_it(exported, beside, tmp_path, capsys):
    """Beside itself nothing changes; beside an export for another chip the kernels and the time do."""
    assert all(one.change in ("=", "") for one in beside.base.quantities)
    one = str(exported.folder / "one.npy")
    export_onnx_model("esp32c3", str(exported.path), one, str(TEMPLATE), str(tmp_path))
    shutil.copy(exported.path, tmp_path / "model_quant.onnx")
    page = tmp_path / "report.html"
    arguments = (str(exported.project), str(exported.path), str(exported.input), str(page))
    write_report(*arguments, base=str(tmp_path))
    text = page.with_suffix(".txt").read_text()
    assert "BESIDE THE BASE" in text and "for esp32c3" in text and "conv2d_s8_esp32s3" in text
    rows = dict(re.findall(r"(?m)^(arena, bytes|multiply-accumulates|signal to noise[^\d]*?dB) +(.*)$", text))
    assert rows["multiply-accumulates"].endswith("=") and rows["signal to noise of the output, dB"].endswith("=")
    assert 'id="base"' in page.read_text() and 'id="base-layers"' in page.read_text()


# --- the browser ------------------------------------------------------------------------------------------


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH (apt-get install chromium)")
def test_the_page_in_a_browser(report, tmp_path):
    page = tmp_path / "report.html"
    html = as_html(report)
    page.write_text(html, encoding="utf-8")
    screenshot = tmp_path / "report.png"
    browse(tmp_path, page, f"--screenshot={screenshot}")
    header = screenshot.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n" and int.from_bytes(header[16:20], "big") == 1400
    assert len(picture_colours(screenshot)) > 20, "the page is blank"

    probe = tmp_path / "probe.html"
    probe.write_text(html.replace("<head>", "<head>" + PROBE_BEFORE).replace("</body>", PROBE_AFTER + "</body>"))
    found = re.search(r'<pre id="probe">(.*?)</pre>', browse(tmp_path, probe, "--dump-dom"), re.S)
    state = json.loads(found.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert state["seen"] == [] and state["ready"] == "yes"
    assert set(TABLES) <= set(state["tables"]) and state["tables"]["layers"] == len(report.rows)
    assert state["macs"] == sorted((row.macs for row in report.rows), reverse=True)
    assert state["arena"][0] > 800 and state["arena"][1] > 200
    assert state["wide"] <= 1400
    # On a phone: as wide as the screen, every link leads somewhere, every column has its title.
    phone = escape(html.replace("</body>", PROBE_PHONE + "</body>"))
    probe.write_text(f'<body><iframe width="390" height="1200" style="border:0" srcdoc="{phone}"></iframe></body>')
    found = re.search(r'<pre id="probe">(.*?)</pre>', browse(tmp_path, probe, "--dump-dom"), re.S)
    state = json.loads(found.group(1))
    assert state["screen"] == 390 and state["wide"] <= 390
    assert state["nodes"] == len(report.rows) and state["lost"] == []
    assert state["untitled"] == 0 and state["shown"] == state["cells"]
