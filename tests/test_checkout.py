"""What git makes of the files where it is told to write carriage returns (core.autocrlf, as on Windows)."""

import subprocess

import pytest


def test_scripts_have_no_carriage_returns(repo, tmp_path):
    if not (repo / ".git").exists():
        pytest.skip("no git checkout")
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
