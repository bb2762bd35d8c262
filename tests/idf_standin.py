"""Generated projects in the stand-in for ESP-IDF (tests/idf_stub): options, configure, build, run on this computer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Dict, List, Optional, Sequence

STUB = Path(__file__).resolve().parent / "idf_stub"
KCONFIG_FILES = ("components/tvm_model/Kconfig", "components/esp-dl/Kconfig", "main/Kconfig.projbuild")


def load_options(project: Path, target: str, settings: Sequence[str]):
    """The project's Kconfig tree, with `settings` (sdkconfig lines) loaded; an option that is unknown or does not take
    its value is an error. By the package that ESP-IDF itself uses (esp-idf-kconfig)."""
    import kconfiglib.core as kconfiglib

    os.environ["IDF_TARGET"] = target
    files = [project / name for name in KCONFIG_FILES if (project / name).is_file()]
    files += sorted(path for path in project.glob("components/*/Kconfig") if path not in files)
    top = project / "build_options"
    top.mkdir(exist_ok=True)
    lines = [(STUB / "Kconfig").read_text(), *(f'source "{file}"\n' for file in files)]
    (top / "Kconfig").write_text("".join(lines))
    tree = kconfiglib.Kconfig(str(top / "Kconfig"))
    assert not tree.warnings, tree.warnings
    (top / "sdkconfig.defaults").write_text("\n".join([*settings, ""]))
    tree.load_config(str(top / "sdkconfig.defaults"))
    for line in settings:
        name, _, value = line[len("CONFIG_") :].partition("=")
        assert name in tree.syms and tree.syms[name].nodes, f"{name} is unknown"
        assert tree.syms[name].str_value == value.strip('"'), f"{name} is {tree.syms[name].str_value}, not {value}"
    return tree


class StandIn:
    """A project, configured and built as ESP-IDF would; `configure` again with other settings builds what changed."""

    def __init__(self, project: Path, folder: Path, target: str, options: Sequence[str] = (), run: bool = True):
        """options: of cmake; run: link a program for this computer"""
        self.project, self.folder, self.target, self.options = project, folder, target, list(options)
        self.build_folder = folder / "build"
        idf = folder / "idf/tools/cmake"
        idf.mkdir(parents=True)
        (idf / "project.cmake").write_text(f'include("{STUB}/project.cmake")\n')
        self.environment = {
            **os.environ,
            "IDF_PATH": str(folder / "idf"),
            "STUB_TARGET": target,
            "STUB_CONFIG": str(folder / "config"),
            "STUB_LANGUAGES": "CXX" if list(project.glob("main/*.cpp")) else "",
            **({"STUB_RUN": "1"} if run else {}),
        }

    def configure(self, settings: Sequence[str] = ()) -> None:
        """Set the options and run cmake."""
        tree = load_options(self.project, self.target, settings)
        config = self.folder / "config"
        config.mkdir(exist_ok=True)
        tree.write_autoconf(str(config / "sdkconfig.h"))
        values = {s.name: s.str_value for s in tree.unique_defined_syms if s.config_string}
        lines = [f'set(CONFIG_{name} "{"" if value == "n" else value}")' for name, value in values.items()]
        (config / "sdkconfig.cmake").write_text("\n".join([*lines, ""]))
        self._cmake("-S", str(self.project), "-B", str(self.build_folder), *self.options)

    def build(self, component: str = "") -> None:
        """Everything, or one component alone."""
        self._cmake("--build", str(self.build_folder), *(["--target", f"__idf_{component}"] if component else []))

    def build_error(self) -> str:
        """What a build that must fail says."""
        done = self._run("--build", str(self.build_folder))
        assert done.returncode != 0
        return done.stdout

    def run(self, partition: Optional[Path] = None) -> str:
        """What the program prints. partition: the content of the partition `constants`"""
        environment: Dict[str, str] = {"STUB_PARTITION": str(partition)} if partition else {}
        (program,) = self.build_folder.glob("*.elf")
        done = subprocess.run([str(program)], env=environment, stdout=subprocess.PIPE, text=True, timeout=60)
        return done.stdout

    def sections(self) -> Dict[str, str]:
        """symbol -> section of the program's data"""
        (program,) = self.build_folder.glob("*.elf")
        listing = subprocess.run(["objdump", "-t", str(program)], stdout=subprocess.PIPE, text=True, check=True).stdout
        rows = [line.split() for line in listing.splitlines() if " O " in line]
        return {row[-1]: row[-3] for row in rows}

    def flashed(self) -> List[str]:
        return (self.build_folder / "flash.txt").read_text().splitlines()

    def _cmake(self, *arguments: str) -> None:
        done = self._run(*arguments)
        assert done.returncode == 0, done.stdout[-3000:]

    def _run(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["cmake", *arguments], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
