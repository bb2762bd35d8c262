"""What git makes of the files where it is told to write carriage returns (core.autocrlf, as on Windows), and what the
tests take for the project's files without git."""

import shutil
import subprocess

import pytest
from project_files import has_git, project_files


def test_scripts_have_no_carriage_returns(repo, tmp_path):
    if not has_git():
        pytest.skip("no git, or no git checkout")
    command = [
        "git",
        "-c",
        "core.autocrlf=true",
        "clone",
        "--quiet",
        "--depth",
        "1",
        f"file://{repo}",
        str(tmp_path / "c"),
    ]
    subprocess.run(command, check=True)
    scripts = [
        path for path in (tmp_path / "c").rglob("*") if path.suffix in (".sh", ".py", ".mk") or path.name == "Makefile"
    ]
    assert len(scripts) > 100
    assert not [path.name for path in scripts if b"\r" in path.read_bytes()]
    arrays = list((tmp_path / "c" / "examples" / "digits").glob("*.npy"))
    assert arrays and all(path.read_bytes() == (repo / "examples/digits" / path.name).read_bytes() for path in arrays)


def test_without_git_the_same_files_are_found(repo, tmp_path, monkeypatch):
    """As in a source archive, or on a machine that has no git."""
    if not has_git():
        pytest.skip("no git, or no git checkout")
    known = project_files()
    for name in known:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repo / name, tmp_path / name)
    for made in ("build/x", "vendor/x", "scripts/__pycache__/x.pyc", ".ruff_cache/x"):
        (tmp_path / made).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / made).touch()
    assert project_files(root=tmp_path) == known
    some = ("tools", "Makefile")
    there = project_files(*some)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert project_files(*some) == there == project_files(*some, root=tmp_path)
