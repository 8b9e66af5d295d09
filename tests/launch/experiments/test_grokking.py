"""Ensembles of grokking, early stops, interventions and precision, as runs of the smoke config."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.grokking import get_config
from infojax import training
from infojax.training import checkpoint, read_records
from launch import grokking_updates, runs
from launch.experiments import grokking
from tests.launch.launcher import timeless

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


def _measure_little(outputs, _, params, fitted, test):
    _, logits = outputs(params, test.operands)
    hits = jnp.argmax(logits, -1) == test.results
    own = jnp.take_along_axis(logits, jnp.asarray(test.results)[:, None], 1)
    loss = jnp.mean(jax.nn.logsumexp(logits, 1) - own[:, 0])
    return {"test/accuracy": jnp.mean(hits.astype(jnp.float32)), "test/loss": loss}


@pytest.fixture
def cheap(monkeypatch):
    """Evaluations find the test loss and accuracy alone, which compiles quickly."""
    monkeypatch.setattr(grokking.grokking_measures, "measure", _measure_little)


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


def test_each_seed_is_as_in_its_single_run(tmp_path, cheap):
    """On two devices: a seed of the ensemble has one, a single run shards its examples."""
    config = _config(num_steps=24)
    program = grokking.build(config)
    together = _run(tmp_path, config, program)
    assert len({records[-1]["train/loss_spike"] for records in together}) == 2
    grokking.run_seed(program, config, 1, tmp_path / "alone" / "seed-1")
    alone = read_records(tmp_path / "alone" / "seed-1")
    for record, other in zip(together[1], alone, strict=True):
        assert record.keys() == other.keys()
        for name in record.keys() - {"seconds"}:
            np.testing.assert_allclose(record[name], other[name], rtol=1e-4, err_msg=name)
    saved = (jax.tree.leaves(_saved(place, 1)) for place in (tmp_path, tmp_path / "alone"))
    for x, y in zip(*saved, strict=True):
        np.testing.assert_allclose(x, y, atol=2e-4 * np.abs(y).max())
    (tmp_path / "config.json").write_text(config.to_json())
    assert [run.seed for run in runs.load_seeds(tmp_path)] == [0, 1]


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


def test_float64(tmp_path, monkeypatch):
    """From the same weights; within float32's rounding of its run, and read as a run is."""
    settings = {"num_seeds": 1, "num_steps": 6}
    config, plain = _config(precision="float64", **settings), _config(**settings)
    grokking.run_seed(grokking.build(config), config, 0, tmp_path / "seed-0")
    assert {x.dtype.name for x in _saved(tmp_path, 0)[1].values()} == {"float64"}
    monkeypatch.setattr(grokking.grokking_measures, "measure", _measure_little)
    grokking.run_seed(grokking.build(plain), plain, 0, tmp_path / "plain")
    places = (tmp_path / "seed-0", tmp_path / "plain")
    for record, other in zip(*map(read_records, places), strict=True):
        assert record["test/loss"] != other["test/loss"]
        np.testing.assert_allclose(record["test/loss"], other["test/loss"], rtol=1e-4)
    (places[0] / "config.json").write_text(config.to_json())
    features, _ = runs.load(places[0]).features(np.array([[0, 1], [5, 3]]))
    assert features.shape == (2, 16) and np.isfinite(features).all()


def test_one_seed_or_several_processes_train_as_before(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "fit_ensemble", None)
    found = []
    monkeypatch.setattr(grokking, "run_seed", lambda _, __, seed, ___: found.append(seed))
    grokking.run_seeds(None, _config(num_seeds=1), {4: tmp_path})
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    grokking.run_seeds(None, _config(), _places(tmp_path, _config()))
    assert found == [4, 0, 1]
