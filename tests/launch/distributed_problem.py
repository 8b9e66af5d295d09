"""One of two processes that train image classification together; run as a module by the tests."""

import os
import shutil
import signal
import sys
from pathlib import Path

import jax
import numpy as np

from infojax.training import Interrupted, processes
from launch import distributed
from launch.experiments import supervised
from tests.launch.experiments.supervised_problem import config, flat

STOPPED_AT = 7  # in the third call of `advance`


def stopped_by_one(advance):
    """`advance`, whose third call sends SIGTERM to the last process alone."""
    calls = []

    def stopping(*arguments):
        calls.append(None)
        if len(calls) == 3 and jax.process_index() == jax.process_count() - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return advance(*arguments)

    return stopping


def trained(program, directory):
    """Trains into a directory; each process saves all numbers of its final state."""
    state = supervised.run_seed(program, config(), 0, directory)
    numbers = {name: flat(getattr(state, name)) for name in ("params", "ema", "opt_state")}
    numbers["loss"] = np.asarray(state.loss)
    np.savez(directory / f"final-{jax.process_index()}.npz", **numbers)


def main(root):
    """Trains uninterrupted; then stopped by a signal to one process, and resumed."""
    assert (jax.process_count(), jax.device_count()) == (2, 2)
    nested = processes.from_first(lambda: (processes.largest(3), processes.from_first(os.getpid)))
    assert nested == (3, processes.from_first(os.getpid))  # the first alone, while the others wait
    program = supervised.build(config())
    trained(program, root / "whole")
    try:
        trained(program._replace(advance=stopped_by_one(program.advance)), root / "stopped")
    except Interrupted as stop:
        assert (stop.signum, stop.step) == (signal.SIGTERM, STOPPED_AT)
    if processes.first():
        shutil.copytree(root / "stopped", root / "copied")
    trained(program, root / "stopped")
    processes.largest(0)


if __name__ == "__main__":
    _, directory = distributed.start(sys.argv)
    main(Path(directory))
