"""The steps' bookkeeping: whose files are kept, which model is meant, what file names may hold, how a step ends."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from make_harness import ALL, STEPS, Project

from esp_tvm.steps.variables import known


@pytest.fixture
def project(repo: Path, tmp_path: Path) -> Project:
    return Project(repo, tmp_path / "a project")


# --- file names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "m$(shell touch hacked).onnx",
        "m$(touch hacked).onnx",
        "m`touch hacked`.onnx",
        "a$b.onnx",
        "a$$b.onnx",
        "$(MODEL).onnx",
        "${HOME}.onnx",
        "#hash.onnx",
        "a=b:c.onnx",
        'it\'s "quoted" \\ .onnx',
        "spaces  inside .onnx",
        "-leading.onnx",
        "100%.onnx",
        "$(error stop).onnx",
        "模型.onnx",
    ],
)
@pytest.mark.parametrize("way", ["command line", "environment"])
def test_no_file_name_runs_code(project, name, way):
    project.write(name, "model")
    if way == "environment":
        calls = project.calls("quantize", "CALIB=calib.npy", MODEL=name)
    else:
        calls = project.calls("quantize", f"MODEL={name}", "CALIB=calib.npy")
    assert calls == STEPS[:2]
    assert (project.folder / "build" / name[: -len(".onnx")] / "model_quant.onnx").is_file()
    assert not list(project.folder.rglob("hacked"))


@pytest.mark.parametrize("variable", ["CALIB", "INPUT", "OUT", "QUANTIZE_OPTIONS", "TARGET", "LOG", "NOTHING"])
def test_no_variable_is_expanded(project, variable):
    project.make("export", *ALL[:1], f"{variable}=x$(shell touch hacked)", status=2)
    assert not list(project.folder.rglob("hacked"))


def test_a_dollar_may_be_typed_as_make_wants_it(project):
    project.write("a$b.onnx", "model")
    assert project.calls("preprocess", "MODEL=a$$b.onnx") == ["preprocess"]


def test_a_line_break_is_refused(project):
    assert project.error("preprocess", "MODEL=a\nb.onnx") == "error: MODEL has a line break in it"


def test_no_recipe_expands_a_file_name(repo):
    """Recipes take variables from the environment: none of users' variables stands in the text of one."""
    for path in [repo / "Makefile", *repo.glob("scripts/*.mk")]:
        for line in path.read_text().splitlines():
            if line.startswith("\t"):
                for name in (
                    "MODEL",
                    "CALIB",
                    "INPUT",
                    "OUT",
                    "LOG",
                    "SPEC",
                    "SAMPLE",
                    "FILES",
                    "APP",
                    "DEST",
                    "NAMES",
                ):
                    assert f"$({name})" not in line and f"${{{name}}}" not in line.replace("$${", ""), line


def test_no_ci_recipe_hands_a_file_name_to_make(repo):
    for path in [*(repo / "examples/ci").iterdir(), repo / ".ci/run"]:
        for line in path.read_text().splitlines():
            assert not re.search(r"\bmake\b.*=", line.partition("#")[0]), f"{path.name}: {line}"


# --- variables --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word, right",
    [("target=esp32", "TARGET"), ("MODLE=a.onnx", "MODEL"), ("Calib=x", "CALIB"), ("EXPORT_OPTION=", "EXPORT_OPTIONS")],
)
def test_a_misspelt_variable_is_noticed(project, word, right):
    done = project.make("export", *ALL, word, status=2)
    assert f"error: no target knows the variable {word.partition('=')[0]}; did you mean {right}?" in done.stderr
    assert not list(project.folder.glob("build/*"))


def test_every_documented_variable_is_known(project, repo):
    help_text = project.make("help").stdout
    names = known(repo)
    documented = "MODEL CALIB INPUT TARGET CORES OUT CC PYTHON QUANTIZE_OPTIONS DEBUG_OPTIONS LOG SPEC FILES PORT"
    for name in f"{documented} DEST MODEL_NAME FORM EMULATOR".split():
        assert name in names and re.search(rf"\b{name}\b", help_text)
    assert "RAM" not in names and "ESP" not in names


@pytest.mark.parametrize("text", ["ESP32-S3", "esp32_s3", "Esp32s3"])
def test_a_chip_as_people_write_it(project, text):
    project.make("export", *ALL, f"TARGET={text}")
    assert "('--target_chip', 'esp32s3')" in (project.folder / "build/a/new_project/main/app_main.c").read_text()
    assert project.calls("export", *ALL, "TARGET=esp32s3") == []
    assert "did you mean esp32s3?" in project.error("export", *ALL, "TARGET=esp32s33")


def test_the_last_model_is_remembered(project):
    project.make("quantize", "MODEL=a.onnx", "CALIB=many.npy", "OUT=mine")
    done = project.make("export", "TARGET=esp32s3")
    assert done.stderr.splitlines()[0] == "MODEL=a.onnx OUT=mine (as last time)"
    assert "INPUT is not set: the first sample of many.npy is taken" in done.stderr
    assert (
        "('--img_path', 'mine/input_sample.npz')" in (project.folder / "mine/new_project/main/app_main.c").read_text()
    )
    assert project.calls("run") == ["run"]
    # OUT alone says which model, too.
    project.make("quantize", "MODEL=a.onnx", "CALIB=calib.npy")
    done = project.make("run", "OUT=mine")
    assert done.stderr.splitlines()[0] == "MODEL=a.onnx OUT=mine (as last time)"
    project.write("b.onnx", "b")
    os.unlink(project.folder / "a.onnx")
    assert "MODEL is not set" in project.error("export")


def test_remembered_options_do_not_hang_on_spelling(project):
    project.make("quantize", "MODEL=a.onnx", "CALIB=calib.npy", "QUANTIZE_OPTIONS=--x 1")
    for model in ("./a.onnx", "build/../a.onnx", str(project.folder / "a.onnx")):
        assert project.calls("debug", f"MODEL={model}", f"CALIB={project.folder}/calib.npy", "INPUT=./sample.npy") == [
            "debug"
        ]


def test_options_that_name_files_are_read(project):
    options = "QUANTIZE_OPTIONS=--evaluate many.npy"
    project.make("quantize", *ALL[:2], options)
    assert project.calls("quantize", *ALL[:2], options) == []
    project.write("many.npy", "others")
    assert project.calls("quantize", *ALL[:2], options) == ["quantize"]


def test_make_from_another_folder_says_where_files_are_named_from(project, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here/mine.onnx").write_text("x")
    environment = {**os.environ, "PWD": str(tmp_path / "here")}
    done = subprocess.run(
        ["make", "-C", project.folder, "preprocess", "MODEL=mine.onnx"],
        cwd=tmp_path / "here", env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert f"give {tmp_path}/here/mine.onnx" in done.stderr


# --- users' files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model_opt.onnx", "model_quant.onnx", "new_project/main/app_main.c", "logs/x.onnx"])
def test_a_product_is_never_an_input(project, name):
    (project.folder / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
    model = project.write(f"mine/{name}", "the user's")
    for arguments in ([f"MODEL=mine/{name}", "OUT=mine"], [f"MODEL={model}", "OUT=./mine/../mine"]):
        assert "choose another OUT" in project.error("preprocess", *arguments)
    assert model.read_text() == "the user's"
    link = project.folder / "link.onnx"
    os.link(model, link)
    if "/" not in name:
        assert "choose another OUT" in project.error("preprocess", "MODEL=link.onnx", "OUT=mine")


def test_two_models_of_one_name(project):
    for folder in ("one", "two"):
        (project.folder / folder).mkdir()
        project.write(f"{folder}/model.onnx", folder)
    assert "note" not in project.make("preprocess", "MODEL=one/model.onnx").stderr
    done = project.make("preprocess", "MODEL=two/model.onnx")
    assert "note: build/model holds what was made of one/model.onnx" in done.stderr
    assert "note" not in project.make("preprocess", "MODEL=two/model.onnx", "OUT=elsewhere").stderr


def test_clean_keeps_what_it_did_not_make_and_what_was_changed(project):
    out = project.folder / "build/a"
    project.make("deploy", *ALL)
    project.make("debug", *ALL)
    project.write("build/a/logs/notes.txt", "mine")
    project.write("build/a/new_project/main/app_main.c", "mine")
    project.write("build/a/new_project/main/more.c", "mine")
    project.write("build/a/model_quant.onnx", "mine")
    (project.folder / "build/other").mkdir()
    project.write("build/other/model_quant.onnx", "mine")
    done = project.make("clean")
    left = sorted(str(p.relative_to(project.folder)) for p in (project.folder / "build").rglob("*") if p.is_file())
    assert left == [
        "build/a/logs/notes.txt",
        "build/a/model_quant.onnx",
        "build/a/new_project/.esp_tvm_project",
        "build/a/new_project/main/app_main.c",
        "build/a/new_project/main/more.c",
        "build/other/model_quant.onnx",
    ]
    assert "left in build/a" in done.stderr and "new_project/main/app_main.c" in done.stderr
    assert (out / "new_project/main/more.c").read_text() == "mine"


def test_clean_does_not_follow_links(project):
    project.make("export", *ALL)
    kept = project.folder / "kept"
    kept.mkdir()
    project.write("kept/input_data.h", "mine")
    main = project.folder / "build/a/new_project/main"
    content = (main / "input_data.h").read_text()
    (kept / "input_data.h").write_text(content)
    for path in main.iterdir():
        path.unlink()
    main.rmdir()
    main.symlink_to(kept)
    project.make("clean")
    assert (kept / "input_data.h").read_text() == content


def test_clean_removes_what_cmake_built_of_the_project(project):
    project.make("export", *ALL)
    build = project.folder / "build/a/new_project/build"
    build.mkdir()
    cache = project.write("build/a/new_project/build/CMakeCache.txt", "CMAKE_HOME_DIRECTORY:INTERNAL=/elsewhere\n")
    project.make("clean", "MODEL=a.onnx")
    assert cache.exists()
    project.make("export", *ALL)
    cache.write_text(f"CMAKE_HOME_DIRECTORY:INTERNAL={project.folder.resolve()}/build/a/new_project\n")
    project.make("clean", "MODEL=a.onnx")
    assert not (project.folder / "build/a").exists()


# --- ends -------------------------------------------------------------------------------------------------

SLEEPER = """
import pathlib, signal, sys, time
pathlib.Path("started").write_text("")
signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path("tidied").write_text(""), sys.exit(143)))
time.sleep(60)
"""


def free(lock: Path) -> bool:
    with open(lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def start(project: Project, step: str = SLEEPER) -> subprocess.Popen:
    """A preprocess that sleeps, in a group of processes of its own; waits until it does."""
    project.write("tools/tvm/preprocess_onnx.py", step)
    environment = {**os.environ, "MODEL": "a.onnx"}
    command = [str(project.folder / "scripts/pipeline.sh"), "preprocess"]
    options = {"cwd": project.folder, "env": environment, "stderr": subprocess.PIPE, "text": True}
    running = subprocess.Popen(command, start_new_session=True, **options)
    while not (project.folder / "started").exists():
        assert running.poll() is None
        time.sleep(0.05)
    return running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_step_and_frees_the_folder(project, number):
    running = start(project)
    lock = project.folder / "build/a/.made/lock"
    assert not free(lock)
    running.send_signal(number)
    assert running.wait(15) == 128 + number
    assert (project.folder / "tidied").exists() and free(lock)
    assert "terminated" not in running.stderr.read(), "that is for the step to say, once"


INTERRUPTED = "print('interrupted', file=sys.stderr), sys.exit(130)"


@pytest.mark.parametrize("at_an_interrupt", [f"lambda *_: ({INTERRUPTED})", "signal.SIG_DFL"])
def test_ctrl_c_is_told_once(project, at_an_interrupt):
    """It reaches the script too, which says so, unless it comes before that has started properly."""
    running = start(project, f"import signal, sys\nsignal.signal(signal.SIGINT, {at_an_interrupt})\n{SLEEPER}")
    os.killpg(running.pid, signal.SIGINT)
    assert running.wait(15) == 130
    assert running.stderr.read().splitlines().count("interrupted") == 1


def test_ctrl_c_in_the_set_up_is_told_once(project):
    set_up = "#!/bin/bash\ntrap 'echo interrupted >&2; exit 130' INT\ntouch started\nsleep 1\nexit 2\n"
    project.write("scripts/setup.sh", set_up).chmod(0o755)
    running = start(project)
    os.killpg(running.pid, signal.SIGINT)
    assert running.wait(15) == 130
    assert running.stderr.read().splitlines() == ["interrupted"]


def test_a_folder_is_not_free_while_a_step_works_there(project):
    """Killed with no chance to tidy up: the step lives on, and so does its lock."""
    running = start(project)
    (child,) = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    running.kill()
    running.wait(15)
    lock = project.folder / "build/a/.made/lock"
    assert not free(lock)
    os.kill(int(child), signal.SIGTERM)
    for _ in range(200):
        if free(lock):
            break
        time.sleep(0.05)
    assert free(lock) and (project.folder / "tidied").exists()


def test_a_closed_standard_output_leaves_no_traceback(project):
    project.make("quantize", *ALL)
    step = "scripts/pipeline.sh"
    done = subprocess.run(
        ["bash", "-c", f"{step} variables | true; {step} variables >&-; {step} run | true; {step} nothing 2>&-"],
        cwd=project.folder, env={**os.environ, "MODEL": "a.onnx", "CALIB": "calib.npy"}, capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
