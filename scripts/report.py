"""The steps behind `make report compare`; what comes before them is pipeline.py's.

scripts/report.sh report|compare      with MODEL, CALIB, INPUT, LOG, ... in the environment

Only the standard library: this runs before set-up, with whatever Python is there.
"""

from __future__ import annotations

import os
import subprocess
import sys

from pipeline import REPO, Pipeline, PipelineError, exit_status, fail


class Reports(Pipeline):
    """A model's report, and the comparison of a log."""

    def log(self) -> str:
        """LOG, which must be there; `-` is standard input."""
        log = self.variables.get("LOG", "")
        if log not in ("", "-") and not os.path.isfile(log):
            fail(f"LOG={log} does not exist; save what the serial monitor shows in a file")
        return log

    def report(self) -> None:
        log = self.log()
        sample = self.sample("export", "INPUT")
        model, project = self.export()
        command = ["tools/tvm/report.py", "--project", project, "--model", model, "--input", sample]
        command += ["--float_model", self.preprocess(), "--output", str(self.out / "report.html")]
        self.tool("report", command + (["--log", log] if log else []))

    def compare(self) -> None:
        """Not through `tool`: a live log must not wait for a pipe to fill."""
        log = self.log() or "-"
        sample = self.sample("export", "INPUT")
        model, project = self.export()
        if log == "-" and sys.stdin.isatty():
            fail("LOG is not set; give the file with the board's log, or: make monitor | make compare")
        command = ["tools/tvm/compare_log.py", "--log", log, "--model", model, "--input", sample, "--project", project]
        environment = {**os.environ, "PYTHONPATH": self.python_path, "TOPHUB_LOCATION": "NONE"}
        status = subprocess.run([".venv/bin/python", *command], env=environment).returncode
        if status != 0:
            raise PipelineError(status=status if status > 0 else 128 - status)


def do(goal: str) -> None:
    """`report` or `compare`."""
    steps = {"report": Reports.report, "compare": Reports.compare}
    reports = Reports(goal, (), dict(os.environ))
    reports.log()
    reports.check("export")
    reports.sample("export", "INPUT")
    reports.open()
    steps[goal](reports)


def main(arguments: list[str]) -> int:
    os.chdir(REPO)
    (goal,) = arguments
    return exit_status(lambda: do(goal))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
