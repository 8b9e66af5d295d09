"""Ensembles of grokking, early stops, interventions and precision, as runs of the smoke config."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.grokking import get_config
from infojax import training
from infojax.training import checkpoint, read_records
from launch import grokking_updates, runs
from launch.experiments import grokking
from tests.launch.launcher import run_here, timeless

SMALL = {
    "num_seeds": 2,
    "num_steps": 10,
    "metric_batch_sizes": (16,),
    "population_splits": (),
    "chance_permutations": 0,
    "progress_measures": False,
    "information_batch_size": 12,
}


@pytest.fixture(autouse=True)
def optax_promotion():
    """optax's Adam raises a Python float to an int32 power, which strict promotion forbids."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def cheap(monkeypatch):
    """Evaluations find the test loss and accuracy alone, which compiles in no time."""

    def measure(outputs, _, params, fitted, test):
        _, logits = outputs(params, test.operands)
        hits = jnp.argmax(logits, -1) == test.results
        rows = jnp.take_along_axis(logits, test.results[:, None], 1)
        loss = jnp.mean(jax.nn.logsumexp(logits, 1) - rows[:, 0])
        return {"test/accuracy": jnp.mean(hits.astype(jnp.float32)), "test/loss": loss}

    monkeypatch.setattr(grokking.grokking_measures, "measure", measure)


def _config(**changes):
    config = get_config("smoke")
    config.update(SMALL | changes)
    grokking.check(config)
    return config


def _places(root, config):
    return {seed: root / f"seed-{seed}" for seed in range(config.num_seeds)}


def _run(root, config, program):
    grokking.run_seeds(program, config, _places(root, config))
    return [read_records(directory) for directory in _places(root, config).values()]


def _saved(root, seed):
    step, arrays = checkpoint.load(root / f"seed-{seed}" / "checkpoints")
    return step, arrays["params"]


def test_run_of_two_seeds(tmp_path):
    """From the command line, in two parts; each seed is as in its single run.

    A seed of the ensemble has one of the two devices, a single run shards its examples.
    """
    path = "configs/grokking.py:smoke"
    run_here(tmp_path, path, SMALL | {"num_steps": 6})
    run_here(tmp_path, path, SMALL)
    together = [read_records(directory) for directory in _places(tmp_path, _config()).values()]
    assert len({records[-1]["train/loss"] for records in together}) == 2
    assert len(json.loads((tmp_path / "summary.json").read_text())["seconds"]) == 2
    assert [run.seed for run in runs.load_seeds(tmp_path)] == [0, 1]

    config = _config()
    grokking.run_seed(grokking.build(config), config, 1, tmp_path / "alone" / "seed-1")
    alone = read_records(tmp_path / "alone" / "seed-1")
    for record, other in zip(together[1], alone, strict=True):
        assert record.keys() == other.keys()
        for name in record.keys() - {"seconds"}:
            np.testing.assert_allclose(record[name], other[name], rtol=2e-3, err_msg=name)
    for x, y in zip(*(jax.tree.leaves(_saved(d, 1)) for d in (tmp_path, tmp_path / "alone"))):
        np.testing.assert_allclose(x, y, atol=2e-4 * np.abs(y).max())


def test_seeds_that_stop_early(tmp_path, monkeypatch, cheap):
    """Three epochs after an evaluation sees the accuracy, here one that only some seeds reach."""
    plain = _config(num_seeds=3)
    whole = _run(tmp_path / "whole", plain, grokking.build(plain))
    best = [max(r["test/accuracy"] for r in records[:6]) for records in whole]
    bound = np.float32(sorted(best)[-1] - 1e-3)
    monkeypatch.setattr(grokking_updates, "_ACCURACY", bound)
    config = _config(num_seeds=3, stop_after=3)
    program = grokking.build(config)
    found = _run(tmp_path / "stopped", config, program)
    ends = []
    for records in whole:
        reached = [r["step"] for r in records if r["test/accuracy"] > bound]
        ends.append(min(10, reached[0] + 3) if reached else 10)
    assert min(ends) < 10
    for records, other, end in zip(found, whole, ends, strict=True):
        assert timeless(records) == timeless(r for r in other if r["step"] <= end)
    assert [_saved(tmp_path / "stopped", seed)[0] for seed in range(3)] == ends
    assert _run(tmp_path / "stopped", config, program) == found  # nothing is left to do


@pytest.mark.parametrize(
    "changes",
    [
        {
            "mi_weight": 0.3,
            "id_weight": -0.1,
            "information_until": "generalisation",
            "gradient_filter": "grokfast_ma",
            "grokfast_window": 3,
        },
        {
            "modulus": 120,
            "operation": "s5",
            "train_fraction": 0.01,
            "gradient_filter": "orthogonal",
            "init_scale": 0.5,
        },
    ],
    ids=["information", "s5"],
)
def test_interventions_resume_bit_for_bit(tmp_path, cheap, changes):
    """A run stopped at step 7 and resumed, against one that was not."""
    config, fewer = _config(**changes), _config(**changes, num_steps=7)
    program = grokking.build(config)
    whole = _run(tmp_path / "whole", config, program)
    _run(tmp_path / "resumed", fewer, program)
    resumed = _run(tmp_path / "resumed", config, program)
    for one, other in zip(whole, resumed, strict=True):
        assert timeless(one) == timeless(other)
    for seed in (0, 1):
        x, y = (_saved(tmp_path / name, seed) for name in ("whole", "resumed"))
        jax.tree.map(np.testing.assert_array_equal, x, y)


def test_float64(tmp_path):
    """From the same weights; within float32's rounding of its run, and read as a run is."""
    config = _config(num_seeds=1, num_steps=6, precision="float64")
    precise, plain = tmp_path / "seed-0", tmp_path / "plain" / "seed-0"
    grokking.run_seed(grokking.build(config), config, 0, precise)
    shorter = _config(num_seeds=1, num_steps=6)
    grokking.run_seed(grokking.build(shorter), shorter, 0, plain)
    assert {x.dtype.name for x in _saved(tmp_path, 0)[1].values()} == {"float64"}
    records, others = map(read_records, (precise, plain))
    assert records[-1]["train/loss"] != others[-1]["train/loss"]
    for name in ("train/loss", "test/loss", "test/mir_16", "weights/squared_norm"):
        found, other = ([r[name] for r in x] for x in (records, others))
        np.testing.assert_allclose(found, other, rtol=1e-3)
    (precise / "config.json").write_text(config.to_json())
    features, _ = runs.load(precise).features(np.array([[0, 1], [5, 3]]))
    assert features.shape == (2, 16) and np.isfinite(features).all()


def test_one_seed_or_several_processes_train_as_before(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "fit_ensemble", None)
    found = []
    monkeypatch.setattr(grokking, "run_seed", lambda _, __, seed, ___: found.append(seed))
    grokking.run_seeds(None, _config(num_seeds=1), {4: tmp_path})
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    grokking.run_seeds(None, _config(), _places(tmp_path, _config()))
    assert found == [4, 0, 1]
