"""Pruning studies: exact zeros in checkpoints, features before and after, resumed studies."""

import json
import math
import os
import re
import shutil
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest

from configs import pruning as configs
from infojax import training
from infojax.errors import UserError
from launch import fine_tuning, runs
from launch.experiments import pruning
from launch.ledger import FILE, read_points
from tests import reference
from tests.launch.launcher import Launcher, run_here
from tests.launch.pruning_problem import KERNELS, SETTINGS, build, kernels, others, smoke

SPARSITIES = (0.0, 0.5, 0.9)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run through the command line's main function."""
    workdir = tmp_path_factory.mktemp("runs") / "pruning"
    return run_here(workdir, "configs/pruning.py:smoke", SETTINGS)


@pytest.fixture(scope="module")
def points(finished):
    return {(p["method"], p["sparsity"]): p for p in read_points(finished)}


@pytest.fixture(scope="module")
def program():
    return build()


@pytest.fixture(scope="module")
def trained(program, finished):
    return pruning.load(program, finished / "trained", 0)


@pytest.fixture(scope="module")
def template(program, trained):
    return training.init_state(program.network.update, trained.params, trained.model_state)


def checkpoint(run, template, method, sparsity):
    at = run / "seed-0" / f"{method},sparsity={sparsity}"
    return fine_tuning.read_checkpoint(at, template)


# The run


def test_run_directory(finished, points):
    names = {p.name for p in finished.iterdir() if not p.name.startswith(".")}
    assert names == {
        "config.json",
        "environment.json",
        "points.jsonl",
        "trained",
        "seed-0",
        "figures",
        "report.html",
        "summary.json",
    }
    above = [(m, s) for m in fine_tuning.METHODS for s in SPARSITIES[1:]]
    assert set(points) == {("one_shot", 0.0), *above}
    assert {p.name for p in (finished / "seed-0").iterdir()} == {
        f"{method},sparsity={sparsity}" for method, sparsity in points
    }


def test_weights_are_pruned_exactly(points, finished, trained, template):
    """Checkpoints lack exactly floor(s n) weights, for one_shot the smallest trained ones."""
    before = np.asarray(kernels(trained.params))
    assert before.size == KERNELS
    order = np.argsort(np.abs(before), kind="stable")
    for (method, sparsity), point in points.items():
        state = checkpoint(finished, template, method, sparsity)
        assert int(state.step) == 6
        masked = ~kernels(state.opt_state.mask)
        count = math.floor(sparsity * KERNELS)
        assert np.sum(masked) == count
        for tree in (state.params, state.ema):
            np.testing.assert_array_equal(kernels(tree) == 0, masked)
        assert (point["weights"], point["zeros"]) == (KERNELS, count)
        assert np.all(others(state.opt_state.mask))
        assert np.all(others(state.params)[others(trained.params) != 0] != 0)
        changed = kernels(state.params) != before
        assert np.mean(changed[~masked]) > 0.99
        if method == "one_shot":
            assert set(np.flatnonzero(masked)) == set(order[:count])
        if method == "random" or (method, sparsity) == ("gradual", 0.9):
            assert set(np.flatnonzero(masked)) != set(order[:count])


def test_momentum_of_masked_weights_is_zero(finished, template):
    state = checkpoint(finished, template, "gradual", 0.9)
    masks = dict(jax.tree_util.tree_leaves_with_path(state.opt_state.mask))
    found = 0
    for path, x in jax.tree_util.tree_leaves_with_path(state.opt_state.inner):
        for end in (path[i:] for i in range(len(path))):
            if end in masks and x.ndim > 1:
                assert np.all(x[~masks[end]] == 0) and np.any(x != 0)
                found += 1
    assert found > 8


def test_before_fine_tuning(points, trained, finished):
    """Gradual pruning starts from the trained network; the others do not."""
    own = training.read_records(finished / "trained")[-1]
    dense = {k: v for k, v in own.items() if k.startswith("test/") and k.endswith("32")}
    assert len(dense) == 6
    for (method, sparsity), point in points.items():
        same = all(point["before"][name] == value for name, value in dense.items())
        assert same == (method == "gradual" or sparsity == 0)
        assert point["before"]["test/between_population_hdr"] == pytest.approx(
            abs(trained.entropy - point["before"]["test/entropy_features"])
            / max(trained.entropy, point["before"]["test/entropy_features"])
        )
    assert points["one_shot", 0.9]["after"]["test/accuracy"] > (
        points["one_shot", 0.9]["before"]["test/accuracy"] + 0.1
    )


def test_unpruned_features_have_their_self_information_and_no_difference(points, trained):
    before = points["one_shot", 0.0]["before"]
    features = np.concatenate([np.asarray(x) for x in trained.features], 1)
    features = features.reshape(-1, features.shape[-1])[:360]
    for n in (32, 64):
        batches = [features[i : i + n] for i in range(0, 360 - n + 1, n)]
        shared = np.mean([reference.interplay(z, z) for z in batches], 0)
        assert before[f"test/between_mir_{n}"] == pytest.approx(shared[4], rel=1e-5)
        assert before[f"test/between_hdr_{n}"] == 0
    assert before["test/between_population_hdr"] == 0
    after = points["one_shot", 0.0]["after"]
    assert after["test/between_hdr_32"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 8])
def test_masked_weights_are_zero_on_some_devices(devices, finished, template, tmp_path):
    """From the command line; `trained` names the run to start from."""
    settings = {"sparsities": (0.9,), "methods": ("one_shot", "gradual")} | SETTINGS
    settings |= {"trained": finished / "trained", "metric_batch_sizes": (32,)}
    launcher = Launcher(tmp_path, "configs/pruning.py:smoke")
    flags = os.environ["XLA_FLAGS"].replace("device_count=2", f"device_count={devices}")
    launcher.environment["XLA_FLAGS"] = flags
    arguments = [f"--config.{name}={value}" for name, value in settings.items()]
    code, out, err = launcher.run(tmp_path / "run", *arguments)
    assert (code, err) == (0, "")
    assert f"pruning on {devices} cpu device" in out
    count = math.floor(0.9 * KERNELS)
    for method in ("one_shot", "gradual"):
        state = checkpoint(tmp_path / "run", template, method, 0.9)
        for tree in (state.params, state.ema):
            assert np.sum(kernels(tree) == 0) == count
            assert np.all(kernels(tree)[~kernels(state.opt_state.mask)] == 0)
        assert np.all(others(state.params)[others(state.ema) != 0] != 0)
    assert [p["zeros"] for p in read_points(tmp_path / "run")] == [count, count]
    assert not (tmp_path / "run" / "trained").exists()


# Resumed runs and given networks


def test_stopped_run_is_resumed_without_training_again(finished, points, killed, no_training):
    """Killed in the middle of the last line, after its fine-tuning was saved."""
    workdir = killed(finished, len(points) - 1)
    pruning.run(smoke(), workdir)
    for name in (FILE, "summary.json"):
        assert (workdir / name).read_text() == (finished / name).read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trained": "missing"}, "missing is not a run: it has no config.json"),
        ({"num_seeds": 2}, "holds no checkpoints of seed 1"),
        ({"depth": 16, "width": 2}, "(depth: 10 there, 16 here, width: 1 there, 2 here); set "),
    ],
)
def test_networks_that_cannot_be_taken(finished, program, tmp_path, changes, message):
    given = changes.pop("trained", str(finished / "trained"))
    changed = program._replace(config=smoke(**changes))
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        pruning.load(changed, Path(given), changes.get("num_seeds", 1) - 1)
    assert len(str(caught.value).splitlines()) == 1


def test_run_that_is_not_trained_to_its_end(finished, program, tmp_path):
    directory = tmp_path / "trained"
    shutil.copytree(finished / "trained", directory)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"num_steps": 41}))
    with pytest.raises(UserError, match="has not finished training; run it again"):
        pruning.load(program, directory, 0)
    (directory / "config.json").write_text(json.dumps(config | {"experiment": "grokking"}))
    with pytest.raises(UserError, match="is not a run of the experiment supervised"):
        pruning.load(program, directory, 0)


def test_run_on_other_images(finished, program, tmp_path):
    directory = tmp_path / "trained"
    shutil.copytree(finished / "trained", directory)
    (path,) = directory.rglob("data.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mean": [0.5]}))
    with pytest.raises(UserError, match="is a run on other images than this study's"):
        pruning.load(program, directory, 0)


# Summary, figures and settings


def test_summary_of_the_run(finished, points):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["weights"] == KERNELS
    for (method, sparsity), point in points.items():
        for stage in ("before", "after"):
            found = summary["results"][method][str(sparsity)][stage]
            for name in ("accuracy", "between_mir_64", "between_hdr_32", "mir_32"):
                assert found[f"test/{name}"]["by_seed"] == [point[stage][f"test/{name}"]]


def test_figures_show_the_points(finished, points):
    drawn = pruning.figures([runs.load_run(finished)])
    assert set(drawn) == {"pruning", "pruning_details"}
    axis = drawn["pruning"].axes[1]
    lines = {line.get_label(): line for line in axis.lines}
    for label, method, stage in (
        ("by magnitude", "one_shot", "after"),
        ("by magnitude, gradually", "gradual", "after"),
        ("at random, not tuned", "random", "before"),
    ):
        own = [points["one_shot", 0.0], *(points[method, s] for s in SPARSITIES[1:])]
        expected = [p[stage]["test/between_mir_32"] for p in own]
        np.testing.assert_allclose(lines[label].get_ydata(), expected)
        np.testing.assert_allclose(lines[label].get_xdata(), SPARSITIES)
    plt.close("all")
    for name in drawn:
        assert (finished / "figures" / f"{name}.png").stat().st_size > 20_000


@pytest.mark.parametrize("variant", ["cpu", "paper", "smoke"])
def test_variants(variant):
    config = configs.get_config(variant)
    pruning.check(config)
    assert config.prune_head == (variant == "paper")
