"""The short form of `make reliability`: a run killed between a record and its checkpoint."""

import subprocess
import sys

from tests.launch.launcher import ROOT


def test_a_killed_run_ends_as_an_uninterrupted_one():
    command = [sys.executable, "-m", "tests.reliability", "--quick", "--only=between record"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    *_, trial, counts = done.stdout.splitlines()
    killed = "grokking:smoke, killed between record and checkpoint 2"
    assert trial == f"{killed}: survived: after exit code -9, equal"
    assert counts == "tried 1, survived 1, lost 0, not reached 0"
    assert done.returncode == 0
