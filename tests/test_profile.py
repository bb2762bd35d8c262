"""The profile on the board: the time of every step, heap and stack, beside the estimate."""

from __future__ import annotations

import re
import zlib

import numpy as np
import onnx
import pytest

pytest.importorskip("tvm")

from logged_network import TEMPLATE, small_network  # noqa: E402

from esp_tvm.program.store import load  # noqa: E402
from esp_tvm.project.export import export_onnx_model  # noqa: E402
from esp_tvm.report.command import write_report  # noqa: E402
from esp_tvm.report.compare_log import run_comparison  # noqa: E402
from esp_tvm.report.profile import measured  # noqa: E402
from esp_tvm.run.emulator_log import EmulatedLog  # noqa: E402
from esp_tvm.run.host_log import LoggingProgram  # noqa: E402
from esp_tvm.run.machines import RISCV  # noqa: E402
from esp_tvm.run.qemu import EmulatedProgram  # noqa: E402
from esp_tvm.trace.log import LogReader  # noqa: E402


class Profiled:
    """A project for the ESP32-C3, and what its program prints on this computer, as if it were a board."""

    def __init__(self, folder):
        network = small_network(folder)
        self.model, self.samples = str(network.model_path), network.samples
        self.input = str(folder / "many.npy")
        np.save(self.input, next(iter(self.samples.values())))
        self.project = export_onnx_model(
            "esp32c3", self.model, str(network.sample_path), str(TEMPLATE), str(folder / "c3"), "profile"
        )
        self.program = load(self.project)
        self.log = LoggingProgram(self.project, "profile").log(self.samples)

    @property
    def steps(self):
        return [call.index for call in self.program.calls() if not call.is_view]

    def compared(self, log: str, capsys):
        equal = run_comparison(self.model, self.input, log.splitlines(), project=str(self.project))
        return equal, capsys.readouterr().out


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    return Profiled(tmp_path_factory.mktemp("profile"))


def signed(log: str) -> str:
    """The lines with the CRC-32 of what they say now."""
    return re.sub(r"~tvm ([^~]*) ~[0-9a-f]{8}", lambda m: f"~tvm {m[1]} ~{zlib.crc32(m[1].encode()):08x}", log)


def as_board(log: str, mhz: int = 80) -> str:
    """As a board prints it: cycles at `mhz`, each step one thousand times its number and one, and its memory."""
    log = log.replace(" profile us ", " profile cycles ")
    log = re.sub(r"(~tvm time \w+ \d+ )(\d+) \d+ ", lambda m: f"{m[1]}{m[2]} {1000 * (int(m[2]) + 1)} ", log)
    return signed(re.sub(r"(~tvm memory \w+ \d+) 0 (\d+) - - - ", rf"\1 {mhz} \2 5000 4000 700 ", log))


def test_every_step_is_timed_once_in_each_run(profiled):
    runs = list(LogReader().runs(profiled.log.splitlines()))
    assert len(runs) == len(next(iter(profiled.samples.values())))
    for number, run in enumerate(runs, 1):
        assert run.number == number and run.mode == "profile" and run.unit == "us" and run.ended
        assert sorted(run.times) == profiled.steps and run.layers == len(profiled.steps)
        assert run.memory == {"mhz": 0, "arena": profiled.program.arena_bytes}, "what a computer does not know is -"
    assert "~tvm layer" not in profiled.log and "~tvm input" not in profiled.log


def test_the_export_sets_the_option_and_computes_the_same(profiled):
    assert "CONFIG_TVM_MODEL_TRACE_PROFILE=y" in (profiled.project / "sdkconfig.defaults.esp32c3").read_text()


def test_cycles_stand_beside_the_estimate(profiled, capsys):
    equal, text = profiled.compared(as_board(profiled.log), capsys)
    assert equal and "PROFILE: " in text and "runs have the times of all steps" in text
    for call in profiled.program.calls():
        if call.is_view:
            continue
        ms, estimate = (call.index + 1) / 80, call.estimate.microseconds / 1000
        cells = next(line.split() for line in text.splitlines() if line.startswith(f"{call.index:>4} "))
        assert cells[-3:-1] == [f"{ms:.3f}", f"{estimate:.3f}"]
        assert float(cells[-1]) == pytest.approx(ms / estimate, abs=0.006)
    assert "heap: 5000 bytes free, 4000 at the least" in text and "700 bytes were never used" in text


def test_a_lost_line_is_no_complete_profile(profiled, capsys):
    lines = ("~tvm begin" + as_board(profiled.log).split("~tvm begin")[1]).splitlines()
    lines.remove(next(line for line in lines if "~tvm time" in line))
    log = "\n".join(lines)
    equal, text = profiled.compared(log, capsys)
    assert not equal and "FAIL: 0 of 1 runs" in text


def test_the_report_takes_it(profiled, tmp_path):
    (tmp_path / "board.log").write_text(as_board(profiled.log))
    page = tmp_path / "report.html"
    write_report(str(profiled.project), profiled.model, profiled.input, str(page), log_path=str(tmp_path / "board.log"))
    text, whole = page.with_suffix(".txt").read_text(), sum(step + 1 for step in profiled.steps) / 80
    found = re.search(r"(\S+) ms  an inference, measured on the board", text)
    assert float(found.group(1)) == pytest.approx(whole, rel=0.01)
    assert "ms, measured" in text and "heap: 5000 bytes free" in text and "compared with the reference" not in text
    assert "heap: 5000 bytes free" in page.read_text()


@pytest.mark.skipif(bool(RISCV.missing()), reason=RISCV.missing() or "there")
def test_the_emulator_counts_the_same_instructions(profiled):
    """Beside those that are counted from one kernel to the next without the profile."""
    one = {name: array[:1] for name, array in profiled.samples.items()}
    (run,) = LogReader().runs(EmulatedLog(profiled.project, "profile").log(one).splitlines())
    counts = EmulatedProgram(profiled.project).measure(one)[1][0]
    profile = measured(profiled.program, [run])
    assert profile.unit == "instructions" and profile.mhz is None
    for step in profiled.steps:
        assert run.times[step] == pytest.approx(counts.steps[step], abs=60)


def test_a_mode_that_is_none_is_refused(profiled, tmp_path):
    from esp_tvm.errors import UserError

    assert onnx.load(profiled.model)
    with pytest.raises(UserError, match="--debug profiles: unknown"):
        export_onnx_model("esp32c3", profiled.model, profiled.input, str(TEMPLATE), str(tmp_path), "profiles")
