"""Runs of `python -m launch`, in this process and in processes of their own."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infojax.training import read_records
from launch import __main__ as launch, compilations

ROOT = Path(__file__).parents[2]
SMOKE = "--config=configs/grokking.py:smoke"


def begun(workdir, experiment="grokking"):
    """The line that a run prints first."""
    return f"{experiment} on 2 cpu devices: {workdir}\n"


def done(workdir, experiment="grokking"):
    """The whole output of a finished run."""
    files = f"{workdir / 'summary.json'}, {workdir / 'figures'} and {workdir / 'report.html'}"
    return f"{begun(workdir, experiment)}done: {files}\n"


def timeless(lines):
    """Records or points without their times."""
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def last_step(workdir):
    records = read_records(workdir)
    return records[-1]["step"] if records else -1


def assert_refused(result, *words):
    """The exit code is 2, and one line on stderr holds all words."""
    code, lines = result
    assert (code, len(lines)) == (2, 1), lines
    assert lines[0].startswith("launch: ") and "Traceback" not in lines[0]
    for word in words:
        assert word in lines[0]


def run_here(workdir, config, settings):
    """Runs a config with overrides through the main function, in this process."""
    arguments = [f"--config.{name}={value}" for name, value in settings.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(compilations, "keep", lambda: None)
        code = launch.main(["launch", *arguments, f"--config={config}", f"--workdir={workdir}"])
    assert code == 0
    return workdir


class Launcher:
    """Starts `python -m launch` on a config; compiled programs are shared with all tests."""

    def __init__(self, directory, config="configs/grokking.py:smoke"):
        self.config = config
        own = {"XDG_CACHE_HOME": str(directory / "cache"), "PYTHONPATH": str(ROOT)}
        self.environment = os.environ | own

    def start(self, workdir, *arguments, module="launch"):
        command = [sys.executable, "-m", module, *arguments]
        if module == "launch":
            command += [f"--config={self.config}", f"--workdir={workdir}"]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command,
            cwd=ROOT if module == "launch" else workdir,
            env=self.environment,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    def run(self, workdir, *arguments, module="launch"):
        """Returns exit code, stdout and stderr."""
        process = self.start(workdir, *arguments, module=module)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def stop(self, workdir, *arguments, signum, after, records="."):
        """Sends the signal once a record of step `after` or later exists; returns as `run`."""
        process = self.start(workdir, *arguments)
        while last_step(workdir / records) < after and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signum)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err
