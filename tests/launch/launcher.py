"""Runs of `python -m launch` in processes of their own."""

import os
import subprocess
import sys
import time
from pathlib import Path

from infojax.training.recorder import read_records

ROOT = Path(__file__).parents[2]


def last_step(workdir):
    records = read_records(workdir)
    return records[-1]["step"] if records else -1


class Launcher:
    """Starts `python -m launch` on a configuration, with one cache of compilations for all."""

    def __init__(self, directory, config="configs/grokking.py:smoke"):
        self.config = config
        self.cache = directory / "cache"
        self.environment = {k: v for k, v in os.environ.items() if "CACHE" not in k}
        self.environment |= {"XDG_CACHE_HOME": str(self.cache), "PYTHONPATH": str(ROOT)}

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
        """Runs until a record of the step `after` is there, then sends the signal."""
        process = self.start(workdir, *arguments)
        while last_step(workdir / records) < after and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signum)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err
