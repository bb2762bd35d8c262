"""The Makefile and scripts/pipeline.py: what is done, what is not done twice, what people are told.

The steps' own scripts are replaced by small ones that write their arguments into their product; a set-up that only
prints a path stands in for the real one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from make_harness import ALL, STEPS, Project


@pytest.fixture
def project(repo: Path, tmp_path: Path) -> Project:
    return Project(repo, tmp_path / "a project")


def test_deploy_does_all_steps_once(project):
    assert project.calls("deploy", *ALL) == STEPS
    out = project.folder / "build" / "a"
    for name in ("model_opt.onnx", "model_quant.onnx", "new_project/main/app_main.c", "logs/quantize.log"):
        assert (out / name).is_file()
    assert project.calls("deploy", *ALL) == ["run"]
    for step in STEPS[:3]:
        assert project.calls(step, *ALL) == []


def test_a_model_of_another_kind_is_converted_first(project):
    project.write("b.keras", "model")
    other = ("MODEL=b.keras", *ALL[1:])
    assert project.calls("deploy", *other) == ["convert", *STEPS]
    out = project.folder / "build" / "b"
    assert "('--output', 'build/b/model_converted.onnx')" in (out / "model_converted.onnx").read_text()
    assert "('--input', 'build/b/model_converted.onnx')" in (out / "model_opt.onnx").read_text()
    assert project.calls("deploy", *other) == ["run"]
    assert project.calls("quantize", *other, "CONVERT_OPTIONS=--opset 17") == ["convert", *STEPS[:2]]
    project.write("b.keras", "changed")
    # The stand-in makes the same of it, and what is the same is not done again.
    assert project.calls("quantize", *other) == ["convert"]


def test_a_quantized_onnx_model_needs_no_samples(project):
    project.write("b.onnx", "....QuantizeLinear....")
    assert project.calls("quantize", "MODEL=b.onnx") == ["preprocess", "quantize"]
    assert "INPUT is not set" in project.error("export", "MODEL=b.onnx")
    project.write("dynamic.onnx", "....DynamicQuantizeLinear....DequantizeLinear....")
    assert "CALIB is not set" in project.error("quantize", "MODEL=dynamic.onnx")


def test_an_espdl_model_needs_no_samples(project):
    project.write("b.espdl", "model")
    given = "MODEL=b.espdl"
    assert "INPUT is not set" in project.error("export", given)
    assert "CALIB is not set" in project.error("quantize", given, "CONVERT_OPTIONS=--float")
    assert project.calls("quantize", given) == ["convert", "preprocess", "quantize"]
    quantized = project.folder / "build/b/model_quant.onnx"
    assert "--calibrate_dataset" not in quantized.read_text()
    assert project.calls("deploy", given, "INPUT=sample.npy") == ["export", "run"]
    assert project.calls("deploy", given, "INPUT=sample.npy", "CALIB=calib.npy") == ["quantize", "export", "run"]
    assert "('--calibrate_dataset', 'calib.npy')" in quantized.read_text()


def test_deploy_to_a_riscv_chip_emulates_the_projects_sample(project, monkeypatch):
    for tool in ("riscv64-unknown-elf-gcc", "qemu-system-riscv32"):
        project.write(f".venv/bin/{tool}", "#!/bin/sh\necho /lib/picolibc.specs\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{project.folder}/.venv/bin:{os.environ['PATH']}")
    riscv = ("MODEL=a.onnx", "CALIB=calib.npy", "INPUT=many.npy", "TARGET=esp32c3")
    assert project.calls("deploy", *riscv) == [*STEPS, "emulate"]
    assert "'--input', 'build/a/input_sample.npz'" in (project.folder / "last-emulate").read_text()
    assert project.calls("deploy", *riscv[:-1], "TARGET=esp32s3") == ["export", "run"]


def exported_with(project) -> str:
    """What the export was called with."""
    return (project.folder / "build/a/new_project/main/app_main.c").read_text()


def test_two_cores(project):
    assert project.calls("export", *ALL, "TARGET=esp32", "CORES=2")[-1] == "export"
    assert "('--cores', '2')" in exported_with(project)
    # A step that only needs the project takes it as it is; another chip may have one core.
    assert project.calls("run", *ALL) == ["run"]
    assert project.calls("run", *ALL, "TARGET=esp32c3") == ["export", "run"]
    assert "--cores" not in exported_with(project)
    error = project.error("export", *ALL, "TARGET=esp32c3", "CORES=2")
    assert error == "error: CORES=2: esp32c3 has one core for a model; choose another TARGET or leave CORES out"
    assert project.error("export", *ALL, "CORES=4") == "error: CORES=4: a model runs on 1 or 2"


def test_inputs_and_outputs(project):
    assert project.calls("export", *ALL, "IO=int8", "INPUT_LAYOUT=NHWC", "OUTPUT_LAYOUT=NHWC")[-1] == "export"
    for option in ("('--input_type', 'int8')", "('--output_type', 'int8')", "('--output_layout', 'NHWC')"):
        assert option in exported_with(project)
    assert project.calls("run", *ALL) == ["run"]
    # Each alone goes before both; and of one port by its name.
    assert project.calls("run", *ALL, "IO=uint8", "OUTPUT_TYPE=float 'an output=int16'") == ["export", "run"]
    text = exported_with(project)
    assert "('--input_type', 'uint8')" in text and "('--output_type', 'an output=int16')" in text
    assert project.calls("run", *ALL, "IO=float", "OUTPUT_TYPE=float") == ["export", "run"]
    assert "'--input_type'" not in exported_with(project)
    assert "IO=int9 is none of float, int8, uint8; did you mean int8?" in project.error("export", *ALL, "IO=int9")
    error = project.error("run", *ALL, "INPUT_TYPE=int9")
    assert error.startswith("error: INPUT_TYPE=int9: 'int9' is none of float, int8, int16, uint8")


def test_deploy_says_when_it_cannot_emulate(project, monkeypatch):
    # Everything of the usual PATH except for the emulator.
    tools = project.folder / "tools-without-emulator"
    tools.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        for tool in Path(folder).glob("*") if Path(folder).is_dir() else ():
            if not tool.name.startswith("qemu-system") and not os.path.lexists(tools / tool.name):
                os.symlink(tool, tools / tool.name)
    # A compiler without its C library.
    compiler = "#!/bin/sh\necho picolibc.specs\n"
    project.write("tools-without-emulator/riscv64-unknown-elf-gcc.new", compiler).chmod(0o755)
    os.replace(tools / "riscv64-unknown-elf-gcc.new", tools / "riscv64-unknown-elf-gcc")
    monkeypatch.setenv("PATH", str(tools))
    done = project.make("deploy", *ALL, "TARGET=esp32c3")
    assert "emulate: left out, because qemu-system-riscv32, picolibc are not there" in done.stderr


def test_scripts_get_the_documented_arguments(project):
    project.make("deploy", *ALL, "TARGET=esp32c3")
    text = {
        step: (project.folder / "build/a" / name).read_text().splitlines()[0]
        for step, name in (
            ("preprocess", "model_opt.onnx"),
            ("quantize", "model_quant.onnx"),
            ("export", "new_project/main/app_main.c"),
        )
    }
    assert text["preprocess"] == "preprocess[('--input', 'a.onnx'), ('--output', 'build/a/model_opt.onnx')]"
    assert text["quantize"] == (
        "quantize[('--calibrate_dataset', 'calib.npy'), ('--input_model', 'build/a/model_opt.onnx'), "
        "('--output_model', 'build/a/model_quant.onnx')]"
    )
    assert text["export"] == (
        "export[('--img_path', 'sample.npy'), ('--model_path', 'build/a/model_quant.onnx'), ('--out_path', 'build/a'), "
        "('--target_chip', 'esp32c3'), ('--template_path', 'template_project_for_model')]"
    )
    assert (project.folder / "last-run").read_text().splitlines()[0] == (
        "run[('--input', 'sample.npy'), ('--model', 'build/a/model_quant.onnx'), ('--project', 'build/a/new_project')]"
    )


@pytest.mark.parametrize(
    "change, expected",
    [
        ("a.onnx", STEPS),
        # What was made is made again, and where it is what it was, nothing after it is.
        ("build/a/model_opt.onnx", ["preprocess", "run"]),
        ("calib.npy", STEPS[1:]),
        ("sample.npy", STEPS[2:]),
        ("build/a/model_quant.onnx", ["quantize", "run"]),
        ("build/a/new_project/main/app_main.c", ["run"]),
        ("tools/esp_tvm/files.py", STEPS),
        ("template_project_for_model/new.c", STEPS),
    ],
)
def test_what_changed_is_made_again(project, change, expected):
    project.make("deploy", *ALL)
    with open(project.folder / change, "a") as file:
        file.write("# changed\n")
    assert project.calls("deploy", *ALL) == expected
    assert project.calls("deploy", *ALL) == ["run"]


def test_content_decides_what_is_up_to_date(project):
    project.make("deploy", *ALL)
    os.utime(project.folder / "calib.npy", (2_000_000_000, 2_000_000_000))
    assert project.calls("deploy", *ALL) == ["run"]
    # Other bytes of the same size and time, in what is read and in what was made.
    for name, expected in (
        ("calib.npy", STEPS[1:]),
        ("build/a/model_opt.onnx", ["preprocess", "run"]),
        ("build/a/model_quant.onnx", ["quantize", "run"]),
        ("build/a/new_project/main/input_data.h", STEPS[2:]),
    ):
        path = project.folder / name
        before = path.stat()
        path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size
        assert project.calls("deploy", *ALL) == expected, name
        assert project.calls("deploy", *ALL) == ["run"], name


def test_weights_beside_the_model_are_read_too(project):
    numpy = pytest.importorskip("numpy")
    onnx = pytest.importorskip("onnx")
    from onnx import external_data_helper, numpy_helper

    tensor = numpy_helper.from_array(numpy.zeros(300, "float32"), "w")
    external_data_helper.set_external_data(tensor, "the weights.bin")
    tensor.ClearField("raw_data")
    graph = onnx.helper.make_graph([], "g", [], [], [tensor])
    (project.folder / "a.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    project.write("the weights.bin", "weights")
    project.make("quantize", *ALL)
    assert project.calls("quantize", *ALL) == []
    weights = project.folder / "the weights.bin"
    before = weights.stat()
    weights.write_text("WEIGHTS")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert project.calls("quantize", *ALL)[0] == "preprocess"
    assert project.calls("quantize", *ALL) == []


def test_changed_folder_of_samples(project):
    (project.folder / "samples").mkdir()
    project.write("samples/x.npy", "x")
    arguments = ("MODEL=a.onnx", "CALIB=samples")
    project.make("quantize", *arguments)
    assert project.calls("quantize", *arguments) == []
    project.write("samples/y.npy", "y")
    assert project.calls("quantize", *arguments) == ["quantize"]


@pytest.mark.parametrize("missing", ["model_opt.onnx", "model_quant.onnx", "new_project/main/input_data.h"])
def test_what_is_missing_is_made_again(project, missing):
    project.make("export", *ALL)
    (project.folder / "build/a" / missing).unlink()
    step = STEPS[["model_opt.onnx", "model_quant.onnx", "new_project/main/input_data.h"].index(missing)]
    assert project.calls("export", *ALL) == [step]


@pytest.mark.parametrize(
    "variable, expected",
    [
        ("TARGET=esp32", ["export"]),
        ("QUANTIZE_OPTIONS=--x 1", ["quantize", "export"]),
        ("EXPORT_OPTIONS=--x 1", ["export"]),
    ],
)
def test_changed_variable(project, variable, expected):
    project.make("deploy", *ALL)
    assert project.calls("deploy", *ALL, variable) == [*expected, "run"]
    assert project.calls("deploy", *ALL, variable) == ["run"]
    assert project.calls("deploy", *ALL) == [*expected, "run"]


def test_a_board_stands_for_its_chip_and_stays(project):
    """Until another chip or board is named."""
    project.make("export", *ALL, "BOARD=esp32-p4-eye", "INTERNAL=100kB")
    text = exported_with(project)
    assert "('--target_chip', 'esp32p4')" in text and "('--board', 'esp32-p4-eye')" in text
    assert "('--internal', '100kB')" in text
    assert project.calls("run", "MODEL=a.onnx") == ["run"]
    assert project.calls("run", "MODEL=a.onnx", "TARGET=esp32c3") == ["export", "run"]
    text = exported_with(project)
    assert "('--target_chip', 'esp32c3')" in text and "--board" not in text and "--internal" not in text
    assert project.calls("run", "MODEL=a.onnx", "PSRAM=none", "TARGET=esp32s3") == ["export", "run"]
    assert project.calls("run", "MODEL=a.onnx", "FLASH=4MB") == ["export", "run"]
    text = exported_with(project)
    assert "('--psram', 'none')" in text and "('--flash', '4MB')" in text


@pytest.mark.parametrize(
    "variables, error",
    [
        (
            ["BOARD=esp32-c3-devkit"],
            "BOARD=esp32-c3-devkit: unknown board 'esp32-c3-devkit'; did you mean esp32-c3-dev",
        ),
        (["BOARD=xiao-esp32c3", "TARGET=esp32"], "has the chip esp32c3, not esp32; leave one out"),
        (["PSRAM=3GB"], "error: PSRAM=3GB: is no size; write 4MB, 512kB or a number of bytes"),
        (["FLASH=4MB", "TARGET=host"], "error: FLASH=4MB: the host is no board; choose a chip"),
        (["ARENA=a bit"], "error: ARENA=a bit: give auto, least, or a number of bytes"),
        (["ARENA=least", "SLOWDOWN=much"], "error: SLOWDOWN=much: give a percentage from 0 to 9999, like 5 or 2.5"),
        (["SLOWDOWN=5"], "error: SLOWDOWN=5: is for the least arena alone; the arena is auto"),
    ],
)
def test_values_that_no_board_has(project, variables, error):
    said = project.error("export", *ALL, *variables)
    assert error in said and "--" not in said


@pytest.mark.parametrize("goal", ["preprocess", "quantize", "export", "clean", "memory", "flash", "component", "help"])
@pytest.mark.parametrize(
    "variable, error",
    [
        ("TARGET=nosuch", "TARGET=nosuch is not a chip we know"),
        ("BOARD=nosuch", "BOARD=nosuch: unknown board 'nosuch'"),
        ("FLASH=much", "FLASH=much: is no size"),
        ("PSRAM=much:quad", "PSRAM=much: is no size"),
        ("ARENA=a bit", "ARENA=a bit: give auto, least, or a number of bytes"),
        ("SLOWDOWN=it's", "SLOWDOWN=it's: give a percentage"),
        ("CORES=3", "CORES=3: a model runs on 1 or 2"),
        ("PROFILE=yes", "PROFILE=yes: 1 makes"),
        ("IO=int9", "IO=int9 is none of float, int8, uint8; did you mean int8?"),
        ("OUTPUT_TYPE=int9", "OUTPUT_TYPE=int9: 'int9' is none of"),
        (
            "FORM=librari",
            "FORM=librari: give component (for ESP-IDF) or library (PlatformIO, Arduino, CMake); did you m",
        ),
        ("DOCKER=yes", "DOCKER=yes: 1 does it in the image of make image, 0 does not"),
        ("EMULATOR=qemu", "EMULATOR=qemu: give esp-idf or qemu-riscv"),
        ("RUN_OPTIONS=--x '", "RUN_OPTIONS=--x ': No closing quotation"),
        ("CC=no-such-compiler", "CC=no-such-compiler is no program on PATH"),
    ],
)
def test_a_value_that_there_is_not_is_refused_in_every_goal(project, goal, variable, error):
    done = project.make(goal, *ALL, variable, status=2)
    first, own = done.stderr.splitlines()
    assert first.startswith(f"error: {error}") and own.endswith("*** nothing was done.  Stop.")
    assert done.stdout == "" and not (project.folder / "calls.txt").exists()


@pytest.mark.parametrize("goal", ["preprocess", "quantize", "run"])
@pytest.mark.parametrize("name", ["TARGET", "CORES", "LABELS", "BASE", "LOG", "INPUT"])
def test_so_it_is_in_the_environment(project, goal, name):
    done = project.make(goal, "MODEL=a.onnx", "CALIB=calib.npy", status=2, **{name: "nosuch"})
    assert done.stderr.startswith(f"error: {name}=nosuch")
    assert not (project.folder / "calls.txt").exists()


def test_what_is_not_set_stays_as_it_was_for_steps_that_are_only_needed(project):
    project.make("quantize", "MODEL=a.onnx", "CALIB=calib.npy", "QUANTIZE_OPTIONS=--x 1")
    assert project.calls("export", "MODEL=a.onnx", "INPUT=sample.npy", "TARGET=esp32p4") == ["export"]
    assert project.calls("run", "MODEL=a.onnx") == ["run"]
    assert project.calls("debug", "MODEL=a.onnx") == ["debug"]
    assert "('--target_chip', 'esp32p4')" in (project.folder / "last-debug").read_text()
    # Asked for itself, the step has its defaults again.
    assert project.calls("quantize", "MODEL=a.onnx") == ["quantize"]
    assert project.calls("export", "MODEL=a.onnx") == ["export"]


def test_other_model_in_the_same_folder_has_no_past(project):
    project.make("deploy", *ALL, "OUT=out")
    project.write("b.onnx", "b")
    assert "CALIB is not set" in project.error("quantize", "MODEL=b.onnx", "OUT=out")
    assert project.calls("quantize", "MODEL=b.onnx", "CALIB=calib.npy", "OUT=out") == STEPS[:2]


def test_run_takes_many_samples_and_the_project_one(project):
    many = (*ALL[:2], "INPUT=many.npy")
    assert project.calls("run", *many) == STEPS
    assert (
        "('--img_path', 'build/a/input_sample.npz')"
        in (project.folder / "build/a/new_project/main/app_main.c").read_text()
    )
    assert "('--input', 'many.npy')" in (project.folder / "last-run").read_text()
    # Other samples do not change a finished project.
    assert project.calls("run", *ALL) == ["run"]
    assert project.calls("run", *many) == ["run"]
    # Asked for itself, the export gets what INPUT says.
    assert project.calls("export", *ALL) == ["export"]


def test_failed_step_is_not_taken_for_done(project):
    project.make("quantize", *ALL)
    done = project.make("quantize", *ALL, "QUANTIZE_OPTIONS=--fail yes", status=2)
    assert "error: told to fail" in done.stderr and "Traceback" not in done.stderr
    assert (project.folder / "build/a/model_quant.onnx").exists()
    # Its files are remembered, the options that it failed with are not.
    assert project.calls("export", "MODEL=a.onnx") == ["quantize", "export"]
    assert project.calls("quantize", *ALL) == []


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["preprocess"], "MODEL is not set"),
        (["deploy"], "MODEL is not set"),
        (["quantize", "MODEL=a.onnx"], "CALIB is not set"),
        (["export", "MODEL=a.onnx", "INPUT=sample.npy"], "CALIB is not set"),
        (["run", "MODEL=a.onnx", "CALIB=calib.npy", "INPUT=none.npy"], "INPUT=none.npy does not exist"),
        (["run", *ALL, "CC=no-such-compiler -O2"], "CC=no-such-compiler -O2 is no program on PATH"),
        (["quantize", "MODEL=none.onnx", "CALIB=calib.npy"], "MODEL=none.onnx does not exist"),
        (["quantize", "MODEL=a.onnx", "CALIB=none.npy"], "CALIB=none.npy does not exist"),
        (["export", *ALL, "TARGET=esp8266"], "TARGET=esp8266 is not a chip"),
        (["export", *ALL, "EXPORT_OPTIONS=--x '"], "EXPORT_OPTIONS=--x '"),
        (["preprocess", "MODEL=a.onnx", "OUT=calib.npy"], "OUT=calib.npy is a file"),
        (["quantize", "MODEL=tools", "CALIB=calib.npy"], "MODEL=tools is a folder, and no SavedModel"),
        (["report", *ALL, "LOG=tools"], "LOG=tools is a folder; save what the serial monitor shows in a file"),
        (["preprocess", "MODEL=a.onnx", "OUT=/proc/nothing"], "OUT=/proc/nothing cannot be made"),
    ],
)
def test_one_line_for_what_is_wrong(project, arguments, text):
    assert text in project.error(*arguments)
    assert not (project.folder / "calls.txt").exists()
    assert not list(project.folder.glob("build/*"))


@pytest.mark.parametrize(
    "name", ["my model.onnx", "it's.onnx", "-x.onnx", "$$(touch hacked).onnx", 'a"; touch hacked; ".onnx']
)
def test_any_file_name(project, name):
    project.write(name.replace("$$", "$"), "model")
    arguments = (f"MODEL={name}", *ALL[1:])
    assert project.calls("deploy", *arguments) == STEPS
    assert project.calls("deploy", *arguments) == ["run"]
    assert not (project.folder / "hacked").exists()


def test_report_takes_a_base(project):
    project.calls("export", *ALL)
    assert project.calls("report", *ALL, "BASE=build/a") == ["report"]
    assert "('--base', 'build/a')" in (project.folder / "build/a/report.html").read_text()
    assert project.error("report", *ALL, "BASE=.").startswith("error: BASE=. is not a project")
    assert project.error("report", *ALL, "BASE=none") == "error: BASE=none does not exist"


def test_profile_is_an_option_of_the_export(project):
    project.calls("export", *ALL, "PROFILE=1")
    code = project.folder / "build/a/new_project/main/app_main.c"
    assert "('--debug', 'profile')" in code.read_text()
    # What is only looked at stays as it is; export itself means what is set now.
    assert project.calls("report", *ALL) == ["report"] and "--debug" in code.read_text()
    project.calls("export", *ALL)
    assert "--debug" not in code.read_text()
    assert project.error("export", *ALL, "PROFILE=yes").startswith("error: PROFILE=yes: 1 makes")
    assert "leave one out" in project.error("export", *ALL, "PROFILE=1", "EXPORT_OPTIONS=--debug checksums")


def test_demo_ignores_the_variables(project):
    assert project.calls("demo", "MODEL=none", "INPUT=none", "CALIB=none") == [*STEPS, "evaluate"]
    assert (project.folder / "last-evaluate").read_text() == "evaluate[('--project', 'build/digits/new_project')]"
    assert not (project.folder / "x").exists()
    assert project.calls("demo") == ["run", "evaluate"]


def test_clean_removes_only_what_was_made(project):
    project.make("deploy", *ALL, "OUT=mine")
    project.write("mine/notes.txt", "keep")
    project.make("deploy", *ALL)
    project.make("clean", "OUT=mine")
    assert [path.name for path in (project.folder / "mine").iterdir()] == ["notes.txt"]
    project.make("clean", "MODEL=a.onnx")
    assert not (project.folder / "build" / "a").exists()
    project.make("deploy", *ALL)
    framework = project.folder / "build/env/sklearn/bin/python"
    framework.parent.mkdir(parents=True)
    framework.write_text("")
    project.make("clean")
    assert [path.name for path in (project.folder / "build").iterdir()] == ["env"] and framework.exists()
    assert (project.folder / ".venv").exists()


def test_help_lists_every_target_and_variable(project, repo):
    text = project.make("help").stdout
    for target in "setup preprocess quantize export run debug deploy demo test clean help".split():
        assert f"\n  {target} " in text
    for variable in "MODEL CALIB INPUT TARGET OUT".split():
        assert f"\n  {variable} " in text
    assert project.make().stdout == text


def test_first_sample(repo, tmp_path):
    numpy = pytest.importorskip("numpy")
    onnx = pytest.importorskip("onnx")
    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3]) for name in ("x", "file", "y")]
    node = onnx.helper.make_node("Add", ["x", "file"], ["y"])
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", ports[:2], ports[2:]),
        opset_imports=[onnx.helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.save(model, str(tmp_path / "m.onnx"))
    x = numpy.arange(12, dtype="float32").reshape(4, 1, 3)
    (tmp_path / "many").mkdir()
    (tmp_path / "one").mkdir()
    for name, array in (("x", x), ("file", -x)):
        numpy.save(tmp_path / "many" / f"{name}.npy", array)
        numpy.save(tmp_path / "one" / f"{name}.npy", array[0])

    def run(folder: str) -> str:
        return subprocess.run(
            [sys.executable, repo / "scripts/first_sample.py", "--model", tmp_path / "m.onnx"]
            + ["--input", tmp_path / folder, "--output", tmp_path / "out.npz"],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    assert run("one") == f"{tmp_path / 'one'}\n"
    assert not (tmp_path / "out.npz").exists()
    assert run("many") == f"{tmp_path / 'out.npz'}\n"
    with numpy.load(tmp_path / "out.npz") as arrays:
        assert numpy.array_equal(arrays["x"], x[0]) and numpy.array_equal(arrays["file"], -x[0])
