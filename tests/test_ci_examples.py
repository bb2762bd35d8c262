"""examples/ci, action.yml and the workflow that publishes the image: the YAML is read, and the commands for users run
before stand-ins for docker and for the image's command."""

from __future__ import annotations

import os
import re
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
run | deploy | report) printf '%s|' "$@" >> calls; echo >> calls ;;
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
    # In a job in the image the pipeline is on PATH.
    for name in ("docker", "esp-tvm"):
        (engine.parent / name).write_text(ENGINE)
        (engine.parent / name).chmod(0o755)
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "status").write_text("0")

    def run(*command: str, **variables: str) -> int:
        environment = {**VARIABLES, **variables, "PATH": f"{engine.parent}:{os.environ['PATH']}"}
        return subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL).returncode

    run.folder = folder
    run.calls = lambda: [line.split("|")[:-1] for line in (folder / "calls").read_text().splitlines()]
    return run


def check_calls(place, *out: str, inside: bool = False) -> None:
    """The engine was asked for deploy and report, as the caller, with the repository mounted; inside: the image's
    command was."""
    user = f"{os.getuid()}:{os.getgid()}"
    start = [] if inside else ["run", "--rm", "-u", user, "-v", f"{place.folder}:/project", VARIABLES["IMAGE"]]
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


@pytest.mark.parametrize("name", ["gitlab-ci.yml", "github-container-job.yml"])
def test_jobs_in_the_image_call_no_docker(place, name):
    text = yaml.safe_load((CI / name).read_text())
    assert set(text.get("variables") or text["env"]) == set(VARIABLES) - {"IMAGE"}
    job = text["jobs"]["deploy"] if "jobs" in text else text["deploy"]
    commands = job.get("script") or [step["run"] for step in job["steps"] if "run" in step]
    for command in commands:
        assert place("sh", "-e", "-c", command) == 0
    check_calls(place, "OUT=build/model", inside=True)
    assert "privileged" not in str(job) and "dind" not in str(job)


@pytest.mark.parametrize("given", ["", "x.npy"])
def test_the_action(place, given):
    action = yaml.safe_load((REPO / "action.yml").read_text())
    (step,) = action["runs"]["steps"]
    names = re.findall(r"\$\{\{ inputs\.(\w+) \}\}", str(step["env"]))
    assert set(names) == set(action["inputs"]) and "${{" not in step["run"]
    inputs = {**VARIABLES, "INPUT": given, "OUT": "build/model", "VARIABLES": "BOARD=my board\nCORES=2\n"}
    assert place("bash", "-eo", "pipefail", "-c", step["run"], **inputs) == 0
    for call, target in zip(place.calls(), (["TARGET=esp32c6"], [])):
        words = call[call.index(VARIABLES["IMAGE"]) + 2 :]
        files = ["MODEL=my models/net.onnx", "CALIB=c d.npy", "OUT=build/model"] + ([f"INPUT={given}"] if given else [])
        assert words == [*files, "BOARD=my board", "CORES=2", *target]
    (place.folder / "status").write_text("3")
    assert place("bash", "-eo", "pipefail", "-c", step["run"], **inputs) == 3


def steps_of(path: Path) -> list:
    text = yaml.safe_load(path.read_text())
    jobs = text.get("jobs", {}).values() or [text["runs"]]
    return [step for job in jobs for step in job["steps"]]


WORKFLOWS = [*CI.glob("github*.yml"), *(REPO / ".github/workflows").glob("*.yml"), REPO / "action.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_is_used_is_named_by_its_commit_or_digest(path):
    for step in steps_of(path):
        if "uses" in step:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
        # A value put into a script's text is run as a part of it.
        assert "${{" not in step.get("run", "")
    for image in re.findall(r"ghcr\.io/your-name/esp-tvm(\S*)", path.read_text()):
        assert image.startswith("@sha256:")


def test_the_image_is_published_with_what_proves_it():
    path = REPO / ".github/workflows/image.yml"
    steps = steps_of(path)
    order = [step.get("uses", step.get("run", "")) for step in steps]
    words = ("image-check", "cosign sign", "attest-sbom")
    places = [next(i for i, text in enumerate(order) if word in text) for word in words]
    assert places == sorted(places), "tested before it is signed and published"
    (provenance,) = [step for step in steps if "attest-build-provenance" in step.get("uses", "")]
    assert provenance["with"]["push-to-registry"] is True
    publishing = [step for step in steps if "push=true" in str(step.get("with", {}).get("outputs"))]
    assert len(publishing) == 1 and "rewrite-timestamp=true" in publishing[0]["with"]["outputs"]
    # What a pull request of a stranger builds is not published.
    for step in (*publishing, provenance):
        assert step["if"] == "github.event_name != 'pull_request'"
    # The arguments that the Dockerfile knows.
    known = set(re.findall(r"^ARG (\w+)", (REPO / "Dockerfile").read_text(), re.MULTILINE))
    used = set(re.findall(r"^(\w+)=", publishing[0]["with"]["build-args"], re.MULTILINE))
    assert used and used <= known


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml", "github-container-job.yml"])
def test_a_failed_deployment_fails_the_job(place, name):
    (place.folder / "status").write_text("1")
    text = yaml.safe_load((CI / name).read_text())
    job = text["jobs"]["deploy"] if "jobs" in text else text["deploy"]
    steps = [step["run"] for step in job["steps"] if "deploy MODEL" in step.get("run", "")] if "steps" in job else None
    (command,) = steps or [command for command in job["script"] if "deploy MODEL" in command]
    assert place("sh", "-e", "-c", command) == 1
