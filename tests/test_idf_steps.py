"""make build, flash, monitor, ...: which ESP-IDF they take, what they call, and what they refuse.

An idf.py and a docker that write down their calls stand for the real ones.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

import pytest

from esp_tvm.chips import CHIPS
from esp_tvm.errors import UserError
from esp_tvm.idf_versions import BEFORE, CONTAINER, SUPPORTED_UNTIL, check_version, chips_of, dotted, needed, version_of

REPO = Path(__file__).resolve().parents[1]
IDF = """#!/bin/sh
case "$*" in *--version) echo "ESP-IDF {version}"; exit;; esac
echo idf.py "$@" $ESPPORT >> "{folder}/calls"
case "$*" in *set-target*) echo CONFIG_IDF_TARGET=\\"{chip}\\" > "{folder}/out/new_project/sdkconfig";; esac
"""
DOCKER = """#!/bin/sh
case "$*" in info) exit;; *--version) echo "Done! You can now compile"; echo "ESP-IDF {version}"; exit;; esac
echo docker "$@" "ESPPORT=$ESPPORT" >> "{folder}/calls"
"""


class Bench:
    """A folder with an exported project for `chip` and the tools that are on PATH."""

    def __init__(self, folder: Path, chip: str, **tools: str) -> None:
        """tools: name -> text of a shell script with {version}, {folder}, {chip}; version: of ESP-IDF"""
        self.folder = folder
        version = tools.pop("version", "v5.5.5")
        metadata = folder / "out/new_project/components/tvm_model/model/metadata.json"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f'{{\n "target_chip": "{chip}"\n}}\n')
        (folder / "bin").mkdir()
        for name, text in tools.items():
            tool = folder / "bin" / name.replace("_", ".")
            tool.write_text(text.format(version=version, folder=folder, chip=chip, python=sys.executable))
            tool.chmod(0o755)

    def make(self, *arguments: str, **environment: str) -> Tuple[int, str]:
        """(exit code, standard error) of make"""
        done = self.run("make", "-C", str(REPO), *arguments, OUT=f"{self.folder}/out", **environment)
        return done.returncode, done.stderr

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            command,
            env={**os.environ, "PATH": f"{self.folder}/bin:/usr/bin:/bin", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def calls(self) -> List[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []


def test_what_is_missing(tmp_path):
    bench = Bench(tmp_path, "esp32c3")
    status, error = bench.make("build", "MODEL=", "OUT=")
    # A checkout where a model went this way remembers it, and names it.
    assert status == 2
    assert "neither MODEL nor OUT is set" in error or ("MODEL=" in error and ("idf.py" in error or "export" in error))
    status, error = bench.make("flash", f"OUT={tmp_path}")
    assert status == 2 and "export it first" in error
    status, error = bench.make("build", "TARGET=esp32s3")
    assert status == 2 and "exported for esp32c3, not for esp32s3" in error
    status, error = bench.make("flash", "PORT=/dev/nothing")
    assert status == 2 and "PORT=/dev/nothing does not exist" in error


def test_idf_py_is_called_in_order(tmp_path):
    """flash and monitor chained, set-target once, the port passed on."""
    bench = Bench(tmp_path, "esp32c3", idf_py=IDF)
    assert bench.make("flash", "flash-weights", "monitor", "PORT=/dev/null")[0] == 0
    prefix = f"idf.py -C {tmp_path}/out/new_project"
    assert bench.calls() == [
        f"{prefix} set-target esp32c3",
        f"{prefix} -p /dev/null flash",
        f"{prefix} constants-flash /dev/null",
        f"{prefix} -p /dev/null monitor",
    ]


@pytest.mark.parametrize(
    "port", ["rfc2217://10.0.0.7:4000?ign_set_control", "RFC2217://board.lan:4000", "socket://[fe80::1]:23"]
)
def test_a_port_on_another_computer(tmp_path, port):
    bench = Bench(tmp_path, "esp32c3", idf_py=IDF)
    assert bench.make("flash", "flash-weights", "monitor", f"PORT={port}") == (0, "")
    prefix = f"idf.py -C {tmp_path}/out/new_project"
    assert bench.calls()[1:] == [
        f"{prefix} -p {port} flash",
        f"{prefix} constants-flash {port}",
        f"{prefix} -p {port} monitor",
    ]


@pytest.mark.parametrize("port", ["rfc2217://board", "socket://:1", "loop://", "tcp://b:1", "rfc2217://b:4000/x"])
def test_no_port_at_all(tmp_path, port):
    status, error = Bench(tmp_path, "esp32c3", idf_py=IDF).make("monitor", f"PORT={port}")
    assert status == 2 and f"error: PORT={port}: a port on another computer is rfc2217://HOST:NUMBER" in error


@pytest.mark.parametrize(
    "port, inside",
    [
        ("rfc2217://localhost:4000?ign_set_control", "rfc2217://host.docker.internal:4000?ign_set_control"),
        ("socket://127.0.0.1:23", "socket://host.docker.internal:23"),
        ("rfc2217://[::1]:4000", "rfc2217://host.docker.internal:4000"),
        ("rfc2217://10.0.0.7:4000", "rfc2217://10.0.0.7:4000"),
    ],
)
def test_a_port_on_another_computer_from_a_container(tmp_path, port, inside):
    """This computer has another name in a container, where localhost is the container itself."""
    bench = Bench(tmp_path, "esp32c3", docker=DOCKER)
    assert bench.make("flash", "flash-weights", f"PORT={port}") == (0, "")
    _, flash, _, weights = bench.calls()
    assert "--add-host host.docker.internal:host-gateway" in flash and "--device" not in flash
    assert f" {CONTAINER} idf.py -p {inside} flash ESPPORT=" in flash
    assert weights.endswith(f" {CONTAINER} idf.py constants-flash ESPPORT={inside}")
    # The same through `make DOCKER=1`, where docker's image runs these very scripts.
    assert bench.make("DOCKER=1", "flash", f"PORT={port}")[0] == 0
    last = bench.calls()[-1]
    assert "--add-host host.docker.internal:host-gateway" in last and f" PORT={inside} " in last


def test_a_device_is_passed_into_the_container(tmp_path):
    bench = Bench(tmp_path, "esp32c3", docker=DOCKER)
    assert bench.make("monitor", "PORT=/dev/null") == (0, "")
    assert re.search(rf"--device /dev/null --group-add \d+ {CONTAINER} idf.py -p /dev/null monitor", bench.calls()[-1])


def test_the_version_is_looked_at_before_anything_is_built(tmp_path):
    too_old = "is too old for esp32p4, which needs ESP-IDF 5.3 to 6.x"
    old = Bench(tmp_path / "old", "esp32p4", idf_py=IDF, version="v5.1.6")
    status, error = old.make("build")
    assert (status, old.calls()) == (2, []) and f"error: the active ESP-IDF 5.1 {too_old}" in error
    docker = Bench(tmp_path / "docker", "esp32p4", docker=DOCKER, version="v5.2.1")
    for image, named in (("espressif/idf:release-v5.1", "release-v5.1"), ("registry.example/idf", "5.2")):
        status, error = docker.make("build", f"IDF_IMAGE={image}")
        assert (status, docker.calls()) == (2, []) and named in error and too_old in error
    assert docker.make("build") == (0, "")
    assert docker.calls()[-1].endswith(f"{CONTAINER} idf.py build ESPPORT=")
    unknown = Bench(tmp_path / "unknown", "esp32c3", idf_py=IDF, version="our-branch-17")
    status, error = unknown.make("build")
    assert status == 0 and error == "note: the version of ESP-IDF is not known; esp32c3 needs ESP-IDF 5.1 to 6.x\n"
    status, error = Bench(tmp_path / "none", "esp32p4").make("build")
    assert status == 2 and "no idf.py on PATH and no docker; activate ESP-IDF 5.3 to 6.x" in error


def test_versions():
    assert version_of("ESP-IDF v5.5.5-dirty") == version_of("espressif/idf:release-v5.5") == (5, 5)
    assert version_of("x:v4.1/idf:v6.0") == (6, 0) and version_of("espressif/idf:latest") is None
    assert check_version("esp32p4", "ESP-IDF v5.3") == (5, 3) and check_version("esp32", "ESP-IDF v5.1.7") == (5, 1)
    assert check_version("esp32c6", "ESP-IDF v6.2-dev-114-g123") == (6, 2)
    with pytest.raises(UserError, match="the active ESP-IDF 7.0 is newer than what was tried for esp32c3"):
        check_version("esp32c3", "ESP-IDF v7.0")


def test_one_place_says_which_versions():
    """Manifests, documents and the default container follow idf_versions.py."""
    first = min(chip.idf_since for chip in CHIPS.values() if not chip.is_host)
    manifests = [
        file for folder in ("template_project_for_model", "examples") for file in REPO.glob(f"{folder}/**/*.yml")
    ]
    assert len(manifests) >= 4
    for manifest in (file for file in manifests if file.name == "idf_component.yml"):
        assert f'">={dotted(first)},<{BEFORE[0]}"' in manifest.read_text(), manifest
    for chip in CHIPS.values():
        if not chip.is_host:
            assert chip.idf_since <= version_of(CONTAINER) < BEFORE, "the default container builds for every chip"
    later = {name: chip.idf_since for name, chip in CHIPS.items() if chip.idf_since != first}
    assert later == {"esp32p4": (5, 3)}, "docs/esp-idf.md says so in its first sentence"
    text = " ".join((REPO / "docs/esp-idf.md").read_text().split())
    for words in (f"({dotted(first)} or later; 5.3 for the ESP32-P4)", CONTAINER, SUPPORTED_UNTIL):
        assert words in text
    assert needed(CHIPS["esp32p4"]) == "ESP-IDF 5.3 to 6.x"


def test_no_search_ends_early_in_front_of_a_pipe():
    """`command | grep -q` and `command | head` end the command; under pipefail that is a failure, now and then."""
    for script in REPO.glob("scripts/*.sh"):
        for number, line in enumerate(script.read_text().splitlines(), 1):
            early = re.search(r"[^|]\| *(grep (-\w*q|-m)|head\b|sed [^|]*\bq\b)", line)
            assert not early or line.rstrip().endswith("|| true"), f"{script.name}:{number}: {line}"


def test_all_chips_are_built_and_what_qemu_can_is_run(tmp_path):
    """scripts/idf_chips.sh test, as in Espressif's container: one line each, and failure if one fails."""
    idf = """#!/bin/sh
case "$*" in
--help) echo "  qemu  Run QEMU." ;;
*esp32c6/new_project\\ build) exit 1 ;;
*qemu) echo "PASS: model 0123456789abcdef"; sleep 30 ;;
*) echo "$@" >> "{folder}/calls" ;;
esac
"""
    bench = Bench(
        tmp_path, "esp32c3", idf_py=idf, python3='#!/bin/sh\ncase "$*" in -c*) exit 1;; esac\nexec {python} "$@"\n'
    )
    projects = []
    for chip in ("esp32c3", "esp32c6", "esp32p4"):
        metadata = tmp_path / chip / "new_project/components/tvm_model/model/metadata.json"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f'{{\n "target_chip": "{chip}"\n}}\n')
        projects.append(str(tmp_path / chip / "new_project"))
    done = bench.run(str(REPO / "scripts/idf_chips.sh"), "test", *projects)
    assert done.returncode == 1
    lines = done.stdout.splitlines()[-3:]
    assert lines[0].startswith("esp32c3: built; PASS in QEMU (idf.py qemu; pytest-embedded")
    assert lines[1:] == ["esp32c6: build failed", "esp32p4: built"]
    assert f"-C {projects[2]} set-target esp32p4" in bench.calls()
    assert bench.run(str(REPO / "scripts/idf_chips.sh"), "test", str(tmp_path)).returncode == 2


def test_chips_of_a_version():
    assert "esp32p4" not in chips_of("ESP-IDF v5.2.7") and "esp32c6" in chips_of("ESP-IDF v5.2.7")
    assert chips_of("ESP-IDF v5.5.5") == chips_of("?") == [name for name, chip in CHIPS.items() if not chip.is_host]
