"""Folders that a kill left half-done, and what people put into an exported project."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from esp_tvm.errors import UserError
from esp_tvm.files import recover_folder, whole_folder
from esp_tvm.project.users_files import MARKER, check, is_whole, keep, record

REPO = Path(__file__).resolve().parents[1]

# Writes a folder, and kills itself at a rename: 0 the first, 1 the second, 2 after both.
KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from esp_tvm import files
path, at = sys.argv[2], int(sys.argv[3])
calls, rename, remove = [], os.replace, files.shutil.rmtree
def replace(*arguments):
    if len(calls) == at:
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(arguments)
    rename(*arguments)
os.replace = replace
files.shutil.rmtree = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
with files.whole_folder(path) as folder:
    (folder / "new").write_text("new")
"""


def killed(path: Path, at: int) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(REPO / "tools"), str(path), str(at)])
    assert done.returncode == -signal.SIGKILL


def content(folder: Path) -> dict:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("at, left", [(0, {"mine": "edited"}), (1, {"mine": "edited"}), (2, {"new": "new"})])
def test_a_kill_loses_nothing(tmp_path, at, left, caplog):
    path = tmp_path / "new_project"
    path.mkdir()
    (path / "mine").write_text("edited")
    killed(path, at)
    assert len(list(tmp_path.iterdir())) == 2
    recover_folder(path)
    assert [p.name for p in tmp_path.iterdir()] == ["new_project"] and content(path) == left
    assert ("back as it was" in caplog.text) == (at == 1)
    # And again through the next export.
    killed(path, at)
    with whole_folder(path) as folder:
        assert path.exists()
        (folder / "next").write_text("next")
    assert [p.name for p in tmp_path.iterdir()] == ["new_project"] and content(path) == {"next": "next"}


def test_a_folder_being_written_is_not_litter(tmp_path):
    path = tmp_path / "new_project"
    path.mkdir()
    (tmp_path / ".new_project.of-the-user").mkdir()
    with whole_folder(path) as folder:
        recover_folder(path)
        assert folder.is_dir()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".new_project.of-the-user", "new_project"]


def test_a_link_to_a_project_stays_a_link(tmp_path):
    real = tmp_path / "elsewhere"
    real.mkdir()
    (tmp_path / "new_project").symlink_to(real)
    with whole_folder(tmp_path / "new_project") as folder:
        (folder / "new").write_text("new")
    assert (tmp_path / "new_project").is_symlink() and content(real) == {"new": "new"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "new_project"]


FILES = ("main/app_main.c", "main/input_data.h", "components/esp-dl/a.c", "components/tvm_model/model/metadata.json")


def export(folder: Path, text: str) -> Path:
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    record(folder, "hash")
    return folder


@pytest.fixture
def earlier(tmp_path) -> Path:
    return export(tmp_path / "earlier", "first")


def kept(earlier: Path) -> dict:
    """What the next export of `earlier` has besides what it writes itself."""
    project = export(earlier.parent / "project", "second")
    check(earlier)
    keep(earlier, project)
    return {
        name: (project / name).read_text() for name in sorted(content(project))
        if name != MARKER and (project / name).read_text() != "second"
    }  # fmt: skip


def test_changed_and_added_files(earlier):
    (earlier / "main/app_main.c").write_text("mine")
    (earlier / "components/esp-dl/b.c").write_text("added")
    (earlier / "main/input_data.h").write_text("is made anew")
    assert kept(earlier) == {"main/app_main.c": "mine", "components/esp-dl/b.c": "added"}


def test_a_link_in_place_of_a_folder_or_a_file(earlier, tmp_path):
    mine = tmp_path / "my kernels"
    mine.mkdir()
    (mine / "a.c").write_text("mine")
    (earlier / "components/esp-dl/a.c").unlink()
    (earlier / "components/esp-dl").rmdir()
    (earlier / "components/esp-dl").symlink_to(mine)
    (earlier / "main/app_main.c").unlink()
    (earlier / "main/app_main.c").symlink_to(mine / "a.c")
    (earlier / "dangling").symlink_to("nowhere")
    kept(earlier)
    project = tmp_path / "project"
    assert os.readlink(project / "components/esp-dl") == str(mine)
    assert os.readlink(project / "main/app_main.c") == str(mine / "a.c")
    assert os.readlink(project / "dangling") == "nowhere"
    assert content(mine) == {"a.c": "mine"}


def test_a_folder_in_place_of_a_file(earlier):
    (earlier / "main/app_main.c").unlink()
    (earlier / "main/app_main.c").mkdir()
    (earlier / "main/app_main.c/part.c").write_text("mine")
    assert kept(earlier) == {"main/app_main.c/part.c": "mine"}


@pytest.mark.parametrize("name", ["main", "components", "components/tvm_model", "components/tvm_model/model"])
def test_a_link_where_the_model_is_written_is_refused(earlier, tmp_path, name):
    os.rename(earlier / name, tmp_path / "moved")
    (earlier / name).symlink_to(tmp_path / "moved")
    with pytest.raises(UserError, match="is a link where the export writes the model"):
        check(earlier)


@pytest.mark.parametrize("name", ["pipe", "main/pipe", "components/esp-dl/pipe"])
def test_a_pipe_is_refused(earlier, name):
    os.mkfifo(earlier / name)
    with pytest.raises(UserError, match="is a pipe, a socket or a device; move it out of the project"):
        check(earlier)


def test_generated_files_that_were_damaged(earlier):
    assert is_whole(earlier)
    (earlier / "main/app_main.c").write_text("mine")
    assert is_whole(earlier)
    record(earlier, "hash")
    assert is_whole(earlier)
    (earlier / "main/input_data.h").write_text("fisrt")
    assert not is_whole(earlier)
    (earlier / MARKER).unlink()
    assert not is_whole(earlier)
