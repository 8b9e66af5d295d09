"""Semi-supervised runs: resumed, in a grid of methods, and with the papers' settings."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.semisupervised import get_config
from infojax import losses
from infojax.errors import UserError
from infojax.training import read_records, storage
from launch import classification, networks, plots
from launch.experiments import semisupervised, sweep
from launch.results import semisupervised as results
from tests.launch.experiments import semisupervised_problem as problem
from tests.launch.experiments.supervised_problem import flat
from tests.launch.launcher import timeless

SETTINGS = {"num_seeds": 2, "label_seed": 5}


@pytest.fixture(scope="module")
def program():
    return semisupervised.build(problem.config())


@pytest.fixture(scope="module")
def whole(program, tmp_path_factory):
    """Directory and final state of a seed."""
    directory, settings = tmp_path_factory.mktemp("runs"), problem.config(**SETTINGS)
    storage.write_json(directory / "config.json", json.loads(settings.to_json()))
    return directory, semisupervised.run_seed(program, settings, 0, directory)


def test_one_program_serves_seeds_and_weights(program, monkeypatch):
    settings = problem.config()
    state = problem.start(program, settings)
    first = flat(problem.advanced(program, settings, state, 2).params)
    monkeypatch.setattr(losses, "global_interplay", None)  # tracing the loss again would fail
    others = [
        {"mi_weight": 0.0}, {"id_weight": 0.0}, {"unsupervised_weight": 0.0},
        {"fairness_weight": 0.0}, {"learning_rate": 0.01}, {"weight_decay": 0.1}, {"label_seed": 9},
    ]  # fmt: skip
    assert set(semisupervised.TRACED) == {"seed"}.union(*others)
    for change in others:
        other = problem.config(**change)
        found = problem.advanced(program, other, problem.start(program, other), 2)
        assert np.abs(flat(found.params) - first).max() > 1e-6, change


def test_resumed_bit_for_bit(program, whole, tmp_path):
    """Thresholds included."""
    directory, state = whole
    again = shutil.copytree(directory, tmp_path / "again")
    shutil.rmtree(again / "checkpoints" / "12")
    resumed = semisupervised.run_seed(program, problem.config(**SETTINGS), 0, again)
    jax.tree.map(np.testing.assert_array_equal, state, resumed)
    assert float(state.model_state["freematch"].threshold) != pytest.approx(0.1, abs=1e-3)
    records = read_records(directory)
    assert [r["step"] for r in records] == [0, 4, 8, 12]
    assert timeless(read_records(again)) == timeless(records)


def test_records_and_figure(whole, tmp_path):
    """The best accuracy follows from the records."""
    directory, _ = whole
    records = read_records(directory)
    accuracy = [r["test/accuracy"] for r in records]
    assert [r["test/best_accuracy"] for r in records] == list(np.maximum.accumulate(accuracy))
    assert records[-1]["test/raw_accuracy"] != accuracy[-1]  # of other parameters
    observed = results.observe(records, problem.config(**SETTINGS), 10)
    assert observed["best_accuracy"].measured == max(accuracy)
    right = records[-1]["batch/pseudo_label_accuracy"]
    assert observed["pseudo_labels"].measured == right
    (path,) = plots.draw(semisupervised.figures, [directory], tmp_path / "figures")
    assert path.name == "semisupervised.png" and path.stat().st_size > 20_000


def test_labelled_sets(program, whole):
    """Recorded, and drawn from label_seed plus the offset of the seed."""
    network, settings = program.network, problem.config(**SETTINGS)
    kept = json.loads((whole[0] / "labelled.json").read_text())
    assert kept["label_seed"] == 5
    assert kept["indices"] == semisupervised.labelled_set(network, settings, 0).tolist()
    second = semisupervised.labelled_set(network, settings, 1)
    changed = problem.config(label_seed=6)
    np.testing.assert_array_equal(semisupervised.labelled_set(network, changed, 0), second)
    assert second.tolist() != kept["indices"]


def test_grid_of_methods(tmp_path):
    """Both methods train on the same labelled images of each seed."""
    config = get_config("smoke-grid")
    config.update({"num_steps": 4, "population_splits": ()})
    storage.write_json(tmp_path / "config.json", json.loads(config.to_json()))
    sweep.run(config, tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["seeds"] == [0, 1]
    assert [p["values"]["method"] for p in summary["points"]] == ["freematch", "supervised"]
    assert set(summary["points"][1]["metrics"]) == set(config.table_metrics)
    first, second = (
        [json.loads((point / f"seed-{s}" / "labelled.json").read_text()) for s in range(2)]
        for point in (tmp_path / "points").iterdir()
    )
    assert first == second and first[0]["indices"] != first[1]["indices"]
    for path in tmp_path.glob("points/method=supervised*/seed-0"):
        assert not any("mask" in name for r in read_records(path) for name in r)


def test_grid_whose_last_point_cannot_be_drawn(tmp_path):
    """It is refused before the first point is trained."""
    config = get_config("smoke-grid")
    method, labels, *weights = config.points[0]
    config.points = ((method, labels, *weights), (method, labels + 1, *weights))
    with pytest.raises(UserError, match=f"num_labels must be a multiple of .* got {labels + 1}"):
        sweep.run(config, tmp_path)
    assert not list(tmp_path.rglob("metrics.jsonl"))


@pytest.mark.parametrize("name", ["smoke", "cpu", "paper", "paper-cifar100", "paper-stl10"])
def test_variants(name):
    config = get_config(name)
    semisupervised.check(config)
    grid = get_config(f"{name}-grid")
    sweep.check(grid, semisupervised)
    for values, point in sweep.points(grid):
        semisupervised.check(point)
        assert point.num_labels == values["num_labels"] and point.num_seeds == (
            2 if name == "smoke" else 3
        )
    if name.startswith("paper"):
        expected = {
            "batch_size": 64, "unlabelled_ratio": 7, "num_steps": 2**20, "learning_rate": 0.03,
            "momentum": 0.9, "ema_decay": 0.999, "threshold_momentum": 0.999, "depth": 28,
            "fixed_threshold": 0.95, "fairness_weight": 0.001, "unsupervised_weight": 1.0,
            "weight_decay": 1e-3 if "cifar100" in name else 5e-4, "batchnorm_sync": True,
            "width": 8 if "cifar100" in name else 2, "num_groups": 4 if "stl10" in name else 3,
        }  # fmt: skip
        assert {field: config[field] for field in expected} == expected


def test_stl10s_network_and_warning(program, monkeypatch, capsys):
    """Other images under its name: the warning is printed, unlabelled images join the pool."""
    data, settings = program.network.data, problem.config(dataset="stl10")
    more = data.test.images[:50]
    monkeypatch.setattr(semisupervised.images, "load_unlabelled", lambda *_: more)
    monkeypatch.setattr(classification, "load_data", lambda _: data)
    found = semisupervised.build(settings)
    assert "7,500 of its 100,000 unlabelled images are copies" in capsys.readouterr().out
    np.testing.assert_array_equal(found.pool[0][-50:], more)
    np.testing.assert_array_equal(found.pool[1][-50:], -1)
    model = networks.make_model(get_config("paper-stl10"), (96, 96, 3), 10)
    params, _ = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((2, 96, 96, 3)))
    assert params["head"]["kernel"].shape == (256, 10)
