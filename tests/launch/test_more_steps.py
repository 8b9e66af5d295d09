"""More steps for a run that has begun."""

import json

import jax
import numpy as np
import pytest

from configs import cifar10, grokking
from infojax.errors import UserError
from infojax.training import checkpoint, evaluation_steps, read_records
from launch import experiment, workdir
from tests.launch.launcher import run_here, timeless

CONFIG = "configs/grokking.py:smoke"
FEWER, MORE = ({"num_steps": n, "population_splits": ()} for n in (21, 24))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of 24 steps, and one of 21 continued to 24, with its records before."""
    whole, continued = (tmp_path_factory.mktemp(name) for name in ("whole", "continued"))
    with jax.numpy_dtype_promotion("standard"):  # optax raises floats to integers
        run_here(whole, CONFIG, MORE)
        before = read_records(run_here(continued, CONFIG, FEWER))
        return whole, run_here(continued, CONFIG, MORE), before


def test_records(runs):
    whole, continued, before = runs
    assert 21 not in evaluation_steps(24, 10) and before[-1]["step"] == 21
    records = read_records(continued)
    assert timeless(records) == timeless(read_records(whole))
    assert records[: len(before) - 1] == before[:-1]
    seconds = [record["seconds"] for record in records]
    assert seconds == sorted(seconds)


def test_state(runs):
    (step, one), (_, other) = (checkpoint.load(run / "checkpoints") for run in runs[:2])
    assert step == 24
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(x, y)


def test_summary_and_config(runs):
    summaries = [json.loads((run / "summary.json").read_text()) for run in runs[:2]]
    assert summaries[1].pop("seconds") != summaries[0].pop("seconds")
    assert summaries[0] == summaries[1]
    assert summaries[1]["steps"] == 24
    configs = [(run / "config.json").read_text() for run in runs[:2]]
    assert configs[0] == configs[1]


def _begun(directory, config):
    workdir.prepare(directory, config)
    (directory / "metrics.jsonl").write_text('{"step": 0, "seconds": 0.1}\n')
    return (directory / "config.json").read_bytes()


def _prepared(directory, config):
    module = experiment.load(config.experiment)
    workdir.prepare(directory, config, experiment.why_not_longer(module))


@pytest.mark.parametrize("name", ["supervised", "semisupervised", "pruning", "prompt_learning"])
def test_a_cosine_spans_the_steps(tmp_path, name):
    config = cifar10.get_config("smoke")
    config.experiment = name
    before = _begun(tmp_path, config)
    config.num_steps = 24
    line = f"{tmp_path} holds a run of 12 steps that cannot be continued to 24: the learning rate "
    with pytest.raises(UserError) as caught:
        _prepared(tmp_path, config)
    assert str(caught.value) == line + "follows a cosine over num_steps; use another --workdir"
    assert (tmp_path / "config.json").read_bytes() == before


@pytest.mark.parametrize("changes", [{"num_steps": 59}, {"num_steps": 80, "seed": 3}])
def test_fewer_steps_and_other_changes_are_refused(tmp_path, changes):
    config = grokking.get_config("smoke")
    before = _begun(tmp_path, config)
    config.update(changes)
    with pytest.raises(UserError, match=r"another config \(.*num_steps: 60 there"):
        _prepared(tmp_path, config)
    assert (tmp_path / "config.json").read_bytes() == before
