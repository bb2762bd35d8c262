"""examples/ci: the YAML is read, and its commands and the shell script run before a stand-in for docker."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parent.parent
CI = REPO / "examples" / "ci"

# Stands in for docker: notes its arguments, makes what the pipeline would, ends with the number in the file `status`.
ENGINE = """#!/bin/sh
case $1 in
login) cat >/dev/null; exit ;;
run) printf '%s|' "$@" >> calls; echo >> calls ;;
esac
for word in "$@"; do
    case $word in OUT=*) out=${word#OUT=} ;; esac
done
out=${out:-build/net}
mkdir -p "$out/new_project/main" "$out/logs"
case " $* " in
*" deploy "*) echo c > "$out/new_project/main/app_main.c"; echo q > "$out/model_quant.onnx"; exit "$(cat status)" ;;
*" report "*) echo page > "$out/report.html"; exit "${REPORT_STATUS:-0}" ;;
*) exit 99 ;;
esac
"""

VARIABLES = {"IMAGE": "registry/esp-tvm:1", "MODEL": "my models/net.onnx", "CALIB": "c d.npy", "INPUT": "x.npy"}
VARIABLES["TARGET"] = "esp32c6"


@pytest.fixture
def place(tmp_path: Path):
    """A repository's folder; runs a shell's command in it, with docker replaced."""
    engine = tmp_path / "bin" / "docker"
    engine.parent.mkdir()
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "status").write_text("0")

    def run(*command: str, **variables: str) -> int:
        environment = {**VARIABLES, **variables, "PATH": f"{engine.parent}:{os.environ['PATH']}"}
        return subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL).returncode

    run.folder = folder
    run.calls = lambda: [line.split("|")[:-1] for line in (folder / "calls").read_text().splitlines()]
    return run


def check_calls(place, *out: str) -> None:
    """The engine was asked for deploy and report, as the caller, with the repository mounted."""
    user = f"{os.getuid()}:{os.getgid()}"
    start = ["run", "--rm", "-u", user, "-v", f"{place.folder}:/project", VARIABLES["IMAGE"]]
    files = [f"{name}={VARIABLES[name]}" for name in ("MODEL", "CALIB", "INPUT")]
    assert place.calls() == [
        [*start, "deploy", *files, f"TARGET={VARIABLES['TARGET']}", *out],
        [*start, "report", *files, *out],
    ]


def test_plain_shell(place):
    assert place("sh", str(CI / "plain.sh")) == 0
    check_calls(place)
    kept = place.folder / "artifacts"
    assert sorted(path.name for path in kept.iterdir()) == ["logs", "model_quant.onnx", "new_project", "report.html"]
    # Once more: what is kept is replaced, not nested.
    assert place("sh", str(CI / "plain.sh")) == 0
    assert not (kept / "new_project/new_project").exists()


def test_plain_shell_fails_with_the_pipelines_code_and_keeps_what_there_is(place):
    (place.folder / "status").write_text("3")
    assert place("sh", str(CI / "plain.sh"), ARTIFACTS="kept here") == 3
    assert (place.folder / "kept here/new_project/main/app_main.c").is_file()
    assert (place.folder / "kept here/report.html").is_file()
    assert place("sh", str(CI / "plain.sh"), REPORT_STATUS="5") == 3
    (place.folder / "status").write_text("0")
    assert place("sh", str(CI / "plain.sh"), REPORT_STATUS="5") == 5


def test_github_actions(place):
    text = yaml.safe_load((CI / "github-actions.yml").read_text())
    # YAML 1.1 reads the key `on` as true.
    assert set(text) == {"name", True, "env", "jobs"}
    assert set(text["env"]) == set(VARIABLES)
    (job,) = text["jobs"].values()
    for step in job["steps"]:
        assert ("run" in step) != ("uses" in step)
        if "run" in step:
            assert "${{" not in step["run"], "a value put into a script's text is run as a part of it"
            assert place("bash", "-eo", "pipefail", "-c", step["run"], TOKEN="t", GITHUB_ACTOR="a") == 0
    check_calls(place, "OUT=build/model")
    upload = job["steps"][-1]
    assert upload["uses"].startswith("actions/upload-artifact@") and upload["if"] == "always()"
    assert all((place.folder / path).exists() for path in upload["with"]["path"].split())


def test_gitlab(place):
    text = yaml.safe_load((CI / "gitlab-ci.yml").read_text())
    assert set(text["variables"]) == set(VARIABLES)
    job = text["deploy"]
    login = {"CI_REGISTRY": "r", "CI_REGISTRY_USER": "u", "CI_REGISTRY_PASSWORD": "p"}
    for command in job["before_script"] + job["script"]:
        assert place("sh", "-e", "-c", command, **login) == 0
    check_calls(place, "OUT=build/model")
    assert job["artifacts"]["when"] == "always"
    assert all((place.folder / path).exists() for path in job["artifacts"]["paths"])


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_a_failed_deployment_fails_the_job(place, name):
    (place.folder / "status").write_text("1")
    text = yaml.safe_load((CI / name).read_text())
    job = text["jobs"]["deploy"] if "jobs" in text else text["deploy"]
    steps = [step["run"] for step in job["steps"] if "deploy MODEL" in step.get("run", "")] if "steps" in job else None
    (command,) = steps or [command for command in job["script"] if "deploy MODEL" in command]
    assert place("sh", "-e", "-c", command) == 1
