"""Image classification as a user runs it: stopped by Ctrl-C and kill -9, and resumed."""

import contextlib
import json
import re
import signal

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from infojax.training import Checkpoints, read_records
from launch import classification
from tests.launch.launcher import Launcher, begun, done, last_step, timeless

LONGER = ["--config.num_steps=60", "--config.eval_every=10", "--config.checkpoint_every=15"]
LONGER += ["--config.mi_weight=0.1", "--config.id_weight=0.1", "--config.population_splits=()"]


@pytest.fixture(scope="module")
def launcher(tmp_path_factory):
    return Launcher(tmp_path_factory.mktemp("launcher"), "configs/cifar10.py:smoke")


def _final_state(workdir):
    config = ConfigDict(json.loads((workdir / "config.json").read_text()))
    program = classification.build(config)
    shapes = jax.eval_shape(lambda: classification.init_state(program, config, 0))
    template = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    with contextlib.closing(Checkpoints(workdir / "checkpoints")) as checkpoints:
        return checkpoints.restore(template)


@pytest.mark.slow
def test_bit_for_bit(launcher, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert launcher.run(whole, *LONGER) == (0, done(whole, "supervised"), "")

    ended = launcher.stop(stopped, *LONGER, signum=signal.SIGINT, after=10)
    line = r"launch: stopped at step \d+ by SIGINT; the same command resumes from there\n"
    assert ended[:2] == (130, begun(stopped, "supervised"))
    assert re.fullmatch(line, ended[2])
    ended = launcher.stop(stopped, *LONGER, signum=signal.SIGKILL, after=30)
    assert ended == (-9, begun(stopped, "supervised"), "")
    assert 30 <= last_step(stopped) < 60
    assert launcher.run(stopped, *LONGER) == (0, done(stopped, "supervised"), "")

    records = timeless(read_records(whole))
    assert [r["step"] for r in records] == list(range(0, 61, 10))
    assert len({r["test/mir_32"] for r in records}) == 7
    assert timeless(read_records(stopped)) == records
    summaries = [json.loads((d / "summary.json").read_text()) for d in (whole, stopped)]
    assert summaries[0]["final"] == summaries[1]["final"]
    one, other = _final_state(whole), _final_state(stopped)
    assert one.step == 60
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(x, y)
