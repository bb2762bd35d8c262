"""The log of an emulated ESP32-C3: the generated C with the trace, compiled for RV32IMC and run in QEMU."""

from __future__ import annotations

import os
from pathlib import Path

from ..trace.header import HEADER_NAME, trace_header
from .driver import sample_bytes
from .host import HostProgram
from .host_log import driver_source
from .machines import RISCV, require
from .qemu import compile_objects, execute, link


class EmulatedLog(HostProgram):
    """A generated project with the trace in it, for RV32IMC. mode: checksums or tensors."""

    def __init__(self, project: os.PathLike, mode: str = "checksums"):
        require(RISCV)
        self.mode = mode
        super().__init__(project)

    def _build(self, sanitize: bool) -> Path:
        folder = Path(self._folder.name)
        (folder / HEADER_NAME).write_text(trace_header(self.program, self.mode), encoding="utf-8")
        driver = folder / "driver.c"
        driver.write_text(driver_source(self.program, 'fopen("input.bin", "rb")'), encoding="utf-8")
        # QEMU counts one cycle for every instruction.
        flags = [f'-DTVMGEN_DEFAULT_TRACE_HEADER="{HEADER_NAME}"', '-DTVMGEN_DEFAULT_TRACE_UNIT="instructions"']
        objects = compile_objects([driver, *self.sources()], [folder, *self.include_folders()], folder, flags)
        link(objects, folder / "program.elf")
        return folder / "program.elf"

    def log(self, samples) -> str:
        """The text it prints for `samples` (ONNX input name -> array [N, ...])."""
        folder = Path(self._folder.name)
        (folder / "input.bin").write_bytes(sample_bytes(self.inputs, samples))
        return execute(self._binary, folder)
